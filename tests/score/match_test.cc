#include "score/match.h"

#include <gtest/gtest.h>

namespace slm::score {
namespace {

json::object text(std::string_view content) { return {{"role", "assistant"}, {"content", content}}; }

struct CallSpec {
  std::string_view name, arguments;
};
json::object calls(std::initializer_list<CallSpec> specs) {
  json::array list;
  for (const CallSpec& spec : specs)
    list.push_back(
        {{"id", "x"}, {"type", "function"}, {"function", {{"name", spec.name}, {"arguments", spec.arguments}}}});
  return {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", list}};
}

bool exact(TaskKind kind, const json::object& a, const json::object& r) {
  const bool same = grade(kind, a, r).exact;
  EXPECT_EQ(same, canonical_answer(kind, a) == canonical_answer(kind, r));
  return same;
}

TEST(Match, Labels) {
  EXPECT_TRUE(exact(TaskKind::kLabel, text(" Billing \n"), text("billing")));
  EXPECT_TRUE(exact(TaskKind::kLabel, text("late  delivery"), text("Late delivery")));
  EXPECT_FALSE(exact(TaskKind::kLabel, text("billing."), text("billing")));
  EXPECT_FALSE(exact(TaskKind::kLabel, text("bill"), text("billing")));
  EXPECT_FALSE(exact(TaskKind::kLabel, text(""), text("billing")));
}

TEST(Match, TextKeepsCase) {
  EXPECT_TRUE(exact(TaskKind::kShortText, text("Dear  Ms Roe,\nhello"), text(" Dear Ms Roe, hello ")));
  EXPECT_FALSE(exact(TaskKind::kShortText, text("dear Ms Roe"), text("Dear Ms Roe")));
}

TEST(Match, JsonByValue) {
  EXPECT_TRUE(exact(TaskKind::kJson, text(R"({"a": 1, "b": [1.0, "x"]})"), text(R"({"b":[1,"x"],"a":1e0})")));
  EXPECT_FALSE(exact(TaskKind::kJson, text(R"({"a": [1, 2]})"), text(R"({"a": [2, 1]})")));
  EXPECT_FALSE(exact(TaskKind::kJson, text(R"({"a": "1"})"), text(R"({"a": 1})")));
  EXPECT_FALSE(exact(TaskKind::kJson, text(R"({"a": 1)"), text(R"({"a": 1})")));
  EXPECT_FALSE(exact(TaskKind::kJson, text(R"({"a": 0.5})"), text(R"({"a": 0.50001})")));
}

TEST(Match, AFenceBelongsToTheForm) {
  const auto fenced = text("```json\n{\"a\": 1}\n```");
  EXPECT_TRUE(exact(TaskKind::kJson, fenced, text("```\n{ \"a\":1 }\n```")));
  EXPECT_FALSE(exact(TaskKind::kJson, fenced, text("{\"a\": 1}")));
  EXPECT_FALSE(exact(TaskKind::kJson, text("``````"), fenced));
}

TEST(Match, JsonFields) {
  const auto accuracy = [](std::string_view a, std::string_view r) {
    return grade(TaskKind::kJson, text(a), text(r)).json_fields;
  };
  EXPECT_DOUBLE_EQ(accuracy(R"({"a":1,"b":2})", R"({"b":2,"a":1})"), 1);
  EXPECT_DOUBLE_EQ(accuracy(R"({"a":1,"b":3})", R"({"a":1,"b":2})"), 0.5);
  EXPECT_DOUBLE_EQ(accuracy(R"({"a":1})", R"({"a":1,"b":2})"), 0.5);
  EXPECT_DOUBLE_EQ(accuracy(R"({"a":1,"b":2,"c":3})", R"({"a":1,"b":2})"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(accuracy(R"({"a":{"x":[1,2]}})", R"({"a":{"x":[1,3]}})"), 0.5);
  EXPECT_DOUBLE_EQ(accuracy("no json", R"({"a":1})"), 0);
  EXPECT_DOUBLE_EQ(accuracy("{}", "{}"), 1);
  EXPECT_DOUBLE_EQ(accuracy("[]", "{}"), 0);
}

TEST(Match, ToolCalls) {
  const auto one = calls({{"get", R"({"id": 1, "k": "v"})"}});
  EXPECT_TRUE(exact(TaskKind::kToolCall, calls({{"get", R"({"k":"v","id":1.0})"}}), one));
  EXPECT_FALSE(exact(TaskKind::kToolCall, calls({{"put", R"({"id": 1, "k": "v"})"}}), one));
  EXPECT_FALSE(exact(TaskKind::kToolCall, calls({{"get", R"({"id": 2, "k": "v"})"}}), one));
  EXPECT_FALSE(exact(TaskKind::kToolCall, text("get"), one));
  EXPECT_FALSE(exact(TaskKind::kToolCall, one, text("get")));
  EXPECT_FALSE(exact(TaskKind::kLabel, one, text("")));

  const auto two = calls({{"get", R"({"id": 1})"}, {"get", R"({"id": 2})"}});
  EXPECT_TRUE(exact(TaskKind::kToolCall, calls({{"get", R"({"id": 2})"}, {"get", R"({"id": 1})"}}), two));
  EXPECT_FALSE(exact(TaskKind::kToolCall, calls({{"get", R"({"id": 1})"}, {"get", R"({"id": 1})"}}), two));
  EXPECT_FALSE(exact(TaskKind::kToolCall, calls({{"get", R"({"id": 1})"}}), two));

  const Grade half = grade(TaskKind::kToolCall, calls({{"get", R"({"id": 2})"}, {"get", R"({"id": 3})"}}), two);
  EXPECT_TRUE(half.tool_names);
  EXPECT_DOUBLE_EQ(half.tool_arguments, 0.5);
  const Grade missing = grade(TaskKind::kToolCall, calls({{"get", R"({"id": 2})"}}), two);
  EXPECT_FALSE(missing.tool_names);
  EXPECT_DOUBLE_EQ(missing.tool_arguments, 0.5);
}

TEST(Match, ToolArgumentsAsObjectAsEmptyOrBroken) {
  json::object as_object = calls({{"get", "{}"}});
  as_object["tool_calls"].as_array()[0].as_object()["function"].as_object()["arguments"] = json::object{{"id", 1}};
  EXPECT_TRUE(exact(TaskKind::kToolCall, as_object, calls({{"get", R"({"id":1})"}})));
  EXPECT_TRUE(exact(TaskKind::kToolCall, calls({{"list", ""}}), calls({{"list", "{}"}})));
  EXPECT_FALSE(exact(TaskKind::kToolCall, calls({{"get", R"({"id":)"}}), calls({{"get", R"({"id":1})"}})));
  json::object odd = text("");
  odd["tool_calls"] = json::array{1, nullptr, json::object{{"function", "x"}}};
  EXPECT_FALSE(exact(TaskKind::kToolCall, odd, calls({{"get", "{}"}})));
}

TEST(Match, TextBesideCallsDoesNotCount) {
  json::object chatty = calls({{"get", R"({"id":1})"}});
  chatty["content"] = "Let me look that up.";
  EXPECT_TRUE(exact(TaskKind::kToolCall, chatty, calls({{"get", R"({"id":1})"}})));
  EXPECT_TRUE(exact(TaskKind::kToolCall, text("Which order?"), text(" Which order?")));
}

TEST(Match, TokenF1) {
  EXPECT_DOUBLE_EQ(token_f1("the cat sat", "The cat, sat."), 1);
  EXPECT_DOUBLE_EQ(token_f1("the cat", "the dog"), 0.5);
  EXPECT_DOUBLE_EQ(token_f1("a a a", "a"), 0.5);
  EXPECT_DOUBLE_EQ(token_f1("", ""), 1);
  EXPECT_DOUBLE_EQ(token_f1("", "a"), 0);
  EXPECT_DOUBLE_EQ(token_f1("stra\xc3\x9f"
                            "e 5",
                            "stra\xc3\x9f"
                            "e 6"),
                   0.5);
}

TEST(Match, KindNamesReadBack) {
  for (TaskKind kind : kTaskKinds) EXPECT_EQ(parse_kind(kind_name(kind)), kind);
  EXPECT_FALSE(parse_kind("poem"));
}

}  // namespace
}  // namespace slm::score
