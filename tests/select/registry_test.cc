#include "select/registry.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "model/test_model.h"
#include "select/artifact.h"

namespace slm::select {
namespace {

namespace fs = std::filesystem;

class Registry : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("slmconv_registry_" + std::to_string(getpid()));
    fs::create_directories(dir_);
    fs::rename(model::make_model_dir("registry"), dir_ / "weights");
    write("model.safetensors", "weights");
  }
  void TearDown() override { fs::remove_all(dir_); }
  void write(const std::string& name, std::string_view text) {
    std::ofstream(dir_ / "weights" / name, std::ios::binary | std::ios::trunc) << text;
  }
  fs::path dir_;
};

TEST_F(Registry, AddsAndLists) {
  auto model = inspect_local_model(dir_ / "weights", "", "MIT");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->name, "weights");
  EXPECT_TRUE(model->path.is_absolute());
  ASSERT_TRUE(add_local_model(dir_ / "store", *model));
  model->name = "again";
  ASSERT_TRUE(add_local_model(dir_ / "store", *model));
  ASSERT_TRUE(add_local_model(dir_ / "store", *model)) << "the same name replaces";
  auto listed = list_local_models(dir_ / "store");
  ASSERT_TRUE(listed) << listed.error().message;
  ASSERT_EQ(listed->models.size(), 2u);
  EXPECT_EQ(listed->models[0].name, "again");
  EXPECT_EQ(listed->models[1].licence, "MIT");
  EXPECT_EQ(listed->models[1].config.width, 32);
  EXPECT_EQ(listed->models[1].unreadable, "");

  fs::remove(dir_ / "weights" / "config.json");
  listed = list_local_models(dir_ / "store");
  ASSERT_TRUE(listed);
  EXPECT_TRUE(listed->models.empty());
  EXPECT_EQ(listed->unusable.size(), 2u);
}

TEST_F(Registry, RemovingTakesTheEntryAndLeavesTheFolder) {
  const auto model = inspect_local_model(dir_ / "weights", "", "");
  ASSERT_TRUE(model);
  ASSERT_TRUE(add_local_model(dir_ / "store", *model));
  const auto other = remove_local_model(dir_ / "store", "other");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kBadInput);
  EXPECT_EQ(other.error().message, "no registered model is called other; there are: weights");
  EXPECT_FALSE(remove_local_model(dir_ / "store", "../models/weights"));
  EXPECT_TRUE(remove_local_model(dir_ / "store", "weights"));
  EXPECT_TRUE(list_local_models(dir_ / "store")->models.empty());
  EXPECT_TRUE(fs::exists(dir_ / "weights" / "model.safetensors"));
  EXPECT_EQ(remove_local_model(dir_ / "store", "weights").error().message,
            "no registered model is called weights; there is none");
}

TEST_F(Registry, AnEmptyStoreHasNone) {
  const auto listed = list_local_models(dir_ / "nowhere");
  ASSERT_TRUE(listed);
  EXPECT_TRUE(listed->models.empty());
}

TEST_F(Registry, TheDigestFollowsWhatMakesAnswers) {
  const auto first = model_digest(dir_ / "weights");
  ASSERT_TRUE(first);
  write("README.md", "notes");
  EXPECT_EQ(*model_digest(dir_ / "weights"), *first);
  write("tokenizer.model", "others");
  const auto second = model_digest(dir_ / "weights");
  EXPECT_NE(*second, *first);
  write("model.safetensors", "WEIGHTS");
  EXPECT_NE(*model_digest(dir_ / "weights"), *second);
}

// The maker's own tokenizer files, neither tokenizer.json nor tokenizer.model.
TEST_F(Registry, ATokenizerOrTemplateThatIsNotReadIsRefusedAndNamed) {
  const auto whole = inspect_local_model(dir_ / "weights", "whole", "");
  ASSERT_TRUE(whole) << whole.error().message;
  ASSERT_TRUE(add_local_model(dir_ / "store", *whole));

  fs::rename(dir_ / "weights" / "tokenizer.model", dir_ / "weights" / "tokenizer.tiktoken");
  auto refused = inspect_local_model(dir_ / "weights", "", "");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_NE(refused.error().message.find("neither tokenizer.json nor tokenizer.model"), std::string::npos)
      << refused.error().message;
  auto listed = list_local_models(dir_ / "store");
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->models.size(), 1u) << "registered when it could be read";
  EXPECT_EQ(listed->models[0].unreadable, refused.error().message);

  fs::rename(dir_ / "weights" / "tokenizer.tiktoken", dir_ / "weights" / "tokenizer.model");
  fs::remove(dir_ / "weights" / "chat_template.jinja");
  refused = inspect_local_model(dir_ / "weights", "", "");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_NE(refused.error().message.find("chat template"), std::string::npos);
  write("chat_template.jinja", "{{ messages | nosuchfilter }}");
  EXPECT_EQ(inspect_local_model(dir_ / "weights", "", "").error().code, ErrorCode::kUnsupportedModel);
}

TEST_F(Registry, Refusals) {
  EXPECT_FALSE(inspect_local_model(dir_ / "missing", "", ""));
  EXPECT_EQ(inspect_local_model(dir_ / "weights", "../up", "").error().code, ErrorCode::kUsage);
  fs::remove(dir_ / "weights" / "model.safetensors");
  EXPECT_EQ(inspect_local_model(dir_ / "weights", "", "").error().code, ErrorCode::kUnsupportedModel) << "no weights";
  write("model.safetensors", "w");
  write("config.json", R"({"model_type": "unheard-of"})");
  EXPECT_EQ(inspect_local_model(dir_ / "weights", "", "").error().code, ErrorCode::kUnsupportedModel);
}

}  // namespace
}  // namespace slm::select
