#include "model/codec.h"

#include <gtest/gtest.h>

#include "core/file.h"
#include "model/test_model.h"
#include "text/tokenizer.h"

namespace slm::model {
namespace {

constexpr int32_t kImEnd = 421;

class CodecTest : public testing::Test {
 protected:
  void SetUp() override { dir_ = make_model_dir("codec"); }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::unique_ptr<Codec> open() {
    auto codec = Codec::open(dir_);
    EXPECT_TRUE(codec) << codec.error().message;
    return codec ? std::move(*codec) : nullptr;
  }
  static Prompt prompt(std::string_view text) { return {{{{"role", "user"}, {"content", text}}}, {}}; }
  std::filesystem::path dir_;
};

TEST_F(CodecTest, RendersAndEncodesPrompts) {
  const auto codec = open();
  EXPECT_EQ(*codec->render(prompt("the order")), "<|im_start|>user\nthe order<|im_end|>\n<|im_start|>assistant\n");
  const auto ids = codec->encode_prompt(prompt("the order"));
  ASSERT_TRUE(ids);
  EXPECT_EQ(codec->decode_text(*ids, true), *codec->render(prompt("the order")));
}

TEST_F(CodecTest, ExampleIsPromptThenAnswerThroughEndOfTurn) {
  const auto codec = open();
  const json::object answer{{"role", "assistant"}, {"content", "was sent"}};
  const auto example = codec->encode_example(prompt("the order"), answer);
  ASSERT_TRUE(example) << example.error().message;
  EXPECT_EQ(std::vector(example->ids.begin(), example->ids.begin() + static_cast<ptrdiff_t>(example->n_prompt)),
            *codec->encode_prompt(prompt("the order")));
  EXPECT_EQ(example->ids.back(), kImEnd);
  const std::span<const int32_t> completion = std::span(example->ids).subspan(example->n_prompt);
  EXPECT_EQ(codec->decode_text(completion, true), "was sent<|im_end|>");
  EXPECT_EQ(codec->decode_answer(completion.first(completion.size() - 1)).at("content"), "was sent");
}

TEST_F(CodecTest, ToolCallsComeBackAsTheyWent) {
  const auto codec = open();
  const auto answer =
      json::parse(R"({"role": "assistant", "content": null, "tool_calls": [{"id": "x", "type": "function",
    "function": {"name": "find_order", "arguments": "{\"order_id\":\"A-1042\",\"limit\":3,\"note\":\"größe\"}"}}]})")
          .as_object();
  const auto example = codec->encode_example(prompt("find"), answer);
  ASSERT_TRUE(example) << example.error().message;
  const std::span<const int32_t> completion = std::span(example->ids).subspan(example->n_prompt);
  EXPECT_EQ(codec->decode_text(completion, false),
            "<tool_call>{\"name\": \"find_order\", \"arguments\": {\"order_id\": \"A-1042\", \"limit\": 3, \"note\": "
            "\"größe\"}}</tool_call>");
  const auto decoded = codec->decode_answer(completion.first(completion.size() - 1));
  EXPECT_EQ(decoded.at("tool_calls").at(0).at("function").at("arguments"),
            answer.at("tool_calls").at(0).at("function").at("arguments"));
}

TEST_F(CodecTest, AnswersKeepTheirLeadingSpace) {
  const auto codec = open();
  const auto example = codec->encode_example(prompt("x"), {{"content", " spaced "}});
  ASSERT_TRUE(example);
  const std::span<const int32_t> completion = std::span(example->ids).subspan(example->n_prompt);
  EXPECT_EQ(codec->decode_answer(completion.first(completion.size() - 1)).at("content"), " spaced ");
}

TEST_F(CodecTest, EndIdsComeFromTemplateAndConfigs) {
  const auto as_vector = [](const Codec& codec) { return std::vector(codec.end_ids().begin(), codec.end_ids().end()); };
  EXPECT_EQ(as_vector(*open()), (std::vector<int32_t>{kImEnd, 2}));  // the template's, then config.json's
  write_file(dir_ / "generation_config.json", R"({"eos_token_id": [422, 421, 9999999]})");
  EXPECT_EQ(as_vector(*open()), (std::vector<int32_t>{kImEnd, 422, 2}));
  // A template without marks, and nothing said anywhere.
  write_file(dir_ / "generation_config.json", "{}");
  write_file(dir_ / "config.json", "{}");
  write_file(dir_ / "tokenizer_config.json", "{}");
  write_file(dir_ / "chat_template.jinja", "{% for m in messages %}{{ m.content }}\n{% endfor %}");
  EXPECT_EQ(as_vector(*open()), (std::vector<int32_t>{2}));  // the tokenizer's own </s>
  const auto example = open()->encode_example(prompt("a"), {{"content", "b"}});
  ASSERT_TRUE(example);
  EXPECT_EQ(example->ids.back(), 2);
}

TEST_F(CodecTest, RefusesTemplatesThatRewriteThePrompt) {
  write_file(dir_ / "chat_template.jinja", "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}");
  const auto codec = open();
  EXPECT_TRUE(codec->encode_prompt(prompt("a")));
  const auto example = codec->encode_example(prompt("a"), {{"content", "b"}});
  ASSERT_FALSE(example);
  EXPECT_EQ(example.error().code, ErrorCode::kUnsupportedModel);
}

TEST_F(CodecTest, SaysWhatIsMissing) {
  std::filesystem::remove(dir_ / "chat_template.jinja");
  auto codec = Codec::open(dir_);
  ASSERT_FALSE(codec);
  EXPECT_EQ(codec.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_NE(codec.error().hint.find("chat_template.jinja"), std::string::npos);
  write_file(dir_ / "chat_template.jinja", "{% bad %}");
  codec = Codec::open(dir_);
  ASSERT_FALSE(codec);
  EXPECT_EQ(codec.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_FALSE(Codec::open(dir_ / "nothing"));
}

// Every real template answers the same conversation with a call, through the tiny tokenizer.
TEST_F(CodecTest, RealTemplatesKeepCallsWhole) {
  const auto folder = outside_data() / "chat-templates";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is absent";
  const auto call = json::parse(R"({"content": "", "tool_calls": [{"id": "a", "type": "function", "function":
    {"name": "find_order", "arguments": "{\"order_id\":\"A-1042\"}"}}]})")
                        .as_object();
  const json::array tools =
      json::parse(
          R"([{"type": "function", "function": {"name": "find_order", "description": "d", "parameters": {"type": "object",
         "properties": {"order_id": {"type": "string"}}}}}])")
          .as_array();
  for (const char* name : {"gemma", "llama3_1", "phi3", "qwen2_5", "qwen3"}) {
    auto source = read_file(folder / (std::string(name) + ".jinja"));
    ASSERT_TRUE(source);
    write_file(dir_ / "chat_template.jinja", *source);
    const auto codec = open();
    ASSERT_TRUE(codec) << name;
    Prompt p{{{{"role", "system"}, {"content", "rules"}}, {{"role", "user"}, {"content", "find A-1042"}}}, tools};
    const auto rendered = codec->render(p);
    ASSERT_TRUE(rendered) << name << ": " << rendered.error().message;
    for (const char* shown : {"rules", "find A-1042", "find_order", "order_id"})
      EXPECT_NE(rendered->find(shown), std::string::npos) << name << " " << shown;
    const auto example = codec->encode_example(p, call);
    ASSERT_TRUE(example) << name << ": " << example.error().message;
    const std::span<const int32_t> completion = std::span(example->ids).subspan(example->n_prompt);
    // These templates' own marks are plain text to this tokenizer; cut off what follows the call.
    std::string text = codec->decode_text(completion, false);
    for (const char* mark : {"<|eot_id|>", "<end_of_turn>", "<|end|>"})
      if (const size_t at = text.find(mark); at != std::string::npos) text.resize(at);
    const auto ids = codec->encode_text("x" + text);
    const auto answer = codec->decode_answer(std::span<const int32_t>(ids).subspan(2));
    ASSERT_TRUE(answer.contains("tool_calls")) << name << ": " << text;
    EXPECT_EQ(answer.at("tool_calls").at(0).at("function").at("arguments"), R"({"order_id":"A-1042"})") << name;
    // The whole exchange goes on with the tool's result.
    p.messages.push_back(call);
    p.messages.back().as_object()["role"] = "assistant";
    p.messages.push_back({{"role", "tool"}, {"tool_call_id", "a"}, {"content", "it was sent"}});
    const auto next = codec->render(p);
    ASSERT_TRUE(next) << name << ": " << next.error().message;
    EXPECT_NE(next->find("it was sent"), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace slm::model
