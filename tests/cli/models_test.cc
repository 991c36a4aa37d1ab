// The commands that look at one model: show, check, tokenize, render, generate.
#include <gtest/gtest.h>

#include <fstream>

#include "core/file.h"
#include "model/test_model.h"
#include "support/cli_run.h"

namespace slm::cli {
namespace {

class ModelsCommands : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = model::make_model_dir("models_cli");
    model::write_random_weights(dir_, 1);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  Ran run(const std::string& command, std::vector<std::string> args, const std::string& input = {}) {
    std::vector<std::string> all = {"--json", "models", command, dir_.string()};
    all.insert(all.end(), args.begin(), args.end());
    return run_cli(all, input);
  }
  // The result rows by the value of `key`.
  static std::map<std::string, json::object> rows(const Ran& ran, std::string_view key) {
    std::map<std::string, json::object> out;
    for (const auto& line : ran.lines())
      if (const auto& object = line.as_object(); get_string(object, "message_type") == "result")
        out[std::string(get_string(object, key))] = object;
    return out;
  }
  std::filesystem::path dir_;
  const std::string conversation_ = R"({"messages": [{"role": "user", "content": "the order"}]})";
};

TEST_F(ModelsCommands, Show) {
  const Ran ran = run("show", {});
  EXPECT_EQ(ran.rc, 0) << ran.out;
  const auto row = ran.lines().at(0).as_object();
  EXPECT_EQ(row.at("architecture"), "LlamaForCausalLM");
  // 2·448·32 embeddings + 2·32·32 + 2·16·32 + 3·64·32 + 3·32
  EXPECT_EQ(row.at("n_parameters").as_int64(), 37 * 1024 + 96);
  EXPECT_EQ(row.at("tokenizer_ids").as_int64(), 425);
  EXPECT_EQ(row.at("chat_template"), true);
  EXPECT_EQ(run("show", {"--context", "100000"}).rc, 2);
  std::filesystem::remove(dir_ / "chat_template.jinja");
  const Ran without = run("show", {});
  EXPECT_EQ(without.rc, 0);
  EXPECT_EQ(without.lines().at(0).as_object().at("chat_template"), false);
  const Ran text = run_cli({"models", "show", dir_.string()});
  EXPECT_NE(text.out.find("LlamaForCausalLM"), std::string::npos);
}

// What steps of 16 examples of 384 tokens held with this model: at most 689 MB over the quickstart's seven tasks.
TEST_F(ModelsCommands, ShowPlansTrainingAsFinetuneDoesIt) {
  const std::string base = std::string(SLM_SOURCE_DIR) + "/pipelines/quickstart/base-model";
  const Ran ran = run_cli({"--json", "models", "show", base, "--context", "384", "--dtype", "bfloat16"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  const auto row = ran.lines().at(0).as_object();
  EXPECT_GT(row.at("lora_training_gb").as_double(), 0.6);
  EXPECT_LT(row.at("lora_training_gb").as_double(), 0.9);
}

TEST_F(ModelsCommands, CheckPassesAWholeModel) {
  const Ran ran = run("check", {"--dtype", "float32"});
  EXPECT_EQ(ran.rc, 0) << ran.out;
  const auto checks = rows(ran, "check");
  for (const char* name :
       {"config", "weights", "forward pass", "tokenizer", "chat template", "end of turn", "answers", "tool calls"})
    EXPECT_EQ(checks.at(name).at("result"), "ok") << name << " " << ran.out;
}

TEST_F(ModelsCommands, CheckNamesWhatIsBroken) {
  const auto whole = read_file(dir_ / "model.safetensors");
  ASSERT_TRUE(whole);
  model::write_file(dir_ / "model.safetensors", std::string_view(*whole).substr(0, whole->size() / 2));
  Ran ran = run("check", {});
  EXPECT_EQ(ran.rc, exit_code(ErrorCode::kBadInput)) << ran.out;
  EXPECT_EQ(rows(ran, "check").at("weights").at("result"), "failed");
  EXPECT_EQ(rows(ran, "check").at("tokenizer").at("result"), "ok");
  EXPECT_EQ(ran.last().at("n_in").as_int64(), ran.last().at("n_out").as_int64() + 1);
  model::write_file(dir_ / "model.safetensors", *whole);

  std::filesystem::rename(dir_ / "tokenizer.model", dir_ / "tokenizer.tiktoken");
  ran = run("check", {});
  EXPECT_EQ(ran.rc, exit_code(ErrorCode::kUnsupportedModel));
  EXPECT_EQ(rows(ran, "check").at("tokenizer").at("result"), "failed");
  EXPECT_EQ(rows(ran, "check").at("chat template").at("result"), "ok");
  std::filesystem::rename(dir_ / "tokenizer.tiktoken", dir_ / "tokenizer.model");

  model::write_file(dir_ / "chat_template.jinja", "{{ messages | nosuchfilter }}");
  ran = run("check", {});
  EXPECT_EQ(ran.rc, exit_code(ErrorCode::kUnsupportedModel));
  EXPECT_NE(ran.out.find("nosuchfilter"), std::string::npos);

  // A template that writes a conversation otherwise once it has its answer.
  model::write_file(dir_ / "chat_template.jinja",
                    "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}");
  ran = run("check", {});
  EXPECT_EQ(ran.rc, exit_code(ErrorCode::kUnsupportedModel));
  EXPECT_EQ(rows(ran, "check").at("answers").at("result"), "failed");

  EXPECT_NE(run_cli({"models", "check", (dir_ / "nothing").string()}).rc, 0);
}

TEST_F(ModelsCommands, Tokenize) {
  Ran ran = run("tokenize", {"--text", "<|im_start|>the order"});
  EXPECT_EQ(ran.rc, 0);
  auto row = ran.lines().at(0).as_object();
  EXPECT_EQ(row.at("ids").at(0).as_int64(), 420);
  EXPECT_EQ(row.at("pieces").at(0), "<|im_start|>");
  EXPECT_EQ(row.at("text"), "<|im_start|>the order");
  EXPECT_EQ(static_cast<size_t>(ran.last().at("n_tokens").as_int64()), row.at("ids").as_array().size());
  EXPECT_EQ(run("tokenize", {"-"}, "the order").lines().at(0).as_object().at("text"), "the order");
  EXPECT_EQ(run("tokenize", {"--text", ""}).rc, 0);
  EXPECT_EQ(run("tokenize", {}).rc, exit_code(ErrorCode::kUsage));
  EXPECT_EQ(run("tokenize", {"-", "--text", "x"}).rc, exit_code(ErrorCode::kUsage));
  EXPECT_EQ(run("tokenize", {"/nonexistent/file"}).rc, exit_code(ErrorCode::kUsage));
}

TEST_F(ModelsCommands, Render) {
  const Ran text = run_cli({"models", "render", dir_.string(), "-"}, conversation_);
  EXPECT_EQ(text.rc, 0) << text.err;
  EXPECT_EQ(text.out, "<|im_start|>user\nthe order<|im_end|>\n<|im_start|>assistant\n");
  const Ran two = run("render", {"-"}, conversation_ + "\n\n" + conversation_ + "\n");
  EXPECT_EQ(two.last().at("n_in").as_int64(), 2);
  EXPECT_GT(two.lines().at(0).as_object().at("n_tokens").as_int64(), 3);
  EXPECT_EQ(run("render", {"-"}, "[" + conversation_ + "]").rc, 0);
  for (const char* bad : {"", "{", "[1]", "{}", "{\"messages\": []}", "{\"messages\": [1]}", "{\"messages\": 3}"})
    EXPECT_EQ(run("render", {"-"}, bad).rc, exit_code(ErrorCode::kBadInput)) << bad;
}

TEST_F(ModelsCommands, Generate) {
  const std::vector<std::string> args = {"-", "--max-new-tokens", "5", "--dtype", "float32"};
  const Ran once = run("generate", args, conversation_);
  EXPECT_EQ(once.rc, 0) << once.out;
  const auto row = once.lines().at(0).as_object();
  EXPECT_EQ(row.at("message").at("role"), "assistant");
  EXPECT_LE(row.at("n_new").as_int64(), 5);
  EXPECT_EQ(run("generate", args, conversation_).lines().at(0).as_object().at("message"), row.at("message"));

  std::string text;
  for (int i = 0; i < 300; ++i) text += "order ";
  const Ran mixed =
      run("generate", args, conversation_ + "\n{\"messages\": [{\"role\": \"user\", \"content\": \"" + text + "\"}]}");
  EXPECT_EQ(mixed.rc, 0);
  EXPECT_EQ(mixed.last().at("n_out").as_int64(), 1);
  EXPECT_EQ(mixed.last().at("dropped").at("too_long").as_int64(), 1);

  // Answers that are calls of the tools.
  std::ofstream(dir_ / "tools.json") << R"([{"type": "function", "function": {"name": "find", "parameters": {"type":
      "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["n"]}}},
      {"name": "stop"}])";
  const std::vector<std::string> only = {"-",
                                         "--tools",
                                         (dir_ / "tools.json").string(),
                                         "--tools-only",
                                         "--temperature",
                                         "2",
                                         "--max-new-tokens",
                                         "200",
                                         "--dtype",
                                         "float32"};
  const Ran called = run("generate", only, conversation_);
  EXPECT_EQ(called.rc, 0) << called.out;
  const auto answer = called.lines().at(0).as_object();
  EXPECT_FALSE(answer.at("malformed").as_bool());
  if (answer.at("ended").as_bool()) EXPECT_TRUE(answer.at("message").as_object().contains("tool_calls"));
  EXPECT_EQ(run("generate", {"-", "--tools-only"}, conversation_).rc, exit_code(ErrorCode::kBadInput));
  EXPECT_EQ(run("generate", {"-", "--tools-only", "--schema", (dir_ / "tools.json").string()}, conversation_).rc,
            exit_code(ErrorCode::kUsage));
  std::ofstream(dir_ / "bad.json") << R"({"tools": [3]})";
  EXPECT_EQ(run("generate", {"-", "--tools", (dir_ / "bad.json").string()}, conversation_).rc,
            exit_code(ErrorCode::kBadInput));
  std::ofstream(dir_ / "bad.json") << R"([{"name": "f", "parameters": {"type": "object", "patternProperties": {}}}])";
  const Ran refused = run("generate", {"-", "--tools-only", "--tools", (dir_ / "bad.json").string()}, conversation_);
  EXPECT_EQ(refused.rc, exit_code(ErrorCode::kUnsupportedModel));
  EXPECT_NE(refused.out.find("patternProperties"), std::string::npos) << refused.out;

  EXPECT_EQ(run("generate", {"-", "--adapter", "/nonexistent"}, conversation_).rc, exit_code(ErrorCode::kUsage));
  EXPECT_EQ(run("generate", {"-", "--dtype", "int3"}, conversation_).rc, exit_code(ErrorCode::kUsage));
  std::filesystem::remove(dir_ / "chat_template.jinja");
  EXPECT_EQ(run("generate", args, conversation_).rc, exit_code(ErrorCode::kUnsupportedModel));
}

}  // namespace
}  // namespace slm::cli
