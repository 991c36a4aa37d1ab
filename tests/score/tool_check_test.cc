#include "score/tool_check.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace slm::score {
namespace {

json::value parsed(std::string_view text) { return parse_json(text).value(); }

json::object answer(std::initializer_list<std::pair<std::string, std::string>> calls) {
  json::array list;
  for (const auto& [name, arguments] : calls)
    list.push_back(json::object{{"function", json::object{{"name", name}, {"arguments", arguments}}}});
  return {{"role", "assistant"}, {"tool_calls", list}};
}

const json::array& functions() {
  static const json::array kFunctions = parsed(R"([{"name": "geo.area", "parameters": {"type": "dict",
    "properties": {"base": {"type": "float"}, "height": {"type": "integer"}, "unit": {"type": "string"},
                   "tags": {"type": "array", "items": {"type": "string"}}, "box": {"type": "dict"}},
    "required": ["base"]}}])")
                                            .as_array();
  return kFunctions;
}

std::string_view fault(std::string_view accepted, const json::object& message) {
  return fault_name(check_tool_calls(functions(), parsed(accepted).as_array(), message).fault);
}

TEST(ToolCheck, OneCall) {
  constexpr std::string_view kWanted =
      R"([{"geo.area": {"base": [10.0], "height": [5], "unit": ["sq m", ""], "tags": [["a-b", "c"], ""]}}])";
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 10, "height": 5})"}})), "none");
  EXPECT_EQ(fault(kWanted, answer({{"geo_area", R"({"base": 10.0, "height": 5, "unit": "SQ_M"})"}})), "none");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 10, "height": 5, "tags": ["AB", "c"]})"}})), "none");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 10, "height": 5, "tags": ["c", "ab"]})"}})), "wrong_value");
  EXPECT_EQ(fault(kWanted, answer({{"geo.volume", R"({"base": 10, "height": 5})"}})), "wrong_name");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"height": 5})"}})), "missing_required");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 10})"}})), "missing_optional");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 10, "height": 5, "depth": 1})"}})), "unexpected_parameter");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 10, "height": 5.0})"}})), "wrong_type");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": "10", "height": 5})"}})), "wrong_type");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 11, "height": 5})"}})), "wrong_value");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", "{broken"}})), "wrong_count");
  EXPECT_EQ(fault(kWanted, answer({})), "wrong_count");
}

TEST(ToolCheck, NestedObjects) {
  constexpr std::string_view kWanted =
      R"([{"geo.area": {"base": [1], "box": [{"w": [2, 3], "h": [4], "d": ["", 9]}]}}])";
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 1, "box": {"w": 3, "h": 4}})"}})), "none");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 1, "box": {"w": 3, "h": 5}})"}})), "wrong_value");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 1, "box": {"w": 3}})"}})), "wrong_value");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 1, "box": {"w": 3, "h": 4, "x": 1}})"}})), "wrong_value");
}

// The first call passes for both, the second for the first alone: a greedy pairing in order would fail.
TEST(ToolCheck, ParallelCallsArePairedNotTakenInTurn) {
  constexpr std::string_view kWanted =
      R"([{"geo.area": {"base": [1, 2], "height": [""]}}, {"geo.area": {"base": [1], "height": [""]}}])";
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 1})"}, {"geo.area", R"({"base": 2})"}})), "none");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 2})"}, {"geo.area", R"({"base": 2})"}})), "no_match");
  EXPECT_EQ(fault(kWanted, answer({{"geo.area", R"({"base": 1})"}})), "wrong_count");
}

// --- the leaderboard's own questions and accepted calls

struct Case {
  json::array functions, accepted;
};

std::vector<Case> leaderboard() {
  std::vector<Case> out;
  const std::filesystem::path dir = std::filesystem::path(SLM_SOURCE_DIR) / "../shared/data/bfcl";
  for (const char* name : {"simple_python", "multiple", "parallel", "parallel_multiple"}) {
    std::map<std::string, json::array> accepted;
    std::ifstream answers(dir / (std::string(name) + ".answers.jsonl")),
        questions(dir / (std::string(name) + ".jsonl"));
    for (std::string line; std::getline(answers, line);) {
      const json::value row = parsed(line);
      accepted[row.at("id").as_string().c_str()] = row.at("ground_truth").as_array();
    }
    for (std::string line; std::getline(questions, line);) {
      const json::value row = parsed(line);
      out.push_back({row.at("function").as_array(), accepted.at(row.at("id").as_string().c_str())});
    }
  }
  return out;
}

// What a caller who picks the first accepted value of everything would send.
json::value first_choice(const json::value& accepted) {
  if (accepted.is_object()) {
    json::object out;
    for (const auto& field : accepted.get_object()) {
      const json::array* values = field.value().if_array();
      if (!values || values->empty()) continue;
      const json::value& first = (*values)[0];
      if (first.is_string() && first.get_string().empty()) continue;
      out[field.key()] = first_choice(first);
    }
    return out;
  }
  if (accepted.is_array()) {
    json::array out;
    for (const auto& item : accepted.get_array()) out.push_back(first_choice(item));
    return out;
  }
  return accepted;
}

json::object first_answer(const json::array& accepted) {
  json::array list;
  for (const auto& item : accepted) {
    const auto& call = *item.as_object().begin();
    list.push_back(
        json::object{{"function", json::object{{"name", call.key()}, {"arguments", first_choice(call.value())}}}});
  }
  return {{"role", "assistant"}, {"tool_calls", list}};
}

json::object& arguments_of(json::object& message, size_t call) {
  return message["tool_calls"].as_array()[call].as_object()["function"].as_object()["arguments"].as_object();
}

TEST(ToolCheck, TheLeaderboardAcceptsItsOwnAnswersAndNoneOfTheirMutations) {
  const std::vector<Case> cases = leaderboard();
  if (cases.empty()) GTEST_SKIP() << "no ../shared/data/bfcl beside the project";
  ASSERT_EQ(cases.size(), 1000u);
  int n_accepted = 0, n_parameters = 0;
  for (const Case& one : cases) {
    const json::object good = first_answer(one.accepted);
    if (!check_tool_calls(one.functions, one.accepted, good).ok()) continue;
    ++n_accepted;

    json::object mutant = good;
    mutant["tool_calls"].as_array().push_back(good.at("tool_calls").as_array()[0]);
    EXPECT_FALSE(check_tool_calls(one.functions, one.accepted, mutant).ok()) << "one call too many";
    mutant = good;
    mutant["tool_calls"].as_array()[0].as_object()["function"].as_object()["name"] = "no_such_function";
    EXPECT_FALSE(check_tool_calls(one.functions, one.accepted, mutant).ok()) << "another function";
    mutant = good;
    arguments_of(mutant, 0)["no_such_parameter"] = 1;
    EXPECT_FALSE(check_tool_calls(one.functions, one.accepted, mutant).ok()) << "a parameter too many";

    for (size_t call = 0; call < one.accepted.size(); ++call) {
      for (const auto& field : json::object(arguments_of(mutant, call))) {
        if (field.key() == "no_such_parameter") continue;
        ++n_parameters;
        json::object wrong = good;
        json::value& value = arguments_of(wrong, call)[field.key()];
        if (value.is_bool()) {
          value = "neither";
        } else if (value.is_number()) {
          value = 987654321;
        } else {
          value = "surely not this one";
        }
        EXPECT_FALSE(check_tool_calls(one.functions, one.accepted, wrong).ok()) << field.key();
      }
    }
  }
  // Two answers break the leaderboard's own schemas: they name a parameter that the definition hasn't.
  EXPECT_EQ(n_accepted, 998);
  EXPECT_GT(n_parameters, 3000);
}

}  // namespace
}  // namespace slm::score
