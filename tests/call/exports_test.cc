// What other tools export: LiteLLM, Langfuse, ShareGPT, OpenAI's stored completions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dialect_log.h"

namespace slm::dialects {
namespace {

using testing::ElementsAre;

// All records of a file, each by the dialect that knows it, as the importer does.
Kept import(const std::string& name, std::string_view dialect_name) {
  Kept kept;
  const Dialect* expected = by_name(dialect_name);
  std::unique_ptr<RecordJoiner> joiner = expected->joiner == nullptr ? nullptr : expected->joiner();
  for (const auto& line : lines_of("tests/data/call/" + name)) {
    json::value record = json_of(line);
    EXPECT_EQ(recognise(record), expected) << line;
    EXPECT_EQ(joiner == nullptr ? expected->parse(record, kept) : joiner->add(record, kept), "") << line;
  }
  if (joiner != nullptr) joiner->finish(kept);
  for (const auto& logged : kept.calls) {
    const std::string text = json::serialize(to_json(logged.call.body));
    for (const auto* planted : {"orla.brandt", "nils.oberg", "sk-planted", "203.0.113.77", "88dc28d0", "stored-1"})
      EXPECT_EQ(text.find(planted), std::string::npos) << planted;
  }
  return kept;
}

TEST(LiteLlm, MapsThePayload) {
  const Kept kept = import("litellm.jsonl", "litellm");
  ASSERT_EQ(kept.calls.size(), 3U);
  EXPECT_THAT(kept.skipped, ElementsAre("other_operation", "no_content"));
  const CallMeta& m = kept.calls[0].call.meta;
  EXPECT_EQ(m.time_ms, 1772438401000);
  EXPECT_EQ(m.latency_ms, 1500);
  EXPECT_EQ(m.ttft_ms, 250);
  EXPECT_EQ(m.session, "trace-1");
  EXPECT_EQ(m.source, "orla.brandt");
  EXPECT_EQ(m.model, "gpt-big-0301");
  EXPECT_EQ(m.provider, "openai");
  EXPECT_EQ(m.usage.n_cached, 4);
  EXPECT_TRUE(m.flags.streamed);
  EXPECT_EQ(json::serialize(to_json(kept.calls[0].call.body)),
            R"({"v":1,"messages":[{"role":"system","content":"Route the mail."},)"
            R"({"role":"user","content":"My parcel is late."}],)"
            R"("choices":[{"message":{"role":"assistant","content":"delivery"},"finish_reason":"stop"}],)"
            R"("params":{"temperature":0,"max_tokens":5}})");
  const CallBody& text = kept.calls[1].call.body;
  EXPECT_EQ(content_text(text.messages[0].get_object()), "Which department?");
  EXPECT_EQ(content_text(*answer_of(text)), "parcel");
  EXPECT_EQ(text.tools.size(), 1U);
  EXPECT_EQ(kept.calls[2].failure, "error");
  EXPECT_EQ(json::serialize(kept.calls[2].call.body.error), R"({"type":"AuthenticationError","code":"401"})");
}

TEST(Langfuse, JoinsObservationsTracesAndEvents) {
  const Kept kept = import("langfuse.jsonl", "langfuse");
  ASSERT_EQ(kept.calls.size(), 5U);
  EXPECT_THAT(kept.skipped, ElementsAre("other_span", "no_content"));
  const CallMeta& m = kept.calls[0].call.meta;
  EXPECT_EQ(m.session, "desk-session-9");
  EXPECT_EQ(m.source, "orla.brandt");
  EXPECT_EQ(m.site, "tag-mail");
  EXPECT_EQ(m.latency_ms, 900);
  EXPECT_EQ(m.usage.n_in, 6);
  EXPECT_EQ(m.usage.n_out, 1);
  EXPECT_EQ(kept.calls[1].call.meta.site, "mail-tagger");
  EXPECT_EQ(first_tool(*answer_of(kept.calls[1].call.body)), "cite");
  EXPECT_EQ(kept.calls[2].failure, "error");
  EXPECT_EQ(kept.calls[2].call.meta.session, "desk-session-9") << "known from the trace's record";
  const Call& snake = kept.calls[3].call;
  EXPECT_EQ(snake.meta.ttft_ms, 500);
  EXPECT_EQ(snake.meta.usage.n_cached, 3);
  EXPECT_EQ(snake.body.tools.size(), 1U);
  EXPECT_EQ(content_text(*answer_of(snake.body)), R"({"category":"claims","n":2})");
  const Call& updated = kept.calls[4].call;
  EXPECT_EQ(updated.meta.session, "desk-session-10");
  EXPECT_EQ(content_text(*answer_of(updated.body)), "Plain answer.");
  EXPECT_EQ(updated.meta.usage.n_in, 3);
}

TEST(ShareGpt, UnfoldsTurns) {
  const Kept kept = import("sharegpt.jsonl", "sharegpt");
  ASSERT_EQ(kept.calls.size(), 6U);
  const CallBody& first = kept.calls[0].call.body;
  EXPECT_EQ(kept.calls[0].call.meta.session, "sg-1");
  EXPECT_EQ(json::serialize(first.tools), R"([{"type":"function","function":{"name":"weigh","description":"Weighs",)"
                                          R"("parameters":{"type":"object"}}}])");
  EXPECT_EQ(json::serialize(*answer_of(first)),
            R"({"role":"assistant","content":null,"tool_calls":[{"type":"function","id":"call_2_0","function":)"
            R"({"name":"weigh","arguments":"{\"parcel\":7}"}}]})");
  EXPECT_EQ(json::serialize(kept.calls[1].call.body.messages[3]),
            R"({"role":"tool","content":"{\"kg\":2}","tool_call_id":"call_2_0"})");
  EXPECT_EQ(content_text(*answer_of(kept.calls[2].call.body)), "a") << "the chosen one";
  EXPECT_TRUE(kept.calls[3].call.meta.flags.bad_session);
  EXPECT_EQ(get_string(kept.calls[5].call.body.messages[3].get_object(), "tool_call_id"), "call_1_1");
}

TEST(ShareGpt, RefusesWhatItCantRead) {
  const std::pair<const char*, const char*> kBad[] = {
      {R"({"conversations":[{"from":"ghost","value":"x"}]})", "bad_message"},
      {R"({"conversations":[{"from":"function_call","value":"not json"}]})", "bad_message"},
      {R"({"conversations":[{"from":"human","value":3}]})", "bad_message"},
      {R"({"tools":"[","conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]})", "bad_tools"},
      {R"({"conversations":[{"from":"human","value":"q"}]})", "no_answer"}};
  for (const auto& [text, reason] : kBad) {
    Kept kept;
    EXPECT_EQ(read(text, kept), reason) << text;
    EXPECT_TRUE(kept.calls.empty());
  }
}

TEST(OpenAiStored, JoinsCompletionsAndMessages) {
  const Kept kept = import("openai_stored.jsonl", "openai_stored");
  ASSERT_EQ(kept.calls.size(), 2U);
  EXPECT_THAT(kept.skipped, ElementsAre("no_messages", "no_completion"));
  const Call& first = kept.calls[0].call;
  EXPECT_EQ(first.meta.time_ms, 1772438500000);
  EXPECT_EQ(first.meta.session, "stored-1");
  EXPECT_EQ(first.meta.source, "orla.brandt");
  EXPECT_EQ(first.meta.usage.n_in, 9);
  ASSERT_EQ(first.body.messages.size(), 2U);
  EXPECT_EQ(content_text(first.body.messages[0].get_object()), "One word.") << "in the order of their numbers";
  EXPECT_EQ(content_text(first.body.messages[1].get_object()), "Where do the boats lie?");
  EXPECT_EQ(content_text(*answer_of(first.body)), "harbour");
  EXPECT_EQ(kept.calls[1].call.body.messages.size(), 1U) << "the answer is no part of the prompt";
}

}  // namespace
}  // namespace slm::dialects
