// A model directory as a GGUF file: what is said of its tokenizer, template and turns. llama.cpp's view of such files:
// scripts/interop/gguf.sh.
#include "model/gguf_export.h"

#include <gmock/gmock.h>

#include "core/file.h"
#include "model/codec.h"
#include "model/test_model.h"
#include "text/chat_template.h"

namespace slm::model {
namespace {

using testing::HasSubstr;

class GgufExportTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = make_model_dir("gguf_export");
    write_random_weights(dir_, 1);
    write_config("");
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  void write_config(const std::string& more) {
    write_file(dir_ / "tokenizer_config.json",
               R"({"legacy": false, "bos_token": "<s>", "eos_token": "<|im_end|>", "unk_token": "<unk>", )"
               R"("added_tokens_decoder": {"420": {"content": "<|im_start|>", "special": true}, )"
               R"("421": {"content": "<|im_end|>", "special": true}})" +
                   more + "}");
  }
  nn::GgufFile exported(const GgufExport& options = {}) {
    const auto made = export_gguf(dir_, options, dir_ / "out.gguf");
    EXPECT_TRUE(made) << made.error().message;
    return nn::GgufFile::open(dir_ / "out.gguf").value();
  }
  template <class T>
  static T get(const nn::GgufFile& file, const char* key) {
    return std::get<T>(file.metadata().at(key));
  }
  std::filesystem::path dir_;
};

TEST_F(GgufExportTest, SaysWhatARuntimeNeeds) {
  const auto file = exported({nn::GgmlType::kQ8_0, "tiny"});
  EXPECT_EQ(get<std::string>(file, "general.architecture"), "llama");
  EXPECT_EQ(get<std::string>(file, "general.name"), "tiny");
  EXPECT_EQ(get<uint32_t>(file, "general.file_type"), 7u);
  EXPECT_EQ(get<std::string>(file, "tokenizer.ggml.model"), "llama");
  EXPECT_EQ(get<std::vector<std::string>>(file, "tokenizer.ggml.tokens").size(), 448u);
  EXPECT_EQ(get<std::vector<float>>(file, "tokenizer.ggml.scores").size(), 448u);
  EXPECT_EQ(get<std::vector<int32_t>>(file, "tokenizer.ggml.token_type").size(), 448u);
  EXPECT_EQ(get<uint32_t>(file, "tokenizer.ggml.bos_token_id"), 1u);
  EXPECT_EQ(get<uint32_t>(file, "tokenizer.ggml.unknown_token_id"), 0u);
  EXPECT_EQ(get<uint32_t>(file, "tokenizer.ggml.eos_token_id"), 421u);
  EXPECT_EQ(get<uint32_t>(file, "tokenizer.ggml.eot_token_id"), 421u);
  EXPECT_EQ(get<uint32_t>(file, "tokenizer.ggml.eom_token_id"), 2u);  // config.json's own
  EXPECT_EQ(get<bool>(file, "tokenizer.ggml.add_bos_token"), false);  // the template writes none
  EXPECT_EQ(get<bool>(file, "tokenizer.ggml.add_space_prefix"), false);
  EXPECT_EQ(get<std::string>(file, "tokenizer.chat_template"), kChatTemplate);
  EXPECT_FALSE(file.metadata().contains("tokenizer.ggml.padding_token_id"));
  EXPECT_FALSE(file.metadata().contains("tokenizer.ggml.merges"));
}

TEST_F(GgufExportTest, ABosThatTheTemplateWritesIsAdded) {
  write_file(dir_ / "chat_template.jinja", std::string("{{- bos_token -}}") + kChatTemplate);
  EXPECT_EQ(get<bool>(exported(), "tokenizer.ggml.add_bos_token"), true);
}

TEST_F(GgufExportTest, TheTemplateKeepsTrainingsChoices) {
  const std::string thinking =
      std::string("\n{%- if enable_thinking is not defined or enable_thinking -%}<think>{%- endif -%}") + kChatTemplate;
  write_file(dir_ / "chat_template.jinja", thinking);
  const Prompt prompt{{{{"role", "user"}, {"content", "the order"}}}, {}};
  const auto before = Codec::open(dir_).value()->render(prompt).value();
  EXPECT_THAT(before, testing::Not(HasSubstr("<think>")));
  const auto kept = get<std::string>(exported(), "tokenizer.chat_template");
  EXPECT_NE(kept, thinking);
  write_file(dir_ / "chat_template.jinja", kept);
  EXPECT_EQ(Codec::open(dir_).value()->render(prompt).value(), before);
}

TEST_F(GgufExportTest, DatesAreTrainingsDay) {
  write_file(dir_ / "chat_template.jinja",
             std::string("{%- set day = strftime_now(\"%d %B %Y\") -%}{{- '<|im_start|>' + day + "
                         "strftime_now('%H')+strftime_now('%d') -}}"
                         "{%- if not date_string is defined -%}{%- set date_string = 'today' -%}{%- endif -%}"
                         "{{- date_string -}}") +
                 kChatTemplate);
  const auto kept = get<std::string>(exported(), "tokenizer.chat_template");
  EXPECT_THAT(kept, testing::Not(HasSubstr("strftime_now")));
  const auto render = [&](int64_t now_ms) {
    return text::ChatTemplate::parse(kept).value().render({}, {}, {.now_ms = now_ms}).value();
  };
  EXPECT_EQ(render(0), "<|im_start|>26 July 2024002626 Jul 2024");
  EXPECT_EQ(render(0), render(1'000'000'000'000));
  EXPECT_TRUE(check_gguf(dir_));
  write_file(dir_ / "chat_template.jinja",
             std::string("{%- set f = '%Y' -%}{{- '<|im_start|>' + strftime_now(f) -}}") + kChatTemplate);
  EXPECT_EQ(check_gguf(dir_).error().code, ErrorCode::kUnsupportedModel);
}

TEST_F(GgufExportTest, NamesDontChangeWhatLlamaCppDoes) {
  EXPECT_FALSE(exported({nn::GgmlType::kF16, "My-Phi-3-like"}).metadata().contains("general.name"));
}

TEST_F(GgufExportTest, PromptsThatBeginWithPlainTextAreRefused) {
  write_file(dir_ / "chat_template.jinja", std::string("Hello {{ '' }}") + kChatTemplate);
  const auto made = export_gguf(dir_, {}, dir_ / "out.gguf");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_THAT(made.error().message, HasSubstr("plain text"));
  write_config(R"(, "add_prefix_space": false)");
  EXPECT_TRUE(export_gguf(dir_, {}, dir_ / "out.gguf"));
}

TEST_F(GgufExportTest, WhatIsMissingIsSaid) {
  std::filesystem::remove(dir_ / "chat_template.jinja");
  EXPECT_EQ(export_gguf(dir_, {}, dir_ / "out.gguf").error().code, ErrorCode::kUnsupportedModel);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "out.gguf"));
}

}  // namespace
}  // namespace slm::model
