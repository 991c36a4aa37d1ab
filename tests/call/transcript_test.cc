#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dialect_log.h"

namespace slm::dialects {
namespace {

Kept import(const std::string& name) {
  Kept kept;
  for (const auto& line : lines_of("tests/data/call/" + name + ".jsonl")) {
    const json::value record = json_of(line);
    EXPECT_EQ(recognise(record), by_name(name)) << line;
    EXPECT_EQ(read(line, kept), "") << line;
  }
  for (const auto& logged : kept.calls)
    for (const auto* planted : {"orla.brandt", "sk-planted", "tr-session-1"})
      EXPECT_EQ(json::serialize(to_json(logged.call.body)).find(planted), std::string::npos) << planted;
  return kept;
}

TEST(Transcript, AnthropicFiles) {
  const Kept kept = import("anthropic");
  ASSERT_EQ(kept.calls.size(), 2U);
  const CallMeta& m = kept.calls[0].call.meta;
  EXPECT_EQ(m.time_ms, 1772438600000);
  EXPECT_EQ(m.latency_ms, 310.5);
  EXPECT_EQ(m.session, "tr-session-1");
  EXPECT_EQ(m.site, "name_fruit");
  EXPECT_EQ(m.source, "orla.brandt");
  EXPECT_EQ(m.usage.n_in, 20) << "with what the cache gave";
  EXPECT_EQ(content_text(*answer_of(kept.calls[0].call.body)), "banana");
  EXPECT_EQ(kept.calls[0].failure, "");
  EXPECT_EQ(kept.calls[1].failure, "error");
}

TEST(Transcript, ResponsesFiles) {
  const Kept kept = import("openai_responses");
  ASSERT_EQ(kept.calls.size(), 1U);
  EXPECT_EQ(kept.calls[0].call.meta.time_ms, 1772438610000) << "the provider's, where the record has none";
  EXPECT_EQ(kept.calls[0].call.meta.usage.n_cached, 3);
  EXPECT_EQ(content_text(*answer_of(kept.calls[0].call.body)), "apple");
}

// A stream's text and the answer in one piece are one canonical call.
TEST(Transcript, RawStreams) {
  const Kept kept = import("transcript");
  ASSERT_EQ(kept.calls.size(), 4U);
  EXPECT_EQ(content_text(*answer_of(kept.calls[0].call.body)), "grape");
  EXPECT_EQ(kept.calls[0].call.meta.usage.n_in, 8);
  EXPECT_TRUE(kept.calls[0].call.meta.flags.streamed);
  const Kept whole = import("anthropic"), response = import("openai_responses");
  EXPECT_EQ(canonical_text(kept.calls[1].call.body), canonical_text(whole.calls[0].call.body));
  EXPECT_EQ(kept.calls[1].call.meta.time_ms, whole.calls[0].call.meta.time_ms);
  EXPECT_EQ(canonical_text(kept.calls[2].call.body), canonical_text(response.calls[0].call.body));
  EXPECT_EQ(kept.calls[3].failure, "partial");
  EXPECT_TRUE(kept.calls[3].call.meta.flags.partial);
}

TEST(Transcript, WhatCantBeReadSaysWhy) {
  const std::pair<const char*, const char*> kBad[] = {
      {R"({"request":"no json","response":"data: {}\n\n"})", "bad_transcript"},
      {R"({"timestamp":"x","request":{"messages":[{"role":"user","content":"q"}]},"response":"data: {}\n\n"})",
       "bad_timestamp"}};
  for (const auto& [text, reason] : kBad) {
    Kept kept;
    EXPECT_EQ(read(text, kept), reason) << text;
    EXPECT_TRUE(kept.calls.empty());
  }
}

}  // namespace
}  // namespace slm::dialects
