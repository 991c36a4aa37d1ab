#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "call/dialects/otlp.h"
#include "core/file.h"
#include "dialect_log.h"

namespace slm::dialects {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

// All records of a file through one joiner, as the importer does.
void join(std::span<const std::string> lines, Kept& kept) {
  OtlpJoiner joiner;
  for (const auto& line : lines) {
    json::value record = json_of(line);
    ASSERT_EQ(joiner.add(record, kept), "");
  }
  joiner.finish(kept);
}

class Otlp : public testing::Test {
 protected:
  void SetUp() override {
    join(lines_of("tests/data/call/otlp.jsonl"), kept_);
    ASSERT_EQ(kept_.calls.size(), 8U);
  }
  const CallMeta& meta(size_t i) const { return kept_.calls[i].call.meta; }
  std::string body(size_t i) const { return canonical_text(kept_.calls[i].call.body); }
  Kept kept_;
};

TEST_F(Otlp, ReadsACallOfTheCurrentConventions) {
  const CallMeta& m = meta(0);
  EXPECT_EQ(m.time_ms, 1772438400010);
  EXPECT_EQ(m.latency_ms, 800);
  EXPECT_EQ(m.ttft_ms, 250);
  EXPECT_EQ(m.model, "big-1-0301");
  EXPECT_EQ(m.provider, "openai");
  EXPECT_EQ(m.site, "triage");
  EXPECT_EQ(m.source, "orla.brandt");
  EXPECT_EQ(m.session, "000000000000000000000000000000a1");
  EXPECT_EQ(m.finish_reason, "tool_calls");
  EXPECT_EQ(m.usage.n_in, 41);
  EXPECT_EQ(m.usage.n_out, 9);
  EXPECT_EQ(m.usage.n_cached, 32);
  EXPECT_TRUE(m.flags.streamed);
  EXPECT_EQ(body(0), R"({"choices":[{"finish_reason":"tool_calls","message":{"content":null,"reasoning_content":"L)"
                     R"(ook it up first.","role":"assistant","tool_calls":[{"function":{"arguments":"{\"number\":\)"
                     R"("Q-7\"}","name":"find_claim"},"id":"t1","type":"function"}]}}],"messages":[{"content":"Sor)"
                     R"(t the claim.","role":"system"},{"content":"Storm damage, number Q-7.","role":"user"}],"par)"
                     R"(ams":{"max_tokens":64,"temperature":0},"tools":[{"function":{"description":"Looks a claim )"
                     R"(up","name":"find_claim","parameters":{"properties":{"number":{"type":"string"}},"type":"ob)"
                     R"(ject"}},"type":"function"}]})");
}

TEST_F(Otlp, JoinsATraceOverBatches) {
  EXPECT_EQ(meta(1).session, meta(0).session);
  EXPECT_EQ(meta(0).seq, 0);
  EXPECT_EQ(meta(1).seq, 1);
  const auto& messages = kept_.calls[1].call.body.messages;
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_EQ(canonical_json(messages[3]), R"({"content":"{\"state\":\"open\"}","role":"tool","tool_call_id":"t1"})");
}

TEST_F(Otlp, ReadsOpenLlmetry) {
  EXPECT_EQ(meta(2).site, "label_mail");
  EXPECT_EQ(meta(2).source, "claims-desk") << "the service stands in for a user";
  EXPECT_EQ(meta(2).usage.n_in, 12);
  const auto& b = kept_.calls[2].call.body;
  ASSERT_EQ(b.messages.size(), 2U);
  EXPECT_EQ(content_text(b.messages[1].get_object()), "Invoice attached.");
  EXPECT_EQ(content_text(*answer_of(b)), "invoice");
  EXPECT_EQ(json::serialize(b.tools), R"([{"type":"function","function":{"name":"find_claim",)"
                                      R"("description":"Looks a claim up","parameters":{"type":"object"}}}])");
}

TEST_F(Otlp, ReadsOpenInferenceAndDropsTheWrapper) {
  EXPECT_EQ(meta(3).session, "s-openinf");
  EXPECT_EQ(meta(3).time_ms, 1772438406001) << "the inner span of the two";
  EXPECT_EQ(body(3), R"({"choices":[{"finish_reason":"stop","message":{"content":"queue-3","role":"assistant"}}],")"
                     R"(messages":[{"content":"Which queue?","role":"user"}],"params":{"max_tokens":20,"temperatur)"
                     R"(e":0},"tools":[{"function":{"name":"find_claim","parameters":{"type":"object"}},"type":"fu)"
                     R"(nction"}]})");
}

TEST_F(Otlp, ReadsDeprecatedEventsOfALaterBatch) {
  EXPECT_EQ(body(4), R"({"choices":[{"finish_reason":"stop","message":{"content":"Lindhaven","role":"assistant"}}])"
                     R"(,"messages":[{"content":"Name the city.","role":"system"},{"content":"Where is the harbour)"
                     R"( fair?","role":"user"}],"params":{},"tools":[]})");
}

TEST_F(Otlp, CountsWhatHoldsNoCall) {
  std::map<std::string, int> n;
  for (const auto& reason : kept_.skipped) n[reason] += 1;
  EXPECT_THAT(n, UnorderedElementsAre(testing::Pair("other_span", 2), testing::Pair("other_log", 1),
                                      testing::Pair("nested_span", 1), testing::Pair("no_content", 2),
                                      testing::Pair("content_cut", 1), testing::Pair("bad_span", 1)));
  EXPECT_EQ(kept_.calls[5].failure, "cut");
  EXPECT_TRUE(meta(5).flags.truncated);
  EXPECT_EQ(kept_.calls[6].failure, "error");
  EXPECT_EQ(json::serialize(kept_.calls[6].call.body.error), R"({"type":"timeout"})");
}

TEST_F(Otlp, AnEventWithoutItsSpanIsACall) {
  EXPECT_EQ(content_text(*answer_of(kept_.calls[7].call.body)), "p-e-a-r");
  EXPECT_EQ(meta(7).time_ms, 1772438409000);
}

TEST_F(Otlp, NothingPlantedReachesTheBody) {
  for (const auto& logged : kept_.calls) {
    const std::string text = json::serialize(to_json(logged.call.body));
    for (const auto* planted : {"orla.brandt", "sk-planted", "203.0.113.77", "node-17", "s-openinf", "claims-desk"})
      EXPECT_EQ(text.find(planted), std::string::npos) << planted;
  }
}

// The same call written by four instrumentations is one canonical call: equal tags (they are made of this text and
// the second of the call).
TEST(OtelFixtures, OneCallInEveryConvention) {
  const auto folder = std::filesystem::path(SLM_SOURCE_DIR) / "../shared/data/otel";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no folder of outside data beside the project";
  std::vector<std::string> texts;
  for (const auto* name : {"otel_genai_client_span_tool_calls", "otel_genai_deprecated_client_span_tool_calls",
                           "openinference_client_span_tool_calls", "openinference_client_span_input_output_only"}) {
    const auto attributes = json_of(read_file(folder / (std::string(name) + ".json")).value());
    otel::Batch batch;
    otel::Span span;
    span.trace_id = span.span_id = "01";
    span.start_ns = 1772438400000000000;
    span.end_ns = 1772438401000000000;
    span.attributes = attributes.as_object();
    batch.spans.push_back(std::move(span));
    OtlpJoiner joiner;
    Kept kept;
    joiner.add(std::move(batch), 1, kept);
    joiner.finish(kept);
    ASSERT_EQ(kept.calls.size(), 1U) << name;
    texts.push_back(canonical_text(kept.calls[0].call.body));
    EXPECT_EQ(kept.calls[0].call.meta.usage.n_in, 97) << name;
    EXPECT_EQ(kept.calls[0].call.meta.model, "gpt-4-0613") << name;
    EXPECT_EQ(texts.back(), texts.front()) << name;
  }
  EXPECT_THAT(texts.front(), testing::HasSubstr("57°F."));
  EXPECT_THAT(texts.front(), testing::HasSubstr(R"("max_tokens":200)"));
}

// tests/data/otlp: the same records written as protobuf by opentelemetry-proto (scripts/interop/otlp.py).
TEST(OtlpProtobuf, GivesTheSpansThatJsonGives) {
  const auto lines = lines_of("tests/data/call/otlp.jsonl");
  OtlpJoiner from_json, from_protobuf;
  Kept a, b;
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto record = json_of(lines[i]);
    const bool traces = record.as_object().contains("resourceSpans");
    const auto bytes =
        read_file(fmt::format("{}/tests/data/otlp/{}.{}.pb", SLM_SOURCE_DIR, i, traces ? "traces" : "logs"));
    ASSERT_TRUE(bytes.has_value()) << i;
    otel::Batch one, other;
    ASSERT_EQ(otel::read_json(record, one), "");
    ASSERT_EQ((traces ? otel::read_protobuf_traces : otel::read_protobuf_logs)(*bytes, other), "");
    ASSERT_EQ(one.spans.size(), other.spans.size());
    for (size_t k = 0; k < one.spans.size(); ++k) {
      EXPECT_EQ(one.spans[k].attributes, other.spans[k].attributes);
      EXPECT_EQ(one.spans[k].trace_id, other.spans[k].trace_id);
      EXPECT_EQ(one.spans[k].parent_id, other.spans[k].parent_id);
      EXPECT_EQ(one.spans[k].service, other.spans[k].service);
    }
    from_json.add(std::move(one), 1, a);
    from_protobuf.add(std::move(other), 1, b);
  }
  from_json.finish(a);
  from_protobuf.finish(b);
  ASSERT_EQ(a.calls.size(), 8U);
  ASSERT_EQ(b.calls.size(), a.calls.size());
  EXPECT_EQ(b.skipped, a.skipped);
  for (size_t i = 0; i < a.calls.size(); ++i) {
    EXPECT_EQ(to_json(b.calls[i].call.meta), to_json(a.calls[i].call.meta)) << i;
    EXPECT_EQ(canonical_text(b.calls[i].call.body), canonical_text(a.calls[i].call.body)) << i;
  }
}

TEST(OtlpProtobuf, EveryCutAndEveryFlippedBitIsReadOrRefused) {
  const auto bytes = read_file(std::string(SLM_SOURCE_DIR) + "/tests/data/otlp/6.traces.pb").value();
  int n_refused = 0;
  for (size_t n = 0; n < bytes.size(); ++n) {
    otel::Batch batch;
    n_refused += !otel::read_protobuf_traces(bytes.substr(0, n), batch).empty();
  }
  EXPECT_GT(n_refused, static_cast<int>(bytes.size()) - 3) << "a cut message isn't whole";
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string other = bytes;
    other[i] = static_cast<char>(other[i] ^ (1 << i % 8));
    OtlpJoiner joiner;
    Kept kept;
    otel::Batch batch;
    if (otel::read_protobuf_traces(other, batch).empty()) joiner.add(std::move(batch), 1, kept);
    joiner.finish(kept);
  }
}

TEST(OtlpProtobuf, ValuesTooDeepAreRefused) {
  // AnyValue { array_value { values: [ … ] } }, 100 times.
  const auto wrap = [](char tag, const std::string& inner) {
    std::string out(1, tag);
    for (size_t n = inner.size();; n >>= 7) {
      out += static_cast<char>((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
      if (n <= 0x7f) break;
    }
    return out + inner;
  };
  std::string value = wrap(0x0a, "x");
  for (int i = 0; i < 100; ++i) value = wrap(0x2a, wrap(0x0a, value));
  const std::string attribute = wrap(0x0a, "key") + wrap(0x12, value);
  const std::string ids = wrap(0x0a, std::string(16, 1)) + wrap(0x12, std::string(8, 1));
  otel::Batch batch;
  EXPECT_EQ(otel::read_protobuf_traces(wrap(0x0a, wrap(0x12, wrap(0x12, ids + wrap(0x4a, attribute)))), batch),
            "bad_otlp");
}

TEST(OtlpJoiner, ASpanSentTwiceIsOne) {
  const auto lines = lines_of("tests/data/call/otlp.jsonl");
  Kept kept;
  join(std::vector<std::string>{lines[1], lines[1]}, kept);
  EXPECT_EQ(kept.calls.size(), 1U);
  EXPECT_THAT(kept.skipped, ElementsAre("repeated_span"));
}

TEST(OtlpJoiner, KeepsToItsBound) {
  OtlpJoiner joiner;
  Kept kept;
  const std::string text(1 << 20, 'x');
  for (int i = 1; i <= 80; ++i) {
    otel::Batch batch;
    otel::Span span;
    span.trace_id = span.span_id = fmt::format("{:02x}", i);
    span.start_ns = 1;
    span.attributes = {{"gen_ai.operation.name", "chat"}, {"gen_ai.prompt", text}, {"gen_ai.completion", "yes"}};
    batch.spans.push_back(std::move(span));
    joiner.add(std::move(batch), i, kept);
  }
  EXPECT_GE(kept.calls.size(), 15U);
  EXPECT_LT(kept.calls.size(), 80U);
  joiner.expire(79, kept);
  EXPECT_EQ(kept.calls.size(), 78U);
  joiner.finish(kept);
  EXPECT_EQ(kept.calls.size(), 80U);
}

TEST(OtlpJoiner, RefusesWhatIsNone) {
  for (const auto* text : {"[]", "3", R"({"resourceSpans":3})", R"({"resourceSpans":[3]})",
                           R"({"resourceSpans":[{"scopeSpans":[{"spans":[7]}]}]})", R"({"a":1})"}) {
    Kept kept;
    json::value record = json_of(text);
    EXPECT_EQ(parse_otlp(record, kept), "bad_otlp") << text;
  }
}

TEST(OtlpJoiner, TheDeepestTextIsReadBack) {
  for (const size_t depth : {size_t{64}, size_t{65}}) {
    const std::string nest(depth - 3, '[');
    const std::string tools = R"([{"name":"f","parameters":{"x":)" + nest + "1" + std::string(depth - 3, ']') + "}}]";
    otel::Batch batch;
    otel::Span span;
    span.trace_id = span.span_id = "01";
    span.attributes = {{"gen_ai.operation.name", "chat"},
                       {"gen_ai.prompt", "q"},
                       {"gen_ai.completion", "a"},
                       {"gen_ai.tool.definitions", tools}};
    batch.spans.push_back(std::move(span));
    OtlpJoiner joiner;
    Kept kept;
    joiner.add(std::move(batch), 1, kept);
    joiner.finish(kept);
    if (depth > 64) {
      EXPECT_THAT(kept.skipped, ElementsAre("content_cut"));
      continue;
    }
    ASSERT_EQ(kept.calls.size(), 1U);
    EXPECT_TRUE(parse_json(json::serialize(to_json(kept.calls[0].call.body))).has_value());
  }
}

TEST(OtlpJoiner, ParentsInACircleEnd) {
  OtlpJoiner joiner;
  Kept kept;
  otel::Batch batch;
  for (int i = 0; i < 3; ++i) {
    otel::Span span;
    span.trace_id = "01";
    span.span_id = fmt::format("{:02x}", i + 1);
    span.parent_id = fmt::format("{:02x}", (i + 1) % 3 + 1);
    span.attributes = {{"gen_ai.operation.name", "chat"}, {"gen_ai.prompt", "q"}, {"gen_ai.completion", "a"}};
    batch.spans.push_back(std::move(span));
  }
  joiner.add(std::move(batch), 1, kept);
  joiner.finish(kept);
  EXPECT_EQ(kept.calls.size() + kept.skipped.size(), 3U);
}

}  // namespace
}  // namespace slm::dialects
