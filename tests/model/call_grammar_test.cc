#include "model/call_grammar.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "model/call_templates.h"
#include "model/call_text.h"
#include "model/codec.h"
#include "model/model.h"
#include "model/sampled.h"
#include "model/test_model.h"

namespace slm::model {
namespace {

std::string unmarked(std::string_view text) { return std::string(text); }

Abilities abilities_of(const CallTemplate& row) {
  auto parsed = text::ChatTemplate::parse(call_template(row.calls));
  auto found = probe(*parsed, {});
  EXPECT_TRUE(found && found->calls) << row.name;
  return *found;
}

const CallTemplate& row_of(std::string_view name) {
  for (const CallTemplate& row : kCallTemplates)
    if (row.name == name) return row;
  ADD_FAILURE() << name;
  return kCallTemplates[0];
}

bool takes(const std::shared_ptr<const ByteGrammar>& grammar, std::string_view text) {
  ByteAutomaton automaton(grammar);
  auto state = automaton.start();
  for (const char c : text) state = automaton.step(state, static_cast<uint8_t>(c));
  return automaton.accepting(state);
}

// Tools whose arguments take every kind of value.
json::array sampled_tools() {
  return json::parse(R"([
    {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object", "properties": {
      "order_id": {"type": "string"}, "limit": {"type": "integer", "minimum": 1, "maximum": 50},
      "kind": {"enum": ["new", "it is: old", "größe"]}, "exact": {"type": "boolean"},
      "ratio": {"type": "number"}, "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 3},
      "where": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}, "n": {"$ref": "#/$defs/n"}},
                "additionalProperties": false},
      "note": {"type": ["string", "null"], "maxLength": 12}, "size": {"type": ["integer", "string"]}},
      "$defs": {"n": {"type": "integer", "minimum": 0}}, "required": ["order_id", "limit"], "additionalProperties": false}}},
    {"type": "function", "function": {"name": "list_all"}},
    {"type": "function", "function": {"name": "set-name", "description": "x", "parameters": {"type": "object",
      "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 6}}, "required": ["name"]}}}])")
      .as_array();
}

// Single bytes, words and pieces that span the marks of calls.
std::shared_ptr<const Vocabulary> byte_vocabulary() {
  std::vector<std::string> bytes;
  for (int b = 0; b < 255; ++b) bytes.emplace_back(1, static_cast<char>(b));
  for (const char* word : {"order", "</", "\"}", "'}", "', ", "\", \"", "\n</", ">\n", "</parameter>", "größe", "true",
                           "None", "{\"", "<tool_call>\n", "parameter=", "\xc3", "\xb6\"", "漢字"})
    bytes.emplace_back(word);
  bytes.emplace_back();
  const auto end = static_cast<int32_t>(bytes.size() - 1);
  return std::make_shared<Vocabulary>(std::move(bytes), std::vector{end});
}

// The schema of one sampled tool, as the grammar has it.
json::value schema_of(const json::array& tools, std::string_view name) {
  for (const auto& tool : tools) {
    const auto& function = tool.at("function").as_object();
    if (get_string(function, "name") != name) continue;
    if (const auto* parameters = function.if_contains("parameters")) return *parameters;
    return {{"type", "object"}, {"additionalProperties", false}};
  }
  return nullptr;
}

// SLMCONV_INTEROP_SAMPLES: where the arguments go, for another validator; then there are 10,000 samples in all.
TEST(CallGrammar, RandomAnswersAreCallsOfTheTools) {
  const json::array tools = sampled_tools();
  const auto vocabulary = byte_vocabulary();
  const char* path = std::getenv("SLMCONV_INTEROP_SAMPLES");
  std::ofstream samples;
  if (path != nullptr) samples.open(path, std::ios::app);
  const int n_each = path == nullptr ? 60 : 10000 / static_cast<int>(std::size(kCallTemplates)) + 1;
  int n_all = 0, n_ended = 0, n_calls = 0;
  for (const CallTemplate& row : kCallTemplates) {
    SCOPED_TRACE(row.name);
    const Abilities abilities = abilities_of(row);
    const auto grammar = call_grammar(abilities.format, tools, unmarked);
    ASSERT_TRUE(grammar) << grammar.error().message;
    TokenMask mask(vocabulary, *grammar);
    Prng random(17);
    for (int i = 0; i < n_each; ++i, ++n_all) {
      const Sampled made = sample(mask, *vocabulary, random, 6000);
      if (!made.ended) continue;
      ++n_ended;
      std::string text;
      for (const int32_t id : made.ids) text += vocabulary->bytes_of(id);
      const ParsedAnswer parsed = parse_answer(text, abilities.format, tools);
      ASSERT_TRUE(parsed.message.contains("tool_calls")) << text;
      ASSERT_TRUE(parsed.message.at("content").is_null()) << text;
      ASSERT_FALSE(parsed.malformed) << text;
      for (const auto& call : parsed.message.at("tool_calls").as_array()) {
        const auto& function = call.at("function").as_object();
        const json::value schema = schema_of(tools, get_string(function, "name"));
        ASSERT_FALSE(schema.is_null()) << text;
        const auto arguments = parse_json(get_string(function, "arguments"));
        ASSERT_TRUE(arguments) << text;
        ASSERT_TRUE(valid(schema, *arguments)) << text << "\n" << get_string(function, "arguments");
        ++n_calls;
        if (samples.is_open())
          samples << json::serialize(json::object{{"schema", schema}, {"text", get_string(function, "arguments")}})
                  << '\n';
      }
    }
  }
  EXPECT_GT(n_ended, n_all / 2);
  EXPECT_GT(n_calls, n_ended);
}

TEST(CallGrammar, TakesWhatTheTemplateWrites) {
  const json::array tools = sampled_tools();
  const json::object arguments = json::parse(R"({"order_id": "A-7 größe", "limit": 7, "exact": true, "tags": ["a"],
                                                 "where": {"city": "Oslo", "n": 3}, "note": "say"})")
                                     .as_object();
  for (const CallTemplate& row : kCallTemplates) {
    SCOPED_TRACE(row.name);
    const CallFormat format = abilities_of(row).format;
    const auto grammar = call_grammar(format, tools, unmarked);
    ASSERT_TRUE(grammar);
    const json::object call = tool_call("find_order", arguments, "123456789");
    EXPECT_TRUE(takes(*grammar, write_calls(format, {call}))) << write_calls(format, {call});
    const json::array two{call, tool_call("list_all", json::object(), "123456780")};
    EXPECT_EQ(takes(*grammar, write_calls(format, two)), format.several) << write_calls(format, two);
    for (const json::object& other :
         {tool_call("find", arguments, "123456789"), tool_call("find_order", json::object{{"limit", 7}}, "123456789"),
          tool_call("find_order", json::object{{"order_id", "a"}, {"limit", 70}}, "123456789"),
          tool_call("list_all", json::object{{"x", 1}}, "123456789")})
      EXPECT_FALSE(takes(*grammar, write_calls(format, {other}))) << write_calls(format, {other});
    EXPECT_FALSE(takes(*grammar, "Hello."));
    EXPECT_FALSE(takes(*grammar, ""));
  }
}

TEST(CallGrammar, RefusesWhatItCannotKeepTo) {
  const CallFormat json = plain_calls(), pairs = abilities_of(row_of("GLM")).format,
                   quoted = abilities_of(row_of("LFM2")).format;
  struct Row {
    const CallFormat* format;
    const char* tools;
    ErrorCode code;
    const char* shown;
  };
  for (const Row& row : {
           Row{&json, "[]", ErrorCode::kBadInput, "no tool"},
           {&json, "[3]", ErrorCode::kBadInput, "tool 1 of 1"},
           {&json, R"([{"type": "function", "function": {}}])", ErrorCode::kBadInput, "no name"},
           {&json, R"([{"function": {"name": "f", "parameters": {"type": "string"}}}])", ErrorCode::kBadInput,
            "object"},
           {&json, R"([{"function": {"name": "f", "parameters": {"type": "object", "patternProperties": {}}}}])",
            ErrorCode::kUnsupportedModel, "patternProperties"},
           {&json, R"([{"function": {"name": "f", "parameters": 3}}])", ErrorCode::kBadInput, "parameters"},
           {&pairs, R"([{"function": {"name": "f(", "parameters": {}}}])", ErrorCode::kUnsupportedModel, "its name"},
           {&pairs, R"([{"function": {"name": "f", "parameters": {"properties": {"a": {"anyOf": [{"type": "string"},
              {"type": "integer"}]}}}}}])",
            ErrorCode::kUnsupportedModel, "anyOf"},
           {&pairs,
            R"([{"function": {"name": "f", "parameters": {"properties": {"a": {"enum": ["x</arg_value>"]}}}}}])",
            ErrorCode::kUnsupportedModel, "enum"},
           {&quoted, R"([{"function": {"name": "f", "parameters": {"properties": {"a": {"const": "it's"}}}}}])",
            ErrorCode::kUnsupportedModel, "enum"},
           {&quoted, R"([{"function": {"name": "f", "parameters": {"required": ["a"]}}}])",
            ErrorCode::kUnsupportedModel, "required"},
       }) {
    const auto grammar = call_grammar(*row.format, json::parse(row.tools).as_array(), unmarked);
    ASSERT_FALSE(grammar) << row.tools;
    EXPECT_EQ(grammar.error().code, row.code) << row.tools;
    EXPECT_NE(grammar.error().message.find(row.shown), std::string::npos) << grammar.error().message;
  }
  CallFormat unknown;
  unknown.problem = "because";
  EXPECT_NE(call_grammar(unknown, sampled_tools(), unmarked).error().message.find("because"), std::string::npos);
}

// Marks of calls that are special tokens are ids: an answer may choose them, and nothing else that is special.
TEST(CallGrammar, MarksThatAreSpecialTokens) {
  std::string calls = row_of("LFM2").calls;
  for (const auto& [from, to] : {std::pair{"<|tool_call_start|>", "<|tool|>"}, {"<|tool_call_end|>", "<|left|>"}})
    calls.replace(calls.find(from), std::string_view(from).size(), to);
  const auto dir = make_model_dir("call_marks", call_template(calls.c_str()));
  auto codec = Codec::open(dir);
  ASSERT_TRUE(codec) << codec.error().message;
  const Codec& c = **codec;
  const json::array tools = sampled_tools();
  const auto grammar = c.call_grammar(tools);
  ASSERT_TRUE(grammar) << grammar.error().message;
  TokenMask mask(c.vocabulary(), *grammar);
  TokenMask::Cursor cursor;
  const int32_t open = c.encode_text("<|tool|>").front();
  EXPECT_TRUE(TokenMask::has(*mask.allowed(cursor), open));
  for (const char* other : {"<|left|>", "<|im_start|>", "<|im_end|>"})
    EXPECT_FALSE(TokenMask::has(*mask.allowed(cursor), c.encode_text(other).front())) << other;

  const json::object answer{{"role", "assistant"},
                            {"content", ""},
                            {"tool_calls", json::array{tool_call("set-name", json::object{{"name", "Ada"}}, "c")}}};
  const Prompt prompt{{{{"role", "user"}, {"content", "go"}}}, tools};
  const auto example = c.encode_example(prompt, answer);
  ASSERT_TRUE(example) << example.error().message;
  const auto ids = std::span<const int32_t>(example->ids).subspan(example->n_prompt);
  EXPECT_EQ(ids.front(), open);
  for (const int32_t id : ids) EXPECT_TRUE(mask.accept(cursor, id)) << c.decode_text({&id, 1}, true);
  EXPECT_TRUE(same_calls(c.decode_answer(ids.first(ids.size() - 1), tools), answer));

  // An argument that reads back as another is refused.
  const json::object lossy{{"role", "assistant"},
                           {"content", ""},
                           {"tool_calls", json::array{tool_call("set-name", json::object{{"name", "a', b='c"}}, "c")}}};
  const auto refused = c.encode_example(prompt, lossy);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBadInput);
  std::filesystem::remove_all(dir);
}

// A model of random logits at temperature 2.
TEST(CallGrammar, GenerateToolsOnly) {
  const auto dir = make_model_dir("call_generate", call_template(row_of("Qwen3-Coder, Nemotron 3").calls));
  auto codec = Codec::open(dir);
  ASSERT_TRUE(codec) << codec.error().message;
  auto random = std::make_shared<Prng>(5);
  auto engine = std::make_unique<FakeEngine>(448, 4000, [random](const std::vector<int32_t>&) {
    std::vector<float> out(448);
    for (float& x : out) x = static_cast<float>(random->normal());
    return out;
  });
  auto model = Model::from_parts(std::move(*codec), std::move(engine));
  ASSERT_TRUE(model);
  GenerateOptions options;
  options.tools_only = true;
  options.temperature = 2;
  options.max_new_tokens = 1500;
  const json::array tools = sampled_tools();
  const json::array few{tools[1]};
  std::vector<Prompt> prompts;
  for (int i = 0; i < 12; ++i)
    prompts.push_back({{{{"role", "user"}, {"content", std::to_string(i)}}}, i % 2 == 0 ? tools : few});
  const auto answers = (*model)->generate(prompts, options);
  ASSERT_TRUE(answers) << answers.error().message;
  int n_ended = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const Answer& answer = (*answers)[i];
    if (!answer.ended) continue;
    ++n_ended;
    ASSERT_TRUE(answer.message.contains("tool_calls")) << json::serialize(answer.message);
    EXPECT_FALSE(answer.malformed);
    for (const auto& call : answer.message.at("tool_calls").as_array()) {
      const auto& function = call.at("function").as_object();
      const json::value schema = schema_of(prompts[i].tools, get_string(function, "name"));
      EXPECT_TRUE(!schema.is_null() && valid(schema, *parse_json(get_string(function, "arguments"))));
    }
  }
  EXPECT_GE(n_ended, 6);

  options.schema = json::object();
  EXPECT_EQ((*model)->generate(prompts, options).error().code, ErrorCode::kUsage);
  options.schema.reset();
  prompts[3].tools.clear();
  EXPECT_EQ((*model)->generate(prompts, options).error().code, ErrorCode::kBadInput);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace slm::model
