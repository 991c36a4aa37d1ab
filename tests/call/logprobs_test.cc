#include "call/logprobs.h"

#include <gmock/gmock.h>

#include "call/call.h"
#include "call/dialect_log.h"
#include "schema/json.h"

namespace slm {
namespace {

// As openai-python's ChatCompletionTokenLogprob has them: a euro sign in two tokens, then the end of the turn.
constexpr const char* kRecord = R"({"request":{"model":"m","messages":[{"role":"user","content":"price?"}]},"response":{
  "choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"5 \u20ac"},"logprobs":{"refusal":null,"content":[
   {"token":"5","bytes":[53],"logprob":-0.25,"top_logprobs":[{"token":"5","bytes":[53],"logprob":-0.25},{"token":"6","bytes":null,"logprob":-1.5000049}]},
   {"token":" ","logprob":0.0,"top_logprobs":[]},
   {"token":"bytes:\\xe2\\x82","bytes":[226,130],"logprob":-0.5,"top_logprobs":[{"token":"\\xe2","bytes":[226],"logprob":-9999.0}]},
   {"token":"bytes:\\xac","bytes":[172],"logprob":-0.125,"top_logprobs":[]},
   {"token":"<|end|>","bytes":[60,124,62],"logprob":-0.01,"top_logprobs":[]}]}}]}})";

CallBody read(const std::string& text) {
  dialects::Kept kept;
  EXPECT_EQ(dialects::read(text, kept), "");
  return kept.calls.empty() ? CallBody{} : kept.calls[0].call.body;
}

std::string with(std::string text, const std::string& what, const std::string& by) {
  const auto at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), by);
}

TEST(Logprobs, AreKeptInShortThroughTheEndOfTheAnswer) {
  const CallBody body = read(kRecord);
  const json::array* held = logprobs_of(body);
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(json::serialize(*held),
            R"([["5",-2.5E-1,[["5",-2.5E-1],["6",-1.5E0]]],[" ",0E0,[]],[[226,130],-5E-1,[[[226],-9.999E3]]],)"
            R"([[172],-1.25E-1,[]]])");
  const auto tokens = logged_tokens(*held);
  ASSERT_EQ(tokens.size(), 4u);
  EXPECT_EQ(tokens[2].bytes, "\xe2\x82");
  EXPECT_EQ(tokens[2].top[0].first, "\xe2");

  const json::object document = to_json(body);
  const auto again = call_body_from_json(document);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->choices, body.choices);
  EXPECT_TRUE(
      validate_json(json::object{{"meta", to_json(CallMeta{})}, {"body", document}}, "schemas/call/call.schema.json"));
  // What duplicates are found by doesn't know them.
  CallBody without = body;
  without.choices[0].as_object().erase("logprobs");
  EXPECT_EQ(canonical_text(without), canonical_text(body));
}

TEST(Logprobs, WhatDoesNotSpellTheAnswerIsNotKept) {
  for (const auto& [what, by] : {std::pair{R"("content":"5 \u20ac")", R"("content":"6 \u20ac")"},
                                 {R"("content":"5 \u20ac")", R"("content":"5 \u20acx")"},
                                 {R"("content":"5 \u20ac")", R"("content":null)"},
                                 {R"("bytes":[226,130])", R"("bytes":[226,1300])"},
                                 {R"("logprob":-0.5)", R"("logprob":"x")"},
                                 {R"("logprob":-0.5)", R"("logprob":2)"},
                                 {R"("content":[)", R"("tokens":[)"}})
    EXPECT_EQ(logprobs_of(read(with(kRecord, what, by))), nullptr) << by;
}

TEST(Logprobs, ADamagedListIsNone) {
  for (const char* text : {R"([1])", R"([["a"]])", R"([["a",-1]])", R"([["a",-1,1]])", R"([["a",-1,[["b"]]]])",
                           R"([[[300],-1,[]]])", R"([["a",null,[]]])", R"([{}])"})
    EXPECT_TRUE(logged_tokens(json::parse(text).as_array()).empty()) << text;
}

}  // namespace
}  // namespace slm
