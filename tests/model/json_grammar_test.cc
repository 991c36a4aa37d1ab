#include "model/json_grammar.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "model/sampled.h"
#include "text/test_paths.h"
#include "text/tokenizer.h"

namespace slm::model {
namespace {

bool takes(const ByteGrammar& grammar, std::string_view text) {
  // Not owned: it outlives the automaton.
  ByteAutomaton automaton(std::shared_ptr<const ByteGrammar>(std::shared_ptr<void>(), &grammar));
  auto state = automaton.start();
  for (const char c : text) state = automaton.step(state, static_cast<uint8_t>(c));
  return automaton.accepting(state);
}

std::shared_ptr<const ByteGrammar> grammar_of(std::string_view schema) {
  auto grammar = json_grammar(json::parse(schema));
  EXPECT_TRUE(grammar) << schema << ": " << grammar.error().message;
  return grammar ? *grammar : nullptr;
}

TEST(JsonGrammar, TakesWhatTheSchemaAllowsAndNothingElse) {
  struct Row {
    const char* schema;
    std::vector<const char*> valid, invalid;
  };
  const Row rows[] = {
      {R"({"type": "null"})", {"null", " null"}, {"", "nul", "nulls", "null ", "true"}},
      {R"({"type": ["boolean", "null"]})", {"true", "false", "null"}, {"1", "\"true\""}},
      {R"({"type": "integer"})",
       {"0", "7", "-7", "120", "999999999999999"},
       {"-0", "00", "01", "1.0", "1e3", "+1", "-", "", "9999999999999999"}},
      {R"({"type": "number"})",
       {"0", "-0.5", "1.25", "1e5", "1E-05", "12.5e+10"},
       {".5", "1.", "1e", "--1", "NaN", "01.5", "1e100"}},
      {R"({"type": "integer", "minimum": 7, "maximum": 120})",
       {"7", "8", "9", "10", "42", "99", "100", "119", "120"},
       {"0", "6", "-7", "121", "130", "200", "1000", "007"}},
      {R"({"type": "integer", "minimum": -12, "exclusiveMaximum": 3})",
       {"-12", "-10", "-9", "-1", "0", "2"},
       {"-13", "-20", "3", "-0", "10"}},
      {R"({"type": "integer", "exclusiveMinimum": 1.5, "maximum": 3.5})", {"2", "3"}, {"1", "4"}},
      {R"({"type": "number", "minimum": 0, "maximum": 1})",
       {"0", "1", "0.5", "0.0", "0.999999"},
       {"-0.5", "1.5", "1.0000001", "2", "1e0", "-0.1"}},
      {R"({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 2})",
       {"1", "0.5", "0.001", "1.999999", "1.0"},
       {"0", "0.0", "0.000", "2", "2.0"}},
      {R"({"type": "number", "exclusiveMinimum": -2, "exclusiveMaximum": 0})",
       {"-1", "-0.5", "-1.999999", "-1.0"},
       {"0", "-0.0", "-2", "-2.0", "0.5"}},
      {R"({"type": "string"})",
       {R"("")", R"("a b")", R"("größe 漢 😀")", R"("\n\"\\\/\u00e9\ud83d\ude00")"},
       {"\"", "a", "\"a\nb\"", R"("\x")", R"("\ud83d")", R"("\ude00")", "\"\xff\"", "\"\xc0\x80\"",
        "\"\xed\xa0\x80\""}},
      {R"({"type": "string", "minLength": 2, "maxLength": 3})",
       {R"("ab")", R"("äöü")", R"("😀😀")", R"("\ud83d\ude00\n")"},
       {R"("a")", R"("abcd")", R"("😀")", R"("")"}},
      {R"({"enum": ["a", "größe", 3, 1.5, null, {"k": [1, 2]}]})",
       {R"("a")", R"("größe")", "3", "1.5", "null", R"({"k": [1, 2]})", R"({"k":[1,2]})"},
       {R"("b")", "4", R"({"k": [1]})", "a"}},
      {R"({"type": "string", "enum": ["a", 3]})", {R"("a")"}, {"3"}},
      {R"({"const": "only"})", {R"("only")"}, {R"("other")"}},
      {R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
       {"[1]", "[1,2]", "[1, 2, 3]"},
       {"[]", "[1,2,3,4]", "[ 1]", "[1 ,2]", "[1,  2]", "[1,]", "[null]"}},
      {R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"}},
      {R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "null"},
           "minItems": 1, "maxItems": 4})",
       {"[1]", R"([1, "a"])", R"([1, "a", null])", R"([1, "a", null, null])"},
       {"[]", R"(["a"])", "[1, 2]", R"([1, "a", 3])", R"([1, "a", null, null, null])"}},
      {R"({"type": "array", "prefixItems": [{"type": "integer"}], "items": false})", {"[]", "[1]"}, {"[1, 2]"}},
      {R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}, "c": {"type": "null"}},
           "required": ["b"], "additionalProperties": false})",
       {R"({"b": true})", R"({"a": 1, "b": true})", R"({"a":1,"b":false,"c":null})", R"({"b": true, "c": null})"},
       {"{}", R"({"a": 1})", R"({"b": true, "a": 1})", R"({"b": true, "b": true})", R"({"b": true,})",
        R"({"b": true, "d": 1})", R"({,"b": true})"}},
      {R"({"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}})",
       {R"({"x": 1})"},
       {"{}", R"({"x": "a"})"}},
      {R"({"type": "object", "additionalProperties": {"type": "integer"}})",
       {"{}", R"({"any": 1, "other": 2})"},
       {R"({"any": "a"})"}},
      {R"({"type": "object", "properties": {}})", {"{}"}, {R"({"a": 1})"}},
      {R"({"type": "object"})", {"{}", R"({"a": {"b": [1, "c", null]}})"}, {"[]", "1"}},
      {R"({})", {"{}", "[1, {\"a\": true}]", "1.5", "null"}, {"[", "tru"}},
      {R"({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]})",
       {"3", "[3]"},
       {"\"3\"", "[[3]]"}},
      {R"({"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "n": {"type": "integer"}},
                      "required": ["kind", "n"]},
                     {"type": "object", "properties": {"kind": {"enum": ["b", "c"]}}, "required": ["kind"]}]})",
       {R"({"kind": "a", "n": 1})", R"({"kind": "c"})"},
       {R"({"kind": "a"})", R"({"kind": "b", "n": 1})"}},
      {R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"},
           "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["v", "next"]}}})",
       {R"({"v": 1, "next": null})", R"({"v": 1, "next": {"v": 2, "next": {"v": 3, "next": null}}})"},
       {R"({"v": 1})", R"({"v": 1, "next": {"v": 2}})"}},
      {R"({"allOf": [{"$ref": "#/definitions/a~1b"}], "definitions": {"a/b": {"type": "boolean"}}})", {"true"}, {"1"}},
      {R"({"type": "boolean", "title": "t", "description": "d", "default": 1, "examples": [1], "format": "x"})",
       {"true"},
       {"1"}},
  };
  for (const Row& row : rows) {
    const auto grammar = grammar_of(row.schema);
    ASSERT_TRUE(grammar);
    for (const char* text : row.valid) EXPECT_TRUE(takes(*grammar, text)) << row.schema << "\n" << text;
    for (const char* text : row.invalid) EXPECT_FALSE(takes(*grammar, text)) << row.schema << "\n" << text;
  }
}

// Every integer near every bound, against comparison.
TEST(JsonGrammar, IntegerBoundsAreExact) {
  for (const int low : {-1204, -100, -99, -10, -1, 0, 1, 9, 10, 95, 100, 199})
    for (const int high : {-101, -1, 0, 5, 9, 10, 99, 100, 101, 1000, 1203}) {
      if (low > high) continue;
      const auto grammar =
          grammar_of(json::serialize(json::object{{"type", "integer"}, {"minimum", low}, {"maximum", high}}));
      for (int i = -1300; i <= 1300; ++i)
        ASSERT_EQ(takes(*grammar, std::to_string(i)), i >= low && i <= high) << low << " " << high << " " << i;
    }
}

TEST(JsonGrammar, RefusesByName) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"type": "string", "pattern": "a+"})", "pattern"},
      {R"({"type": "object", "patternProperties": {}})", "patternProperties"},
      {R"({"type": "array", "uniqueItems": true})", "uniqueItems"},
      {R"({"type": "integer", "multipleOf": 2})", "multipleOf"},
      {R"({"not": {"type": "null"}})", "not"},
      {R"({"type": "object", "properties": {"a": {"type": "object", "minProperties": 1}}})", "minProperties"},
      {R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})", "oneOf"},
      {R"({"oneOf": [{"type": "string"}, {"enum": ["a"]}]})", "oneOf"},
      {R"({"allOf": [{"type": "string"}, {"maxLength": 3}]})", "allOf"},
      {R"({"anyOf": [{"type": "string"}], "enum": ["a"]})", "enum"},
      {R"({"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}]})", "properties"},
      {R"({"type": "number", "minimum": 0.5})", "minimum"},
      {R"({"$ref": "other.json"})", "$ref"},
      {R"({"type": "array", "items": [{"type": "null"}]})", "items"},
      {R"({"what does this customer say": 1})", "isn't one of JSON Schema"},
  };
  for (const auto& [schema, name] : rows) {
    const auto grammar = json_grammar(json::parse(schema));
    ASSERT_FALSE(grammar) << schema;
    EXPECT_EQ(grammar.error().code, ErrorCode::kUnsupportedModel) << schema;
    EXPECT_NE(grammar.error().message.find(name), std::string::npos) << grammar.error().message;
    EXPECT_EQ(grammar.error().message.find("customer"), std::string::npos);
  }
  for (const char* schema :
       {R"({"type": "text"})", R"({"type": []})", R"({"enum": []})", R"({"type": "string", "enum": [1]})",
        R"({"type": "object", "properties": []})", R"({"type": "array", "minItems": 3, "maxItems": 2})",
        R"({"type": "string", "minLength": -1})", R"({"type": "integer", "minimum": 5, "maximum": 4})",
        R"({"type": "object", "required": ["a"], "properties": {}, "additionalProperties": false})", "3"}) {
    const auto grammar = json_grammar(json::parse(schema));
    ASSERT_FALSE(grammar) << schema;
    EXPECT_EQ(grammar.error().code, ErrorCode::kBadInput) << schema;
  }
  // Recursion without an end.
  for (const char* schema : {R"({"$ref": "#"})", R"({"type": "object", "properties": {"a": {"$ref": "#"}},
                                                     "required": ["a"]})"}) {
    const auto grammar = json_grammar(json::parse(schema));
    ASSERT_FALSE(grammar) << schema;
    EXPECT_EQ(grammar.error().code, ErrorCode::kUnsupportedModel) << schema;
  }
}

TEST(JsonGrammar, RecursionEndsAtTheDepthBound) {
  const auto grammar = grammar_of(R"({"type": "array", "items": {"$ref": "#"}, "maxItems": 2})");
  const auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_TRUE(takes(*grammar, nested(ByteGrammar::kMaxDepth)));
  EXPECT_FALSE(takes(*grammar, nested(ByteGrammar::kMaxDepth + 2)));
}

// A random model over these: each answer that ends is valid.
constexpr const char* kSampled[] = {
    R"({"type": "object", "properties": {"order_id": {"type": "string", "maxLength": 20}, "limit": {"type": "integer",
        "minimum": 1, "maximum": 50}, "note": {"type": ["string", "null"], "maxLength": 40}},
        "required": ["order_id"], "additionalProperties": false})",
    R"({"type": "object", "properties": {"kind": {"enum": ["refund", "größe", "漢字 😀", "a \"quoted\" one"]},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 6}, "maxItems": 4},
        "ok": {"type": "boolean"}}, "required": ["kind", "tags", "ok"]})",
    R"({"$defs": {"tree": {"type": "object", "properties": {"v": {"type": "number"}, "left": {"anyOf":
        [{"$ref": "#/$defs/tree"}, {"type": "null"}]}, "right": {"$ref": "#/$defs/tree"}}, "required": ["v", "left"]}},
        "$ref": "#/$defs/tree"})",
    R"({"type": "array", "items": {"oneOf": [{"type": "integer"}, {"type": "string", "maxLength": 3},
        {"type": "object", "properties": {"a": {"const": 1}, "b": {}}, "required": ["a"]}]}, "minItems": 1,
        "maxItems": 5})",
    R"({"type": "object", "additionalProperties": {"type": "array", "prefixItems": [{"type": "number"},
        {"type": "boolean"}], "items": false, "minItems": 2}})",
    R"({"type": "number", "exclusiveMinimum": -3, "maximum": 117})",
    R"({"type": "string", "minLength": 3, "maxLength": 12})",
    R"({"type": "object"})",
};

void sample_everything(const std::filesystem::path& dir, int32_t end_id, int n_samples, bool all_bytes) {
  const auto tokenizer = text::Tokenizer::open(dir);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  std::vector<std::string> bytes;
  for (int32_t id = 0; id < (*tokenizer)->n_ids(); ++id) bytes.push_back((*tokenizer)->token_bytes(id));
  const auto vocabulary = std::make_shared<Vocabulary>(std::move(bytes), std::vector{end_id});
  std::ofstream samples;
  if (const char* path = std::getenv("SLMCONV_INTEROP_SAMPLES")) samples.open(path, std::ios::app);
  int n_ended = 0, n_all = 0;
  for (const char* text : kSampled) {
    const json::value schema = json::parse(text);
    auto grammar = json_grammar(schema);
    ASSERT_TRUE(grammar) << grammar.error().message;
    TokenMask mask(vocabulary, *grammar);
    Prng random(11);
    for (int i = 0; i < n_samples; ++i, ++n_all) {
      const Sampled made = sample(mask, *vocabulary, random, 300);
      EXPECT_TRUE(made.ended || !all_bytes || made.ids.size() == 300) << text;
      if (!made.ended) continue;
      ++n_ended;
      const std::string answer = (*tokenizer)->decode_rest(made.ids);
      const auto value = parse_json(answer);
      ASSERT_TRUE(value) << text << "\n" << answer;
      ASSERT_TRUE(valid(schema, *value)) << text << "\n" << answer;
      if (samples.is_open()) samples << json::serialize(json::object{{"schema", schema}, {"text", answer}}) << '\n';
    }
  }
  EXPECT_GT(n_ended, n_all / 2);
}

TEST(TokenMask, TenThousandRandomAnswersAreValid) {
  sample_everything(std::filesystem::path(SLM_SOURCE_DIR) / "pipelines/quickstart/base-model", 2, 1250, false);
}

TEST(TokenMask, RandomAnswersOfAByteLevelVocabularyAreValid) {
  const auto dir = outside_data() / "tokenizers/phi-2";
  if (!std::filesystem::exists(dir)) GTEST_SKIP() << dir << " is absent";
  sample_everything(dir, 50256, 30, true);
}

TEST(TokenMask, TokensSpanSymbolsAndSplitCharacters) {
  const auto vocabulary =
      std::make_shared<Vocabulary>(std::vector<std::string>{"{", "}", "\"", "{\"a\": \"", "\"}", "\xc3", "\xb6",
                                                            "\xb6\"}", "\xff", "a\": \"x\"", "", "\": ", "a"},
                                   std::vector<int32_t>{10});
  const auto grammar =
      grammar_of(R"({"type": "object", "properties": {"a": {"type": "string", "maxLength": 1}}, "required": ["a"]})");
  TokenMask mask(vocabulary, grammar);
  TokenMask::Cursor cursor;
  const auto allowed = [&] {
    std::vector<int32_t> out;
    const auto bits = mask.allowed(cursor);
    for (int32_t id = 0; id < static_cast<int32_t>(vocabulary->n_ids()); ++id)
      if (TokenMask::has(*bits, id)) out.push_back(id);
    return out;
  };
  EXPECT_EQ(allowed(), (std::vector<int32_t>{0, 3}));
  EXPECT_FALSE(mask.accept(cursor, 10));  // nothing is whole yet
  EXPECT_FALSE(mask.accept(cursor, 2));
  EXPECT_TRUE(mask.accept(cursor, 3));
  EXPECT_EQ(allowed(), (std::vector<int32_t>{0, 1, 2, 4, 5, 12}));  // one character at most: a token of two is refused
  EXPECT_TRUE(mask.accept(cursor, 5));
  EXPECT_EQ(allowed(), (std::vector<int32_t>{6, 7}));  // the character goes on
  EXPECT_TRUE(mask.accept(cursor, 6));
  EXPECT_EQ(allowed(), (std::vector<int32_t>{2, 4}));
  EXPECT_FALSE(mask.whole(cursor));
  EXPECT_TRUE(mask.accept(cursor, 4));
  EXPECT_EQ(allowed(), (std::vector<int32_t>{10}));
  EXPECT_TRUE(mask.whole(cursor));
  EXPECT_EQ(cursor.text, "{\"a\": \"ö\"}");
}

// Long strings make a state a character, but few masks; a cursor outlives the automaton's states.
TEST(TokenMask, StatesAreForgottenMasksAreShared) {
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) bytes.emplace_back(1, static_cast<char>(b));
  bytes.emplace_back();
  const auto vocabulary = std::make_shared<Vocabulary>(bytes, std::vector<int32_t>{256});
  TokenMask mask(vocabulary, grammar_of(R"({"type": "string", "maxLength": 30000})"));
  TokenMask::Cursor cursor;
  ASSERT_TRUE(mask.accept(cursor, '"'));
  for (int i = 0; i < 30000; ++i) {
    ASSERT_TRUE(TokenMask::has(*mask.allowed(cursor), 'x')) << i;
    ASSERT_TRUE(mask.accept(cursor, 'x'));
  }
  EXPECT_FALSE(TokenMask::has(*mask.allowed(cursor), 'x'));
  ASSERT_TRUE(mask.accept(cursor, '"'));
  EXPECT_TRUE(TokenMask::has(*mask.allowed(cursor), 256));
  EXPECT_LT(mask.n_masks_made(), 20u);
}

}  // namespace
}  // namespace slm::model
