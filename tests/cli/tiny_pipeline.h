// A small store carried from a log to an adapter by the commands themselves, once a test program: what select and
// evaluate start from. The model is random, so its verdict is `keep`; what is tested is the road, not the model.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "model/test_model.h"
#include "support/cli_run.h"

namespace slm::cli {

class TinyPipeline : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    unsetenv("SLMCONV_STORE");
    unsetenv("SLMCONV_IDENTITY");
    root_ = std::filesystem::temp_directory_path() / fmt::format("slmconv_tiny_pipeline_{}", getpid());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    setenv("XDG_STATE_HOME", (root_ / "state").c_str(), 1);
    base_ = model::make_model_dir("tiny_pipeline_base");
    // Without added tokens that strip the spaces around them, which GGUF files can't say.
    model::write_file(base_ / "tokenizer_config.json",
                      R"({"legacy": false, "eos_token": "<|im_end|>", "added_tokens_decoder": {)"
                      R"("420": {"content": "<|im_start|>", "special": true}, )"
                      R"("421": {"content": "<|im_end|>", "special": true}}})");
    model::write_random_weights(base_, 3);
    made_ = make();
  }
  static void TearDownTestSuite() {
    std::filesystem::remove_all(root_);
    std::filesystem::remove_all(base_);
  }
  void SetUp() override { ASSERT_EQ(made_, "") << "the road to here"; }

  static Ran run(std::vector<std::string> args, const std::string& input = {}, bool as_json = true) {
    std::vector<std::string> all = {"--store", (root_ / "store").string(), "--identity", (root_ / "keys").string()};
    if (as_json) all.emplace_back("--json");
    all.insert(all.end(), args.begin(), args.end());
    return run_cli(all, input);
  }
  // Result rows of a run.
  static std::vector<json::object> rows(const Ran& ran) {
    std::vector<json::object> out;
    for (const auto& line : ran.lines())
      if (line.is_object() && get_string(line.get_object(), "message_type") == "result")
        out.push_back(line.get_object());
    return out;
  }
  // The routing task's id.
  static std::string label_task() {
    for (const json::object& row : rows(run({"select"})))
      if (get_string(row, "kind") == "label") return std::string(get_string(row, "task"));
    return {};
  }

  static std::filesystem::path root_, base_;

  static std::string log_line(int i) {
    const bool parcel = i % 3 != 0;
    const bool open = i % 5 == 4;
    std::string answer = parcel ? "shipping" : "billing", user,
                system = "Route the message. Answer shipping or billing.";
    if (open) {
      system = "Write a short friendly note of thanks for the customer.";
      answer.clear();
      for (int word = 0; word < 45; ++word) answer += fmt::format("note{} ", (i * 7919 + word * 104729) % 5003);
      user = fmt::format("thank customer {} for the order of kettles", i);
    } else {
      user = fmt::format("{} case {} today", parcel ? "my parcel is late" : "the invoice is wrong", i);
    }
    json::object request = {{"model", "gpt-4o"},
                            {"messages", json::array{json::object{{"role", "system"}, {"content", system}},
                                                     json::object{{"role", "user"}, {"content", user}}}}};
    json::object response = {
        {"model", "gpt-4o"},
        {"choices",
         json::array{json::object{
             {"index", 0}, {"message", {{"role", "assistant"}, {"content", answer}}}, {"finish_reason", "stop"}}}},
        {"usage", {{"prompt_tokens", 30}, {"completion_tokens", 2}, {"total_tokens", 32}}}};
    return json::serialize(json::object{{"timestamp", 1'760'000'000 + i * 3600},
                                        {"workload_id", open ? "thanks" : "route"},
                                        {"client_id", fmt::format("desk-{}", i % 7)},
                                        {"request", std::move(request)},
                                        {"response", std::move(response)}}) +
           "\n";
  }

 private:
  // What failed; "" if nothing did.
  static std::string make() {
    std::string log;
    for (int i = 0; i < 200; ++i) log += log_line(i);
    const std::vector<std::pair<std::vector<std::string>, std::string>> steps = {
        {{"init", (root_ / "store").string(), "--keys", (root_ / "keys").string()}, ""},
        {{"collect", "-"}, log},
        {{"scrub", "--validation", "0.1", "--test", "0.4", "--keep-duplicates"}, ""},
        {{"cluster", "--k", "2"}, ""},
        {{"models", "add", base_.string(), "--name", "tiny"}, ""},
        {{"select"}, ""},
        {{"finetune", "--all", "--lora", "--rank", "2", "--max-steps", "2", "--dtype", "float32"}, ""}};
    for (const auto& [args, input] : steps)
      if (const Ran ran = run(args, input); ran.rc != 0)
        return fmt::format("{}: exit {}\n{}{}", fmt::join(args, " "), ran.rc, ran.out, ran.err);
    return {};
  }

  static std::string made_;
};

inline std::filesystem::path TinyPipeline::root_, TinyPipeline::base_;
inline std::string TinyPipeline::made_;

}  // namespace slm::cli
