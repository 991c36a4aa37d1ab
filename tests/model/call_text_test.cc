#include "model/call_text.h"

#include <gtest/gtest.h>

#include "core/random.h"
#include "model/call_templates.h"

namespace slm::model {
namespace {

CallFormat format_of(std::string_view name) {
  for (const CallTemplate& row : kCallTemplates)
    if (row.name == name) {
      auto parsed = text::ChatTemplate::parse(call_template(row.calls));
      auto found = probe(*parsed, {});
      EXPECT_TRUE(found && found->calls) << name;
      return found->format;
    }
  ADD_FAILURE() << name;
  return plain_calls();
}

// Content, then name(arguments) of each call.
std::string shown(const ParsedAnswer& answer) {
  std::string out = answer.malformed ? "! " : "";
  if (const auto* content = answer.message.at("content").if_string()) out += *content;
  if (const auto* calls = get_array(answer.message, "tool_calls"))
    for (const auto& call : *calls) {
      const auto& function = call.at("function").as_object();
      out += " " + std::string(get_string(function, "name")) + std::string(get_string(function, "arguments"));
    }
  return out;
}

TEST(ParseAnswer, ReadsCalls) {
  const auto one =
      parse_answer("<tool_call>{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": 2}}</tool_call>", plain_calls())
          .message;
  EXPECT_TRUE(one.at("content").is_null());
  ASSERT_EQ(one.at("tool_calls").as_array().size(), 1u);
  EXPECT_EQ(one.at("tool_calls").at(0).at("function").at("name"), "f");
  EXPECT_EQ(one.at("tool_calls").at(0).at("function").at("arguments"), R"({"b":1,"a":2})");

  const auto two =
      parse_answer(
          "Sure.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", "
          "\"arguments\": \"{\\\"x\\\": 1}\"}\n</tool_call>",
          plain_calls())
          .message;
  EXPECT_EQ(two.at("content"), "Sure.");
  ASSERT_EQ(two.at("tool_calls").as_array().size(), 2u);
  EXPECT_EQ(two.at("tool_calls").at(1).at("id"), "call_1");
  EXPECT_EQ(two.at("tool_calls").at(1).at("function").at("arguments"), R"({"x": 1})");
}

TEST(ParseAnswer, ReadsTheFormsOfFamilies) {
  struct Row {
    const char *family, *text, *wanted;
  };
  for (const Row& row : {
           Row{"Llama 3", " {\"name\": \"f\", \"parameters\": {\"x\": 1}} \n", " f{\"x\":1}"},
           {"Llama 3", "{\"name\": \"f\"}", "! {\"name\": \"f\"}"},
           {"Llama 3", "{\"name\": \"f\", \"arguments\": {}}", "! {\"name\": \"f\", \"arguments\": {}}"},
           {"Llama 3", "{\"city\": \"Oslo\"}", "{\"city\": \"Oslo\"}"},
           {"Llama 3", "Say {\"name\": \"f\", \"parameters\": {}}", "Say {\"name\": \"f\", \"parameters\": {}}"},
           {"xLAM", "[ {\"arguments\": {\"x\": [1]}, \"name\": \"f\"},\n{\"name\":\"g\",\"arguments\":{}} ]",
            " f{\"x\":[1]} g{}"},
           {"xLAM", "[1, 2]", "[1, 2]"},
           {"Phi-4-mini", "Well. functools[{\"name\": \"f\", \"arguments\": {\"x\": null}}]", "Well. f{\"x\":null}"},
           {"Granite 3", "<|tool_call|> [{\"name\": \"f\", \"arguments\": {}}]", " f{}"},
           {"Mistral, list", "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}]", " f{}"},
           {"Mistral, marks", "[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS] {\"x\": 1}[TOOL_CALLS]g[CALL_ID]b[ARGS]{}",
            " f{\"x\":1} g{}"},
           {"DeepSeek", "<|calls|><|call|>function<|sep|>f\n```json\n{\n  \"x\": 1\n}\n```<|end_call|><|end_calls|>",
            " f{\"x\":1}"},
           {"Functionary", "a <function=f>{}</function> b", "a  b f{}"},
           {"Qwen3-Coder, Nemotron 3",
            "Ok.\n<tool_call>\n<function=find_order>\n<parameter=order_id>\n12\n</parameter>\n<parameter=limit>\n12\n"
            "</parameter>\n<parameter=exact>\nTrue\n</parameter>\n<parameter=tags>\n[\"a\", "
            "\"</parameter>\"]\n</parameter>\n"
            "<parameter=unknown>\n1.5\n</parameter>\n</function>\n</tool_call>",
            "Ok. "
            "find_order{\"order_id\":\"12\",\"limit\":12,\"exact\":true,\"tags\":[\"a\",\"</"
            "parameter>\"],\"unknown\":1.5E0}"},
           {"Qwen3-Coder, Nemotron 3", "<tool_call><function=f></function></tool_call>", " f{}"},
           {"Qwen3-Coder, Nemotron 3",
            "<tool_call>\n<function=find_order>\n<parameter=note>\n\n two\nlines </parameter> "
            "<\n\n</parameter>\n</function>\n</tool_call>",
            " find_order{\"note\":\"\\n two\\nlines </parameter> <\\n\"}"},
           {"GLM", "<tool_call>find_order\n<arg_key>limit</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
            " find_order{\"limit\":3}"},
           {"Llama 4", "[find_order(order_id=\"7\", limit=\"7\"), g()]",
            " find_order{\"order_id\":\"7\",\"limit\":7} g{}"},
           {"Llama 4", "[f(a=\"x\", b=\"say \"hi\", twice\")] and", "! [f(a=\"x\", b=\"say \"hi\", twice\")] and"},
           {"Llama 4", "[f(b=\"say \"hi\", twice\")]", " f{\"b\":\"say \\\"hi\\\", twice\"}"},
           {"LFM2", "<|tool_call_start|>[f(x='it's', y=[1, 'b'], z={\"k\": None})]<|tool_call_end|>go",
            "go f{\"x\":\"it's\",\"y\":[1,\"b\"],\"z\":{\"k\":null}}"},
           {"LFM2", "<|tool_call_start|>[f(x=\"a\\\"b\", y=True)]<|tool_call_end|>", " f{\"x\":\"a\\\"b\",\"y\":true}"},
           {"LFM2, escaped", "<|tool_call_start|>[f(x='it\\'s\\n')]<|tool_call_end|>", " f{\"x\":\"it's\\n\"}"},
       })
    EXPECT_EQ(shown(parse_answer(row.text, format_of(row.family), call_tools())), row.wanted) << row.family;
}

TEST(ParseAnswer, MalformedCallsStayText) {
  for (const char* text : {"<tool_call>", "<tool_call>{\"name\": \"f\"}</tool_call>", "</tool_call><tool_call>",
                           "<tool_call>{\"name\": \"f\", \"arguments\": {}", "<tool_call>[1]</tool_call> x",
                           "<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>",
                           "<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>",
                           "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"\xe1\"}}</tool_call>"}) {
    const auto answer = parse_answer(text, plain_calls());
    EXPECT_EQ(answer.message.at("content"), json::value(text));
    EXPECT_FALSE(answer.message.contains("tool_calls")) << text;
    EXPECT_TRUE(answer.malformed) << text;
  }
  for (const char* text : {"", " plain \n", "{\"name\": \"f\", \"arguments\": {}}"}) {
    EXPECT_EQ(parse_answer(text, plain_calls()).message.at("content"), text);
    EXPECT_FALSE(parse_answer(text, plain_calls()).malformed) << text;
  }
  const auto half =
      parse_answer("<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call><tool_call>{", plain_calls());
  EXPECT_EQ(half.message.at("tool_calls").as_array().size(), 1u);
  EXPECT_EQ(half.message.at("content"), "<tool_call>{");
  EXPECT_TRUE(half.malformed);
}

// Texts of the forms' own pieces, and calls with bytes changed, cut out and moved: read or not, nothing is lost.
TEST(ParseAnswer, SurvivesHostileText) {
  Prng random(3);
  int n_read = 0;
  for (const CallTemplate& row : kCallTemplates) {
    const CallFormat format = format_of(row.name);
    for (int i = 0; i < 1500; ++i) {
      std::string text = "x " + std::string(row.written) + std::string(row.written);
      for (uint64_t k = random.below(4); k > 0 && !text.empty(); --k) {
        const size_t at = random.below(text.size());
        switch (random.below(4)) {
          case 0:
            text[at] = static_cast<char>(random.below(256));
            break;
          case 1:
            text.erase(at, 1 + random.below(9));
            break;
          case 2:
            text.insert(at, std::string_view(row.written).substr(random.below(std::string_view(row.written).size())));
            break;
          default:
            text.insert(at, 1, "[](){}<>\"'\\,=:\n"[random.below(15)]);
        }
      }
      const auto answer = parse_answer(text, format, call_tools());
      if (answer.message.contains("tool_calls")) {
        ++n_read;
      } else {
        EXPECT_EQ(answer.message.at("content"), json::value(text));
      }
    }
    for (const char* deep : {"[", "{\"a\":", "(", "f(x=[", "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": "}) {
      std::string text(row.written, std::string_view(row.written).size() / 2);
      for (int i = 0; i < 300; ++i) text += deep;
      parse_answer(text, format, call_tools());
    }
  }
  EXPECT_GT(n_read, 2000);
}

}  // namespace
}  // namespace slm::model
