// Tokenizers in llama.cpp's terms. That it makes the same ids of them is shown by scripts/interop/gguf.sh.
#include "text/gguf_vocabulary.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "core/file.h"
#include "schema/json.h"
#include "text/test_paths.h"
#include "text/tokenizer.h"

namespace slm::text {
namespace {

using testing::HasSubstr;
using Type = GgufTokenType;

class GgufVocabularyTest : public testing::Test {
 protected:
  void SetUp() override { dir_ = scratch_dir("gguf_vocabulary"); }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  using Change = std::function<void(json::object&)>;
  // One of tests/data/text/tokenizers without the added tokens that llama.cpp can't do.
  Result<GgufVocabulary> json_kind(const std::string& name, const Change& change = {}, int64_t n_ids = 720) {
    json::value file = read_json_file(test_data() / "text/tokenizers" / (name + ".json")).value();
    auto& object = file.as_object();
    json::array kept;
    for (const auto& token : object["added_tokens"].as_array()) {
      const auto& t = token.as_object();
      if (t.at("lstrip").as_bool() || t.at("rstrip").as_bool() || t.at("single_word").as_bool()) continue;
      kept.push_back(token);
    }
    const auto& pieces = object["model"].as_object()["vocab"];
    const auto n_pieces =
        static_cast<int64_t>(pieces.is_object() ? pieces.as_object().size() : pieces.as_array().size());
    int64_t next = n_pieces;
    for (auto& token : kept)
      if (token.as_object()["id"].to_number<int64_t>() >= n_pieces) token.as_object()["id"] = next++;
    object["added_tokens"] = kept;
    if (change) change(object);
    EXPECT_TRUE(write_file_atomic(dir_ / "tokenizer.json", json::serialize(file)));
    return gguf_vocabulary(dir_, n_ids);
  }
  Result<GgufVocabulary> sentencepiece(std::string_view config, int64_t n_ids = 430) {
    std::filesystem::copy_file(test_data() / "tiny-tokenizer/tokenizer.model", dir_ / "tokenizer.model",
                               std::filesystem::copy_options::overwrite_existing);
    EXPECT_TRUE(write_file_atomic(dir_ / "tokenizer_config.json", config));
    return gguf_vocabulary(dir_, n_ids);
  }
  static void refused(const Result<GgufVocabulary>& vocabulary, const char* why) {
    ASSERT_FALSE(vocabulary) << why;
    EXPECT_EQ(vocabulary.error().code, ErrorCode::kUnsupportedModel) << vocabulary.error().message;
    EXPECT_THAT(vocabulary.error().message, HasSubstr(why));
  }
  std::filesystem::path dir_;
};

TEST_F(GgufVocabularyTest, PreTokenizersByLlamaCppsNames) {
  for (const auto& [name, pre] :
       {std::pair{"llama3", "llama-bpe"}, {"qwen2", "qwen2"}, {"smollm", "smollm"}, {"phi2", "gpt-2"}}) {
    const auto vocabulary = json_kind(name);
    ASSERT_TRUE(vocabulary) << name << ": " << vocabulary.error().message;
    EXPECT_EQ(vocabulary->model, "gpt2");
    EXPECT_EQ(vocabulary->pre, pre);
    EXPECT_EQ(vocabulary->tokens.size(), 720u);
    EXPECT_EQ(vocabulary->types.size(), 720u);
    EXPECT_TRUE(vocabulary->scores.empty());
    const auto tokenizer = Tokenizer::open(dir_).value();
    for (int32_t id = 0; id < tokenizer->n_ids(); ++id) {
      EXPECT_EQ(vocabulary->tokens[static_cast<size_t>(id)], tokenizer->piece_of(id));
      EXPECT_EQ(vocabulary->types[static_cast<size_t>(id)] == Type::kControl, tokenizer->is_special(id)) << id;
    }
    EXPECT_EQ(vocabulary->types.back(), Type::kUnused);
    EXPECT_EQ(vocabulary->tokens.back(), "[PAD719]");
    const auto file = read_json_file(dir_ / "tokenizer.json").value();
    const auto& merges = file.at("model").at("merges").as_array();
    ASSERT_EQ(vocabulary->merges.size(), merges.size());
    const auto& first = merges[0];
    EXPECT_EQ(vocabulary->merges[0],
              first.is_string() ? std::string(first.as_string())
                                : std::string(first.at(0).as_string()) + " " + std::string(first.at(1).as_string()));
  }
  // The same cuts where words aren't looked up whole.
  EXPECT_EQ(json_kind("llama3", [](json::object& f) { f["model"].as_object()["ignore_merges"] = false; })->pre, "dbrx");
}

TEST_F(GgufVocabularyTest, WhatLlamaCppWouldReadOtherwiseIsRefused) {
  const auto pre = [](json::value value) { return [value](json::object& f) { f["pre_tokenizer"] = value; }; };
  refused(json_kind("llama3", pre({{"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", true}})),
          "add_prefix_space");
  refused(json_kind("llama3", pre({{"type", "WhitespaceSplit"}})), "WhitespaceSplit");
  refused(json_kind("phi2", pre(nullptr)), "null");
  refused(json_kind("phi2", [](json::object& f) { f["model"].as_object()["ignore_merges"] = true; }), "ignore_merges");
  refused(json_kind("qwen2", [](json::object& f) { f["normalizer"] = {{"type", "NFKC"}}; }), "NFKC");
  refused(json_kind("wordpiece"), "WordPiece");
  refused(json_kind("unigram"), "Unigram");
  refused(json_kind("suffix"), "end_of_word_suffix");
  // Trained merges leave out pairs that scores would merge.
  const auto plain = [](json::object& f) {
    for (auto& token : f["added_tokens"].as_array()) token.as_object()["normalized"] = false;
  };
  refused(json_kind("llama2", plain), "leave out pairs");
  for (const char* flag : {"lstrip", "rstrip", "single_word"})
    refused(json_kind("llama3", [&](json::object& f) { f["added_tokens"].as_array().back().as_object()[flag] = true; }),
            flag);
  EXPECT_EQ(json_kind("llama3", {}, 100).error().code, ErrorCode::kBadInput);
  refused(json_kind("phi2",
                    [](json::object& f) {
                      f["added_tokens"].as_array().push_back(f["added_tokens"].as_array().back());
                      auto& token = f["added_tokens"].as_array().back().as_object();
                      token["content"] = "[PAD719]";
                      token["id"] = token["id"].as_int64() + 1;
                    }),
          "same text");
}

constexpr const char* kMarks =
    R"("added_tokens_decoder": {"420": {"content": "<|im_start|>", "special": true},
       "421": {"content": "<tool_call>", "special": false}})";

TEST_F(GgufVocabularyTest, SentencePieceByScores) {
  const auto vocabulary = sentencepiece(std::string(R"({"legacy": false, )") + kMarks + "}");
  ASSERT_TRUE(vocabulary) << vocabulary.error().message;
  EXPECT_EQ(vocabulary->model, "llama");
  EXPECT_EQ(vocabulary->pre, "default");
  EXPECT_EQ(vocabulary->prefix, SpacePrefix::kFirst);
  EXPECT_FALSE(vocabulary->as_phi3);
  EXPECT_EQ(vocabulary->types[0], Type::kUnknown);
  EXPECT_EQ(vocabulary->types[1], Type::kControl);
  EXPECT_EQ(vocabulary->types[3], Type::kByte);
  EXPECT_EQ(vocabulary->tokens[3], "<0x00>");
  EXPECT_EQ(vocabulary->types[419], Type::kNormal);
  EXPECT_EQ(vocabulary->scores[419], -160.0f);  // as sentencepiece reads it
  EXPECT_EQ(vocabulary->types[420], Type::kControl);
  EXPECT_EQ(vocabulary->types[421], Type::kUserDefined);
  EXPECT_EQ(vocabulary->types[429], Type::kUnused);
  EXPECT_EQ(sentencepiece(R"({"legacy": true})")->prefix, SpacePrefix::kEverySection);
  EXPECT_EQ(sentencepiece(R"({"add_prefix_space": false})")->prefix, SpacePrefix::kNone);
  EXPECT_EQ(sentencepiece("{}", 400).error().code, ErrorCode::kBadInput);
}

TEST_F(GgufVocabularyTest, SentencePieceThatIsntPlainIsRefused) {
  // One that cuts up by likelihood, and collapses spaces.
  if (!std::filesystem::exists(outside_data() / "tokenizers/sentencepiece/en.model"))
    GTEST_SKIP() << outside_data() / "tokenizers/sentencepiece/en.model"
                 << " is absent";
  std::filesystem::copy_file(outside_data() / "tokenizers/sentencepiece/en.model", dir_ / "tokenizer.model");
  refused(gguf_vocabulary(dir_, 1 << 20), "BPE");
}

TEST_F(GgufVocabularyTest, Phi3sTokensSwallowSpaces) {
  const auto with = [&](const char* eos_strips, const char* user_strips) {
    return sentencepiece(
        std::string(
            R"({"legacy": false, "added_tokens_decoder": {"2": {"content": "</s>", "special": true, "rstrip": )") +
        eos_strips + R"(}, "420": {"content": "<|endoftext|>", "special": true, "rstrip": false},
                         "421": {"content": "<|user|>", "special": true, "rstrip": )" +
        user_strips + "}}}");
  };
  EXPECT_TRUE(with("true", "true")->as_phi3);
  EXPECT_FALSE(with("false", "false")->as_phi3);
  refused(with("false", "true"), "rstrip");
  refused(with("true", "false"), "rstrip");
}

// Llama 2's own: its merges are what scores give, in both directions.
TEST_F(GgufVocabularyTest, Llama2sMergesAreScores) {
  const auto whole = outside_data() / "tokenizers/llama-2";
  if (!std::filesystem::exists(whole)) GTEST_SKIP() << whole << " is absent";
  // The copy has three merges with more spaces than one, which no library reads.
  json::value file = read_json_file(whole / "tokenizer.json").value();
  json::array kept;
  for (const auto& merge : file.at("model").at("merges").as_array())
    if (const std::string_view text = merge.as_string(); std::count(text.begin(), text.end(), ' ') == 1)
      kept.push_back(merge);
  file.as_object()["model"].as_object()["merges"] = kept;
  ASSERT_TRUE(write_file_atomic(dir_ / "tokenizer.json", json::serialize(file)));
  // Its special tokens are looked for after the normalizer has put a space before them.
  refused(gguf_vocabulary(dir_, 32000), "normalized");
  for (auto& token : file.as_object()["added_tokens"].as_array()) token.as_object()["normalized"] = false;
  ASSERT_TRUE(write_file_atomic(dir_ / "tokenizer.json", json::serialize(file)));
  const auto vocabulary = gguf_vocabulary(dir_, 32000);
  ASSERT_TRUE(vocabulary) << vocabulary.error().message;
  EXPECT_EQ(vocabulary->model, "llama");
  EXPECT_EQ(vocabulary->prefix, SpacePrefix::kEverySection);
  const auto score = [&](std::string_view token) {
    const auto at = std::find(vocabulary->tokens.begin(), vocabulary->tokens.end(), token);
    return vocabulary->scores[static_cast<size_t>(at - vocabulary->tokens.begin())];
  };
  EXPECT_GT(score("▁t"), score("▁th"));
  EXPECT_GT(score("▁the"), score("▁there"));
  EXPECT_EQ(gguf_vocabulary(outside_data() / "tokenizers/phi-2", 51200)->pre, "gpt-2");
}

}  // namespace
}  // namespace slm::text
