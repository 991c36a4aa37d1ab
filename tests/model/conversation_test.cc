#include "model/conversation.h"

#include <gtest/gtest.h>

#include "core/file.h"
#include "text/test_paths.h"

namespace slm::model {
namespace {

json::value parse(std::string_view text) { return json::parse(text); }

text::ChatTemplate chat_template(std::string source) {
  auto parsed = text::ChatTemplate::parse(std::move(source));
  EXPECT_TRUE(parsed) << parsed.error().message;
  return std::move(*parsed);
}

Abilities abilities_of(std::string source) {
  auto abilities = probe(chat_template(std::move(source)), {});
  EXPECT_TRUE(abilities) << abilities.error().message;
  return *abilities;
}

TEST(Probe, FindsOutWhatTemplatesKnow) {
  const Abilities plain = abilities_of("{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}");
  EXPECT_TRUE(plain.system);
  EXPECT_FALSE(plain.tools);
  EXPECT_FALSE(plain.calls);
  EXPECT_TRUE(plain.results);

  const Abilities no_system = abilities_of(
      "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
      "{% for m in messages if m.role in ['user', 'assistant'] %}{{ m.content }}{% endfor %}");
  EXPECT_FALSE(no_system.system);
  EXPECT_FALSE(no_system.results);

  const Abilities wants_text = abilities_of(
      "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}"
      "{{ c.function.name + '!' + c.function.arguments }}{% endfor %}{% endfor %}");
  EXPECT_TRUE(wants_text.calls);
  EXPECT_TRUE(wants_text.arguments_as_text);
  EXPECT_FALSE(wants_text.format.json);

  const auto nothing = probe(chat_template("hello"), {});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::kUnsupportedModel);
}

TEST(Probe, RealTemplates) {
  const auto folder = outside_data() / "chat-templates";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is absent";
  text::RenderOptions base;
  base.variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  struct Row {
    const char* file;
    bool system, tools, calls, results, as_text;
    const char* written;  // a call
  };
  for (const Row& row : {
           Row{"gemma.jinja", false, false, false, false, false,
               "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": 1}}</tool_call>"},
           Row{"phi3.jinja", true, false, false, false, false,
               "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": 1}}</tool_call>"},
           Row{"llama3_1.jinja", true, true, true, true, false, "{\"name\": \"f\", \"parameters\": {\"x\": 1}}"},
           Row{"qwen2_5.jinja", true, true, true, true, false,
               "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>"},
           Row{"qwen3.jinja", true, true, true, true, false,
               "<think>\n\n</think>\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>"},
       }) {
    auto source = read_file(folder / row.file);
    ASSERT_TRUE(source);
    const auto found = probe(chat_template(*source), base);
    ASSERT_TRUE(found) << row.file << ": " << found.error().message;
    EXPECT_EQ(found->system, row.system) << row.file;
    EXPECT_EQ(found->tools, row.tools) << row.file;
    EXPECT_EQ(found->calls, row.calls) << row.file;
    EXPECT_EQ(found->results, row.results) << row.file;
    EXPECT_EQ(found->arguments_as_text, row.as_text) << row.file;
    EXPECT_EQ(write_calls(found->format, {tool_call("f", json::object{{"x", 1}}, "")}), row.written) << row.file;
  }
}

TEST(Adapt, CleansMessages) {
  const auto messages = parse(R"([
    {"role": "developer", "content": "be brief", "name": null},
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    {"role": "assistant", "content": null, "refusal": null, "tool_calls": []}])")
                            .as_array();
  const Adapted out = adapt(messages, {}, {});
  EXPECT_EQ(
      json::serialize(out.messages),
      R"([{"role":"system","content":"be brief"},{"role":"user","content":"a\nb"},{"role":"assistant","content":""}])");
}

TEST(Adapt, ArgumentsAreObjectsOrTextInTheOrderOfTheLog) {
  const auto messages = parse(R"([{"role": "assistant", "content": "", "tool_calls": [
    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"z\":1,\"a\":[1,2]}"}},
    {"id": "2", "type": "function", "function": {"name": "g", "arguments": "not json"}}]}])")
                            .as_array();
  Abilities abilities;
  auto calls = adapt(messages, {}, abilities).messages[0].at("tool_calls").as_array();
  EXPECT_EQ(json::serialize(calls[0].at("function").at("arguments")), R"({"z":1,"a":[1,2]})");
  EXPECT_EQ(calls[1].at("function").at("arguments"), "not json");
  abilities.arguments_as_text = true;
  calls = adapt(messages, {}, abilities).messages[0].at("tool_calls").as_array();
  EXPECT_EQ(calls[0].at("function").at("arguments"), R"({"z": 1, "a": [1, 2]})");
}

TEST(Adapt, WritesWhatTheTemplateDoesNotKnow) {
  const auto messages = parse(R"([
    {"role": "system", "content": "rules"}, {"role": "user", "content": "find 7"},
    {"role": "assistant", "content": "ok", "tool_calls": [{"id": "1", "type": "function",
      "function": {"name": "f", "arguments": "{\"x\": 7}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "found"}])")
                            .as_array();
  const auto tools = parse(R"([{"type": "function", "function": {"name": "f", "parameters": {}}}])").as_array();
  Abilities none;
  none.system = none.tools = none.calls = none.results = false;
  const Adapted out = adapt(messages, tools, none);
  EXPECT_TRUE(out.tools.empty());
  ASSERT_EQ(out.messages.size(), 3u);
  EXPECT_EQ(out.messages[0].at("role"), "user");
  EXPECT_EQ(out.messages[0].at("content"),
            "rules\n\nTools, one a line:\n{\"name\": \"f\", \"parameters\": {}}\nCall one by writing "
            "<tool_call>{\"name\": …, \"arguments\": {…}}</tool_call>\n\nfind 7");
  EXPECT_EQ(out.messages[1].at("content"), "ok\n<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": 7}}</tool_call>");
  EXPECT_FALSE(out.messages[1].as_object().contains("tool_calls"));
  EXPECT_EQ(out.messages[2].at("role"), "user");
  EXPECT_EQ(out.messages[2].at("content"), "<tool_response>\nfound\n</tool_response>");
}

}  // namespace
}  // namespace slm::model
