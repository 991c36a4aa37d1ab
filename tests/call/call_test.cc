#include "call/call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slm {
namespace {

json::value parsed(std::string_view text) {
  auto value = parse_json(text);
  EXPECT_TRUE(value.has_value());
  return value.value_or(json::value());
}
json::array list(std::string_view text) { return parsed(text).as_array(); }

Call full_call() {
  Call call;
  CallMeta& m = call.meta;
  m.id.bytes = {1, 2, 3, 250};
  m.session = "ses_1";
  m.group = "ses_2";
  m.seq = 3;
  m.site = "route";
  m.time_ms = 1772438400123;
  m.latency_ms = 12.5;
  m.ttft_ms = 3;
  m.provider = "acme";
  m.model = "big-1";
  m.finish_reason = "stop";
  m.usage = {20, 1, 16};
  m.success = false;
  m.score = 0.25;
  m.has_truth = true;
  m.source = "src_9";
  m.flags.hci = m.flags.vision = m.flags.bad_session = true;
  m.split = "test";
  m.raw_group = "ab01";
  call.body.messages = list(R"([{"role":"user","content":"hi"}])");
  call.body.tools = list(R"([{"type":"function","function":{"name":"f"}}])");
  call.body.choices = list(R"([{"message":{"role":"assistant","content":"yo"},"finish_reason":"stop"}])");
  call.body.params = {{"temperature", 0.5}};
  call.body.extra = {{"service_tier", "default"}};
  call.body.truth = parsed(R"({"role":"assistant","content":"hello"})");
  call.body.error = parsed(R"({"type":"x"})");
  return call;
}

TEST(Call, EveryFieldOfMetaComesBack) {
  const json::object written = to_json(full_call().meta);
  const auto read = call_meta_from_json(json::value(written));
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(to_json(*read), written);
  EXPECT_EQ(read->id, full_call().meta.id);
  EXPECT_EQ(read->time_ms, 1772438400123);
  EXPECT_EQ(read->latency_ms, 12.5);
  EXPECT_EQ(read->usage.n_cached, 16);
  EXPECT_EQ(read->success, false);
  EXPECT_TRUE(read->has_truth);
  EXPECT_TRUE(read->flags.hci && read->flags.vision && read->flags.bad_session);
  EXPECT_FALSE(read->flags.failed);
  EXPECT_EQ(read->raw_group, "ab01");
  EXPECT_EQ(written.size(), 23U);  // v and 22 fields: a new field must be added above
}

TEST(Call, EveryFieldOfBodyComesBack) {
  const json::object written = to_json(full_call().body);
  const auto read = call_body_from_json(json::value(written));
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(to_json(*read), written);
  EXPECT_EQ(written.size(), 8U);
}

TEST(Call, DefaultsAreNotWritten) {
  EXPECT_EQ(json::serialize(to_json(CallMeta{})), R"({"v":1,"id":"00000000000000000000000000000000","op":"chat"})");
  EXPECT_EQ(json::serialize(to_json(CallBody{})), R"({"v":1,"messages":[],"choices":[]})");
}

TEST(Call, DocumentsFitTheSchema) {
  for (const Call& call : {full_call(), Call{}}) {
    const json::value document{{"meta", to_json(call.meta)}, {"body", to_json(call.body)}};
    const auto status = validate_json(document, "schemas/call/call.schema.json");
    EXPECT_TRUE(status.has_value()) << status.error().message;
  }
  json::object stray = to_json(full_call().meta);
  stray["colour"] = "red";
  const json::value document{{"meta", stray}, {"body", to_json(full_call().body)}};
  EXPECT_FALSE(validate_json(document, "schemas/call/call.schema.json").has_value());
}

TEST(Call, RefusesWhatItDoesNotKnow) {
  const auto code_of = [](auto result) { return result ? ErrorCode::kOk : result.error().code; };
  const std::string id = R"("id":"00000000000000000000000000000001")";
  EXPECT_EQ(code_of(call_meta_from_json(parsed("{\"v\":1," + id + "}"))), ErrorCode::kOk);
  EXPECT_EQ(code_of(call_meta_from_json(parsed("{\"v\":2," + id + "}"))), ErrorCode::kFormatTooNew);
  for (const std::string bad :
       {"[]", "{}", "{\"v\":1}", "{\"v\":0,\"id\":\"00\"}", "{\"v\":1,\"id\":\"00\"}", "{\"v\":1,\"id\":7}"})
    EXPECT_EQ(code_of(call_meta_from_json(parsed(bad))), ErrorCode::kBadInput) << bad;
  for (const std::string field : {"\"colour\":1", "\"seq\":\"3\"", "\"seq\":1.5", "\"flags\":[\"green\"]",
                                  "\"flags\":\"hci\"", "\"truth\":1", "\"site\":null", "\"time_ms\":\"now\""})
    EXPECT_EQ(code_of(call_meta_from_json(parsed("{\"v\":1," + id + "," + field + "}"))), ErrorCode::kBadInput)
        << field;
  EXPECT_EQ(code_of(call_body_from_json(parsed(R"({"v":2,"messages":[],"choices":[]})"))), ErrorCode::kFormatTooNew);
  for (const std::string bad :
       {R"({"v":1,"messages":[]})", R"({"v":1,"choices":[]})", R"({"v":1,"messages":[1],"choices":[]})",
        R"({"v":1,"messages":{},"choices":[]})", R"({"v":1,"messages":[],"choices":[],"params":[]})",
        R"({"v":1,"messages":[],"choices":[],"truth":"x"})", R"({"v":1,"messages":[],"choices":[],"more":1})"})
    EXPECT_EQ(code_of(call_body_from_json(parsed(bad))), ErrorCode::kBadInput) << bad;
}

TEST(Call, ErrorsDoNotQuoteTheDocument) {
  const auto read = call_body_from_json(parsed(R"({"v":1,"messages":[],"choices":[],"Ottilie lives here":1})"));
  ASSERT_FALSE(read.has_value());
  EXPECT_THAT(read.error().message, testing::Not(testing::HasSubstr("Ottilie")));
}

TEST(Call, TextOfContent) {
  const auto text = [](std::string_view message) { return content_text(parsed(message).as_object()); };
  EXPECT_EQ(text(R"({"content":"plain"})"), "plain");
  EXPECT_EQ(text(R"({"content":[{"type":"text","text":"a"},{"type":"image_url"},{"type":"text","text":"b"}]})"),
            "a\nb");
  EXPECT_EQ(text(R"({"content":null})"), "");
  EXPECT_EQ(text(R"({})"), "");
  EXPECT_EQ(text(R"({"content":[1,"x",{"text":2}]})"), "");
}

TEST(Call, FirstTool) {
  const auto tool = [](std::string_view message) { return first_tool(parsed(message).as_object()); };
  EXPECT_EQ(tool(R"({"tool_calls":[{"function":{"name":"a"}},{"function":{"name":"b"}}]})"), "a");
  EXPECT_EQ(tool(R"({"tool_calls":[{"custom":{"name":"c"}}]})"), "c");
  EXPECT_EQ(tool(R"({"tool_calls":[]})"), "");
  EXPECT_EQ(tool(R"({"tool_calls":[7]})"), "");
  EXPECT_EQ(tool(R"({"content":"x"})"), "");
}

TEST(Call, AnswerIsTheFirstChoice) {
  EXPECT_EQ(answer_of(CallBody{}), nullptr);
  const Call call = full_call();
  ASSERT_NE(answer_of(call.body), nullptr);
  EXPECT_EQ(content_text(*answer_of(call.body)), "yo");
}

TEST(Call, CanonicalTextLooksAtRequestAndResponseOnly) {
  CallBody a = full_call().body, b = a;
  b.extra.clear();
  b.truth = nullptr;
  EXPECT_EQ(canonical_text(a), canonical_text(b));
  b.messages = list(R"([{"content":"hi","role":"user"}])");
  EXPECT_EQ(canonical_text(a), canonical_text(b)) << "order of keys doesn't matter";
  b.messages = list(R"([{"role":"user","content":"hi "}])");
  EXPECT_NE(canonical_text(a), canonical_text(b));
  for (auto* part : {&b.tools, &b.choices}) {
    b = a;
    part->clear();
    EXPECT_NE(canonical_text(a), canonical_text(b));
  }
  b = a;
  b.params["temperature"] = 1;
  EXPECT_NE(canonical_text(a), canonical_text(b));
  b = a;
  b.error = nullptr;
  EXPECT_NE(canonical_text(a), canonical_text(b));
  EXPECT_TRUE(parse_json(canonical_text(a)).has_value());
}

TEST(Call, LastInputDelta) {
  const auto delta = [](std::string_view messages) { return json::serialize(last_input_delta(list(messages))); };
  EXPECT_EQ(delta(R"([{"role":"system"},{"role":"user","content":"a"}])"), R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(delta(R"([{"role":"user"},{"role":"assistant"},{"role":"tool"},{"role":"tool"}])"),
            R"([{"role":"tool"},{"role":"tool"}])");
  EXPECT_EQ(delta(R"([{"role":"system"}])"), R"([{"role":"system"}])");
  EXPECT_EQ(delta(R"([])"), "[]");
}

TEST(Template, MasksWhatVaries) {
  const auto of = [](std::string_view content) {
    return template_signature({json::object{{"role", "system"}, {"content", content}}});
  };
  const auto base = of(
      "You work for Kestrel Lane. Today is Monday, 2 March 2026. Ticket 8812: \"lost parcel\". Answer with one word.");
  EXPECT_EQ(base.size(), 16U);
  EXPECT_EQ(base, of("You work for Kestrel Lane. Today is Tuesday, 13 April 2027.  Ticket 1: \"a late one, again\". "
                     "Answer with one word."));
  EXPECT_EQ(of("id 3fa85f64-5717-4562-b3fc-2c963f66afa6 done"), of("id aVeryLongOpaqueTokenWithoutAnyDigitsInIt done"));
  EXPECT_EQ(of("see \u201cthis thing\u201d now"), of("see `that` now"));
  EXPECT_NE(base, of("You work for Kestrel Lane. Answer with two words."));
  EXPECT_NE(of("a \"quote that is\nnot closed on its line"), of("a \"quote which is\nnot closed on its line"));
}

TEST(Template, UsesLeadingSystemMessagesOnly) {
  const auto of = [](std::string_view messages) { return template_signature(list(messages)); };
  EXPECT_EQ(of(R"([{"role":"system","content":"s"},{"role":"user","content":"a"}])"),
            of(R"([{"role":"system","content":"s"},{"role":"user","content":"b"}])"));
  EXPECT_NE(of(R"([{"role":"system","content":"s"}])"), of(R"([{"role":"user","content":"s"}])"));
  EXPECT_EQ(of("[]"), of(R"([{"role":"user","content":"s"}])"));
  EXPECT_EQ(of("[]").size(), 16U);
}

TEST(Template, ToolSignatureIgnoresOrderAndDescriptions) {
  const auto of = [](std::string_view tools) { return tool_signature(list(tools)); };
  const std::string_view a =
      R"({"type":"function","function":{"name":"a","description":"x","parameters":{"properties":{"p":{},"q":{}}}}})";
  const std::string_view a2 =
      R"({"type":"function","function":{"name":"a","description":"y","parameters":{"properties":{"q":{},"p":{"type":"string"}}}}})";
  const std::string_view b = R"({"type":"function","function":{"name":"b"}})";
  const auto join = [](std::string_view x, std::string_view y) {
    return "[" + std::string(x) + "," + std::string(y) + "]";
  };
  EXPECT_EQ(of(join(a, b)), of(join(b, a2)));
  EXPECT_NE(of(join(a, b)), of(join(b, b)));
  EXPECT_NE(of("[" + std::string(a) + "]"),
            of(R"([{"type":"function","function":{"name":"a","parameters":{"properties":{"p":{}}}}}])"));
  EXPECT_EQ(of("[]").size(), 16U);
}

}  // namespace
}  // namespace slm
