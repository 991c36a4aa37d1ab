#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dialect_log.h"

namespace slm::dialects {
namespace {

using testing::ElementsAre;

class OpenAiChat : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& line : lines_of("tests/data/call/openai_chat.jsonl")) ASSERT_EQ(read(line, kept_), "") << line;
    ASSERT_EQ(kept_.calls.size(), 11U);
  }
  const CallMeta& meta(size_t i) const { return kept_.calls[i].call.meta; }
  const CallBody& body(size_t i) const { return kept_.calls[i].call.body; }
  Kept kept_;
};

TEST_F(OpenAiChat, MapsEveryFieldOfTheEnvelope) {
  const CallMeta& m = meta(0);
  EXPECT_EQ(m.time_ms, 1772438400000);
  EXPECT_EQ(m.site, "route_message");
  EXPECT_EQ(m.source, "desk-7");
  EXPECT_EQ(m.session, "s-100");
  EXPECT_EQ(m.model, "big-1-0301");
  EXPECT_EQ(m.finish_reason, "stop");
  EXPECT_EQ(m.latency_ms, 412.5);
  EXPECT_EQ(m.ttft_ms, 120);
  EXPECT_EQ(m.usage.n_in, 20);
  EXPECT_EQ(m.usage.n_out, 1);
  EXPECT_EQ(m.usage.n_cached, 16);
  EXPECT_EQ(m.success, true);
  EXPECT_EQ(m.score, 0.9);
  EXPECT_TRUE(m.has_truth);
  EXPECT_FALSE(m.flags.failed || m.flags.hci || m.flags.bad_session || m.flags.streamed);
}

TEST_F(OpenAiChat, KeepsTheAllowListOfTheBody) {
  EXPECT_EQ(
      json::serialize(to_json(body(0))),
      R"({"v":1,"messages":[{"role":"system","content":"Name the department."},)"
      R"({"role":"user","content":"My parcel never came."}],)"
      R"("choices":[{"message":{"role":"assistant","content":"shipping"},"finish_reason":"stop"}],)"
      R"("params":{"temperature":0,"max_tokens":5},"extra":{"system_fingerprint":"fp_a1","service_tier":"default"},)"
      R"("truth":{"content":"delivery","role":"assistant"}})");
}

TEST_F(OpenAiChat, NoIdentityFieldReachesTheBody) {
  for (const auto& logged : kept_.calls) {
    const std::string text = json::serialize(to_json(logged.call.body));
    for (const auto* planted : {"mara.lindqvist", "203.0.113.9", "desk-7", "hashed-9", "chatcmpl-1", "s-100"})
      EXPECT_EQ(text.find(planted), std::string::npos) << planted;
  }
}

TEST_F(OpenAiChat, SourceIsTheFirstIdentityThere) {
  EXPECT_EQ(meta(2).source, "hashed-9");
  EXPECT_EQ(meta(3).source, "");
  Kept kept;
  EXPECT_EQ(read(R"({"request":{"user":"u1","messages":[{"role":"user","content":"x"}]},"response":null})", kept), "");
  EXPECT_EQ(kept.calls[0].call.meta.source, "u1");
}

TEST_F(OpenAiChat, LegacyFunctionsBecomeTools) {
  EXPECT_EQ(json::serialize(body(1).tools),
            R"([{"type":"function","function":{"name":"find_order","description":"Finds an order","parameters":)"
            R"({"type":"object","properties":{"number":{"type":"integer"}}}}}])");
  EXPECT_EQ(json::serialize(body(1).params), R"({"tool_choice":{"type":"function","function":{"name":"find_order"}}})");
  EXPECT_EQ(json::serialize(body(1).choices),
            R"([{"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_0","type":"function",)"
            R"("function":{"name":"find_order","arguments":"{\"number\":55}"}}]},"finish_reason":"tool_calls"}])");
  EXPECT_EQ(meta(1).time_ms, 1772438460250);
  EXPECT_TRUE(meta(1).flags.streamed);
}

TEST_F(OpenAiChat, ChoicesAreOrderedByIndexAndPicturesFlagged) {
  ASSERT_EQ(body(2).choices.size(), 2U);
  EXPECT_EQ(content_text(*answer_of(body(2))), "A bicycle.");
  EXPECT_TRUE(meta(2).flags.vision);
  EXPECT_EQ(content_text(body(2).messages[0].as_object()), "What is on\nthis picture?");
  EXPECT_EQ(meta(2).time_ms, 1772438461250);
}

TEST_F(OpenAiChat, FailuresAreRecognised) {
  std::vector<std::string> failures;
  for (const auto& logged : kept_.calls) {
    failures.emplace_back(logged.failure);
    EXPECT_EQ(logged.call.meta.flags.failed, !logged.failure.empty());
  }
  EXPECT_THAT(failures,
              ElementsAre("", "", "", "error", "refusal", "length", "empty", "no_response", "", "", "refusal"));
  EXPECT_TRUE(meta(5).flags.truncated);
  EXPECT_EQ(get_string(body(3).error.as_object(), "type"), "rate_limit");
}

TEST_F(OpenAiChat, ArgumentsGivenAsJsonBecomeText) {
  EXPECT_EQ(
      json::serialize(body(8).choices[0].at("message").at("tool_calls")),
      R"([{"id":"t1","type":"function","function":{"name":"close_ticket","arguments":"{\"id\":9,\"note\":\"done\"}"}}])");
  EXPECT_EQ(meta(8).success, false);
  EXPECT_TRUE(meta(8).flags.bad_session);
}

TEST_F(OpenAiChat, ChatSitesSpeakToHumans) {
  std::vector<bool> hci;
  for (const auto& logged : kept_.calls) hci.push_back(logged.call.meta.flags.hci);
  EXPECT_THAT(hci, ElementsAre(false, false, false, false, false, false, false, false, false, true, false));
}

TEST_F(OpenAiChat, EveryCallFitsTheSchema) {
  for (const auto& logged : kept_.calls) {
    const json::value document{{"meta", to_json(logged.call.meta)}, {"body", to_json(logged.call.body)}};
    const auto status = validate_json(document, "schemas/call/call.schema.json");
    EXPECT_TRUE(status.has_value()) << status.error().message;
  }
}

TEST(OpenAiChatBad, SaysWhy) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"({"request":{"messages":[]},"response":{}})", "no_messages"},
      {R"({"request":{"prompt":"x"},"response":{}})", "no_messages"},
      {R"({"request":{"messages":[{"content":"x"}]},"response":{}})", "bad_message"},
      {R"({"request":{"messages":[{"role":"wizard","content":"x"}]},"response":{}})", "bad_message"},
      {R"({"request":{"messages":[{"role":"user","content":7}]},"response":{}})", "bad_message"},
      {R"({"request":{"messages":[{"role":"user","content":[{"text":"no type"}]}]},"response":{}})", "bad_message"},
      {R"({"request":{"messages":["x"]},"response":{}})", "bad_message"},
      {R"({"request":{"messages":[{"role":"assistant","tool_calls":[{"function":{}}]}]},"response":{}})",
       "bad_message"},
      {R"({"request":{"messages":[{"role":"user","content":"x"}],"tools":[3]},"response":{}})", "bad_tools"},
      {R"({"request":{"messages":[{"role":"user","content":"x"}],"tools":{}},"response":{}})", "bad_tools"},
      {R"({"request":{"messages":[{"role":"user","content":"x"}]},"response":"yes"})", "bad_response"},
      {R"({"request":{"messages":[{"role":"user","content":"x"}]},"response":{"choices":{}}})", "bad_choices"},
      {R"({"request":{"messages":[{"role":"user","content":"x"}]},"response":{"choices":[{"text":"y"}]}})",
       "bad_choices"},
      {R"({"request":{"messages":[{"role":"user","content":"x"}]},"response":{"choices":[{"message":{"role":"user"}}]}})",
       "bad_message"},
      {R"({"request":{"messages":[{"role":"user","content":"x"}]},"response":{},"outcome":1})", "bad_outcome"},
      {R"({"request":{"messages":[{"role":"user","content":"x"}]},"response":{},"outcome":{"truth":{"answer":"y"}}})",
       "bad_outcome"},
  };
  for (const auto& [text, reason] : kCases) {
    Kept kept;
    EXPECT_EQ(read(text, kept), reason) << text;
    EXPECT_TRUE(kept.calls.empty());
  }
}

TEST(OpenAiChatBad, ATimeThatIsNone) {
  const std::string rest = R"("request":{"messages":[{"role":"user","content":"x"}]},"response":)";
  for (const char* time : {R"("x")", R"("2026-13-01T00:00:00Z")", "true", "[]", "{}", "-5"}) {
    Kept kept;
    EXPECT_EQ(read(std::string(R"({"timestamp":)") + time + "," + rest + "{}}", kept), "bad_timestamp") << time;
    EXPECT_EQ(read("{" + rest + R"({"created":)" + time + "}}", kept), "bad_timestamp") << time;
    EXPECT_TRUE(kept.calls.empty());
  }
}

TEST(OpenAiChatBad, OddButReadable) {
  Kept kept;
  EXPECT_EQ(read(R"({"timestamp":"","time":null,"seq":7,"request":{"messages":[{"role":"user","content":null}]},)"
                 R"("response":{"status_code":503,"body":"down"}})",
                 kept),
            "");
  ASSERT_EQ(kept.calls.size(), 1U);
  EXPECT_FALSE(kept.calls[0].call.meta.time_ms.has_value());
  EXPECT_EQ(kept.calls[0].call.meta.seq, 7);
  EXPECT_EQ(kept.calls[0].failure, "error");
}

TEST(OpenAiChatLegacy, FunctionCallBesideAnEmptyListOfToolCalls) {
  for (const auto* calls : {"null", "[]"}) {
    Kept kept;
    const std::string message = std::string(R"({"role":"assistant","content":null,"tool_calls":)") + calls +
                                R"(,"function_call":{"name":"f","arguments":"{}"}})";
    ASSERT_EQ(read(R"({"request":{"messages":[{"role":"user","content":"a"},)" + message +
                       R"(,{"role":"function","name":"f","content":"1"}]},"response":{"choices":[{"message":)" +
                       message + "}]}}",
                   kept),
              "");
    const CallBody& body = kept.calls.at(0).call.body;
    EXPECT_EQ(first_tool(*answer_of(body)), "f");
    EXPECT_EQ(get_string(body.messages.at(2).as_object(), "role"), "tool");
    EXPECT_EQ(get_string(body.messages.at(2).as_object(), "tool_call_id"), "call_1");
  }
}

TEST(OpenAiChatKeys, NeitherErrorsNorToolsCarryThem) {
  Kept kept;
  EXPECT_EQ(read(R"({"request":{"messages":[{"role":"user","content":"a"}],"tools":[)"
                 R"({"type":"mcp","headers":{"Authorization":"Bearer planted-1"}},)"
                 R"({"type":"function","function":{"name":"f"},"url":"https://x.example/?key=planted-2"}]},)"
                 R"("response":{"error":{"message":"Incorrect key planted-3","type":"auth","code":401}}})",
                 kept),
            "");
  const std::string text = json::serialize(to_json(kept.calls.at(0).call.body));
  EXPECT_EQ(text.find("planted"), std::string::npos);
  EXPECT_NE(text.find(R"("error":{"type":"auth","code":401})"), std::string::npos) << "what kind of error stays";
  EXPECT_EQ(kept.calls[0].call.body.tools.size(), 2U);
}

TEST(OpenAiChatTruth, ToolCallsMayBeFlat) {
  Kept kept;
  EXPECT_EQ(read(R"({"request":{"messages":[{"role":"user","content":"a"}]},"response":null,)"
                 R"("outcome":{"truth":{"tool_calls":[{"name":"f","arguments":{"x":1}}]}}})",
                 kept),
            "");
  EXPECT_EQ(json::serialize(kept.calls[0].call.body.truth),
            R"({"tool_calls":[{"type":"function","function":{"name":"f","arguments":"{\"x\":1}"},"id":"call_0_0"}],)"
            R"("role":"assistant"})");
}

TEST(OpenAiChatSeq, IsTheTurnOfTheConversation) {
  Kept kept;
  EXPECT_EQ(read(R"({"request":{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},)"
                 R"({"role":"user","content":"c"}]},"response":null})",
                 kept),
            "");
  EXPECT_EQ(kept.calls[0].call.meta.seq, 1);
}

}  // namespace
}  // namespace slm::dialects
