#include "select/catalogue.h"

#include <gtest/gtest.h>

#include <fstream>

#include "nn/plan.h"

namespace slm::select {
namespace {

TEST(Catalogue, EveryFieldHasItsSource) {
  const auto catalogue = default_catalogue();
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  EXPECT_GE(catalogue->models.size(), 20u);
  int n_loadable = 0;
  for (const CatalogueModel& model : catalogue->models) {
    EXPECT_FALSE(model.source.empty()) << model.name;
    EXPECT_FALSE(model.licence.empty()) << model.name;
    for (const Score& score : model.scores) {
      EXPECT_FALSE(score.source.empty()) << model.name;
      EXPECT_FALSE(score.protocol.empty()) << model.name;
    }
    EXPECT_NE(model.config.has_value(), !model.not_loadable.empty()) << model.name;
    n_loadable += model.config.has_value();
  }
  EXPECT_GT(n_loadable, 0);
}

// The parameter count that follows from a row's shape agrees with the one its maker states, to two digits.
TEST(Catalogue, ShapesGiveTheStatedSizes) {
  const auto catalogue = default_catalogue();
  ASSERT_TRUE(catalogue);
  for (const std::string_view name :
       {"SmolLM2-135M-Instruct", "SmolLM2-360M-Instruct", "SmolLM2-1.7B-Instruct", "TinyLlama-1.1B-Chat-v1.0"}) {
    const CatalogueModel* model = catalogue->find(name);
    ASSERT_TRUE(model && model->config) << name;
    const nn::ModelConfig& c = *model->config;
    const int64_t kv = c.n_kv_heads * c.head_dim;
    const int64_t layer = 2 * c.width * c.width + 2 * c.width * kv + 3 * c.width * c.ffn_width + 2 * c.width;
    const int64_t count = c.vocab_size * c.width * (c.tied_embeddings ? 1 : 2) + c.n_layers * layer + c.width;
    EXPECT_NEAR(static_cast<double>(count) / static_cast<double>(model->n_parameters), 1, 0.015) << name;
  }
}

TEST(Catalogue, HybridsGiveTheStatedSizes) {
  const auto catalogue = default_catalogue();
  ASSERT_TRUE(catalogue);
  const CatalogueModel* model = catalogue->find("Nemotron-H-8B");
  ASSERT_TRUE(model && model->config) << (model ? model->not_loadable : "");
  const nn::ModelConfig& c = *model->config;
  int64_t n_mamba = 0, n_attention = 0;
  for (const auto& layer : c.layers) n_mamba += layer.has_mamba(), n_attention += layer.attends();
  EXPECT_EQ(n_mamba, 24);
  EXPECT_EQ(n_attention, 4);
  EXPECT_NEAR(static_cast<double>(nn::n_parameters(c)) / static_cast<double>(model->n_parameters), 1, 0.02);
}

// What `models add` would take once it is here: an architecture that loads and a tokenizer that is read.
TEST(Catalogue, SomeModelCanBeUsed) {
  const auto catalogue = default_catalogue();
  ASSERT_TRUE(catalogue);
  std::vector<std::string> usable;
  for (const CatalogueModel& model : catalogue->models)
    if (model.config && model.tokenizer == "sentencepiece") usable.push_back(model.name);
  EXPECT_EQ(usable, (std::vector<std::string>{"TinyLlama-1.1B-Chat-v1.0", "Phi-3-mini-4k-instruct", "Gemma-2-2b-it"}));
  EXPECT_EQ(catalogue->find("SmolLM2-360M-Instruct")->tokenizer, "byte-level-bpe");
  EXPECT_EQ(catalogue->find("SmolLM3-3B")->tokenizer, "") << "no source says";
}

TEST(Catalogue, WhatCannotBeLoadedSaysWhy) {
  const auto catalogue = default_catalogue();
  ASSERT_TRUE(catalogue);
  const CatalogueModel* qwen = catalogue->find("Qwen3-0.6B");
  ASSERT_TRUE(qwen);
  if (!qwen->config) {
    EXPECT_NE(qwen->not_loadable.find("qwen3"), std::string::npos);
  }
  EXPECT_EQ(catalogue->find("no-such-model"), nullptr);
}

TEST(Catalogue, BrokenFiles) {
  const auto path = std::filesystem::temp_directory_path() / "slmconv_catalogue_test.toml";
  const std::string good =
      "[[model]]\nname = \"m\"\narchitecture = \"LlamaForCausalLM\"\nmodel_type = \"llama\"\nn_parameters = 1\n"
      "licence = \"MIT\"\nsource = \"me\"\n";
  const auto read = [&](const std::string& text) {
    std::ofstream(path, std::ios::trunc) << text;
    return read_catalogue(path);
  };
  EXPECT_TRUE(read(good));
  EXPECT_FALSE(read(good + good)) << "the same name twice";
  EXPECT_FALSE(read(good + "price = 3\n")) << "an unknown field";
  EXPECT_FALSE(read("[[model]]\nname = \"m\"\n")) << "fields without which nothing can be said";
  EXPECT_FALSE(read(
      good + "scores = [{benchmark = \"IFEval\", version = \"\", value = 29.9, protocol = \"x\", source = \"y\"}]\n"))
      << "a ratio above 1";
  EXPECT_FALSE(read(good + "scores = [{benchmark = \"IFEval\", version = \"\", value = 0.3, protocol = \"x\"}]\n"))
      << "a figure without a source";
  EXPECT_FALSE(read("[[model\n"));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace slm::select
