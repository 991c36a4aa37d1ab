// Settings, names and rows of GGUF files. That llama.cpp computes with them what we do is shown by
// scripts/interop/gguf.sh; here it is that every part of a checkpoint arrives.
#include "nn/gguf_model.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <set>

#include "nn/rope.h"
#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

using nn::GgmlType;
using ::testing::HasSubstr;

fs::path family(const std::string& row) { return family_dirs()[0].parent_path() / row; }

nn::ModelConfig config_of(const std::string& row) { return nn::read_config(family(row)).value(); }

std::vector<float> values_of(const nn::GgufTensor& tensor) {
  int64_t n = 1;
  for (const int64_t s : tensor.shape) n *= s;
  std::vector<float> out(static_cast<size_t>(n));
  nn::ggml_dequantize(tensor.type, tensor.data, out);
  return out;
}

class GgufModel : public ::testing::Test {
 protected:
  void TearDown() override { fs::remove(out_); }
  nn::GgufFile read() const { return nn::GgufFile::open(out_).value(); }
  const fs::path out_ = fs::path(::testing::TempDir()) / fmt::format("slm_gguf_model_{}.gguf", getpid());
};

// Row r of a tensor whose heads' halves lie side by side in pairs comes from row `from` of the checkpoint.
int64_t paired(int64_t r, int64_t head_dim) {
  const int64_t head = r / head_dim, i = r % head_dim;
  return head * head_dim + (i % 2 == 0 ? i / 2 : head_dim / 2 + i / 2);
}

TEST_F(GgufModel, EveryTensorOfTheCheckpointArrives) {
  for (const char* row : {"llama", "llama-tied", "llama3", "llama-biased", "mistral", "qwen2", "qwen3", "smollm3",
                          "granite", "phi", "phi3", "phi3-longrope", "gemma"}) {
    const auto config = config_of(row);
    const auto made = nn::write_gguf_model(family(row), {GgmlType::kF32, "x", {{"tokenizer.x", 1.0f}}}, out_);
    ASSERT_TRUE(made) << row << ": " << made.error().message;
    const auto file = read();
    const auto weights = nn::WeightFiles::open(family(row)).value();
    const auto names = nn::gguf_tensor_names(config);
    const auto checkpoint = nn::checkpoint_tensors(config);
    EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size()) << row;
    const bool pairs = config.model_type == "llama" || config.model_type == "mistral" ||
                       config.model_type == "granite" || config.model_type == "smollm3";
    size_t n_extra = 0;
    for (const auto& [name, tensor] : file.tensors()) n_extra += name.starts_with("rope_");
    EXPECT_EQ(file.tensors().size(), names.size() + n_extra) << row;
    for (size_t i = 0; i < names.size(); ++i) {
      const auto& tensor = file.tensors().at(names[i]);
      EXPECT_EQ(tensor.shape, checkpoint[i].shape) << row << " " << names[i];
      const auto view = nn::tensor_of(*weights.find(checkpoint[i].name)).value().to(at::kFloat).contiguous();
      const bool rotated =
          pairs && (names[i].find("attn_q.") != std::string::npos || names[i].find("attn_k.") != std::string::npos);
      const bool plus_one = config.norm == nn::Norm::kRmsPlusOne && names[i].find("norm") != std::string::npos;
      const auto ours = values_of(tensor);
      const int64_t width = tensor.shape.size() == 2 ? tensor.shape[1] : 1;
      for (int64_t k = 0; k < std::ssize(ours); ++k) {
        const int64_t from = rotated ? paired(k / width, config.head_dim) * width + k % width : k;
        ASSERT_EQ(ours[static_cast<size_t>(k)], view.data_ptr<float>()[from] + (plus_one ? 1.0f : 0.0f))
            << row << " " << names[i] << " " << k;
      }
    }
    EXPECT_EQ(std::get<std::string>(file.metadata().at("general.type")), "model");
    EXPECT_EQ(std::get<std::string>(file.metadata().at("general.name")), "x");
    EXPECT_EQ(std::get<float>(file.metadata().at("tokenizer.x")), 1.0f);
    const std::string arch = std::get<std::string>(file.metadata().at("general.architecture"));
    EXPECT_EQ(std::get<uint32_t>(file.metadata().at(arch + ".block_count")), config.n_layers);
  }
}

// The factors that Llama 3's frequencies are divided by, against the tables that were compared with transformers.
TEST_F(GgufModel, FactorsOfFrequencies) {
  ASSERT_TRUE(nn::write_gguf_model(family("llama3"), {GgmlType::kF16, "", {}}, out_));
  const auto config = config_of("llama3");
  auto plain = config.ropes[0];
  plain.type = nn::RopeConfig::Type::kDefault;
  const auto angles = [&](const nn::RopeConfig& rope) {
    const auto table = nn::rope_table(&rope, config.rotated(), 0, 2, at::kDouble);
    return at::atan2(table.sin[1], table.cos[1]);
  };
  const at::Tensor expected = angles(plain) / angles(config.ropes[0]);
  const auto file = read();
  const auto factors = values_of(file.tensors().at("rope_freqs.weight"));
  ASSERT_EQ(std::ssize(factors), config.rotated() / 2);
  for (int64_t i = 0; i < std::ssize(factors); ++i)
    EXPECT_NEAR(factors[static_cast<size_t>(i)], expected[i].item<double>(), 1e-5);
  EXPECT_GT(factors.back(), 7.9f);
  EXPECT_EQ(file.metadata().count("general.name"), 0u);

  ASSERT_TRUE(nn::write_gguf_model(family("phi3-longrope"), {GgmlType::kF16, "", {}}, out_));
  const auto longrope = read();
  EXPECT_EQ(values_of(longrope.tensors().at("rope_factors_short.weight")), (std::vector<float>{1.0f, 1.1f, 1.3f}));
  EXPECT_EQ(values_of(longrope.tensors().at("rope_factors_long.weight")), (std::vector<float>{1.5f, 2.0f, 5.0f}));
  EXPECT_EQ(std::get<std::string>(longrope.metadata().at("phi3.rope.scaling.type")), "longrope");
}

TEST_F(GgufModel, RowsThatArentWholeBlocksStayHalf) {
  ASSERT_TRUE(nn::write_gguf_model(family("phi"), {GgmlType::kQ4_0, "", {}}, out_));
  const auto file = read();  // width 32, feed-forward width 20
  EXPECT_EQ(file.tensors().at("blk.0.attn_q.weight").type, GgmlType::kQ4_0);
  EXPECT_EQ(file.tensors().at("blk.0.ffn_down.weight").type, GgmlType::kF16);
  EXPECT_EQ(file.tensors().at("blk.0.attn_q.bias").type, GgmlType::kF32);
  EXPECT_EQ(file.tensors().at("output.weight").type, GgmlType::kQ8_0);
  EXPECT_EQ(file.tensors().at("token_embd.weight").type, GgmlType::kQ4_0);
  EXPECT_EQ(std::get<uint32_t>(file.metadata().at("general.quantization_version")), 2u);
}

TEST(GgufSettings, WhatLlamaCppLacksIsRefusedByName) {
  const auto refused = [](const std::string& row, const char* why) {
    const auto settings = nn::gguf_settings(config_of(row));
    ASSERT_FALSE(settings) << row;
    EXPECT_EQ(settings.error().code, ErrorCode::kUnsupportedModel);
    EXPECT_THAT(settings.error().message, HasSubstr(why));
    EXPECT_FALSE(settings.error().hint.empty());
  };
  refused("llama-dynamic", "dynamic positions");
  refused("llama-yarn", "beta_fast");
  refused("gemma2", "query_pre_attn_scalar");
  refused("gemma3", "query_pre_attn_scalar");
  auto other = config_of("llama");
  other.model_type = "nemotron_h";
  EXPECT_THAT(nn::gguf_settings(other).error().message, HasSubstr("nemotron_h"));
  const auto with = [](const std::string& row, const auto& change) {
    auto config = config_of(row);
    change(config);
    return nn::gguf_settings(config);
  };
  using Config = nn::ModelConfig;
  using Type = nn::RopeConfig::Type;
  EXPECT_FALSE(with("qwen3", [](Config& c) { c.o_bias = true; }));
  EXPECT_FALSE(with("qwen2", [](Config& c) { c.ffn_bias = true; }));
  EXPECT_FALSE(with("qwen2", [](Config& c) { c.head_dim = 4; }));
  EXPECT_FALSE(with("llama", [](Config& c) { c.rotary_dim = 2; }));
  EXPECT_FALSE(with("llama", [](Config& c) { c.activation = nn::Activation::kGeluTanh; }));
  EXPECT_FALSE(with("gemma", [](Config& c) { c.tied_embeddings = false; }));
  EXPECT_FALSE(with("phi", [](Config& c) { c.tied_embeddings = true; }));
  EXPECT_FALSE(with("smollm3", [](Config& c) { c.layers[0].rope = -1; }));
  EXPECT_FALSE(with("llama", [](Config& c) { c.layers[0].rope = -1; }));
  EXPECT_FALSE(with("qwen2", [](Config& c) { c.ropes[0].type = Type::kLlama3; }));
  EXPECT_FALSE(with("phi3", [](Config& c) { c.ropes[0].type = Type::kLlama3; }));
  EXPECT_FALSE(with("qwen3", [](Config& c) { c.ropes[0].type = Type::kLongRope; }));
}

// Where llama.cpp attends to all tokens before one, the file is good for one window.
TEST(GgufSettings, WindowsItDoesntComputeLimitTheContext) {
  const auto mistral = nn::gguf_settings(config_of("mistral")).value();
  EXPECT_EQ(mistral.context, 7);
  EXPECT_EQ(nn::gguf_settings(config_of("llama")).value().context, config_of("llama").max_positions);
  auto gemma = config_of("gemma2");
  gemma.attention_scale = 1 / std::sqrt(static_cast<double>(gemma.head_dim));
  const auto settings = nn::gguf_settings(gemma).value();
  EXPECT_EQ(settings.context, gemma.max_positions);
  std::map<std::string, nn::GgufValue> by_key;
  for (const auto& entry : settings.metadata) by_key[entry.key] = entry.value;
  EXPECT_EQ(std::get<uint32_t>(by_key.at("gemma2.attention.sliding_window")), 7u);
  EXPECT_EQ(std::get<std::vector<uint8_t>>(by_key.at("gemma2.attention.sliding_window_pattern")),
            (std::vector<uint8_t>{1, 0, 1, 0}));
}

TEST_F(GgufModel, WeightsBeyondHalfsRangeAreRefusedByName) {
  const fs::path dir = fs::path(::testing::TempDir()) / fmt::format("slm_gguf_large_{}", getpid());
  fs::create_directories(dir);
  fs::copy_file(family("llama") / "config.json", dir / "config.json", fs::copy_options::overwrite_existing);
  const auto whole = nn::SafeTensors::open(family("llama") / "model.safetensors").value();
  const auto& view = whole.tensors().at("model.layers.1.mlp.down_proj.weight");
  std::vector<nn::TensorToWrite> tensors;
  Bytes changed(view.data.begin(), view.data.end());
  const bool bf16 = view.dtype == "BF16";
  changed[bf16 ? 1 : 3] = 0x4f;  // 2^31 or so
  for (const auto& [name, v] : whole.tensors())
    tensors.push_back(
        {name, v.dtype, v.shape, name == "model.layers.1.mlp.down_proj.weight" ? ByteSpan(changed) : v.data});
  ASSERT_TRUE(write_file_atomic(dir / "model.safetensors", nn::write_safetensors(tensors)));
  const auto made = nn::write_gguf_model(dir, {GgmlType::kF16, "", {}}, out_);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(made.error().message, HasSubstr("blk.1.ffn_down.weight"));
  EXPECT_TRUE(nn::write_gguf_model(dir, {GgmlType::kBF16, "", {}}, out_));
  fs::remove_all(dir);
}

TEST_F(GgufModel, AdaptersKeepTheirScale) {
  for (const char* row : {"llama-tied", "llama", "phi3", "qwen3"}) {  // with rslora and without
    const auto reference = reference_in(family(row));
    const auto made = nn::write_gguf_adapter(family(row), reference.adapter(), {GgmlType::kF32, "a", {}}, out_);
    ASSERT_TRUE(made) << row << ": " << made.error().message;
    const auto file = read();
    const auto adapter = nn::parse_adapter(reference.adapter()).value();
    EXPECT_EQ(std::get<std::string>(file.metadata().at("adapter.type")), "lora");
    EXPECT_EQ(std::get<std::string>(file.metadata().at("general.type")), "adapter");
    const double expected = adapter.config.rslora ? 5 * std::sqrt(2.0) : 5;  // so that alpha / rank is the scale
    EXPECT_NEAR(std::get<float>(file.metadata().at("adapter.lora.alpha")), expected, 1e-5) << row;
    ASSERT_EQ(file.tensors().size(), 2 * adapter.pairs.size());
    const auto config = config_of(row);
    const auto names = nn::gguf_tensor_names(config);
    const auto checkpoint = nn::checkpoint_tensors(config);
    for (const auto& pair : adapter.pairs) {
      size_t i = 0;
      while (checkpoint.at(i).name != pair.module + ".weight") ++i;
      const auto a = values_of(file.tensors().at(names[i] + ".lora_a")),
                 b = values_of(file.tensors().at(names[i] + ".lora_b"));
      for (int64_t k = 0; k < std::ssize(a); ++k) EXPECT_EQ(a[static_cast<size_t>(k)], pair.a.data_ptr<float>()[k]);
      const bool rotated =
          config.model_type == "llama" && (pair.module.ends_with("q_proj") || pair.module.ends_with("k_proj"));
      for (int64_t k = 0; k < std::ssize(b); ++k) {
        const int64_t from = rotated ? paired(k / 2, config.head_dim) * 2 + k % 2 : k;
        EXPECT_EQ(b[static_cast<size_t>(k)], pair.b.data_ptr<float>()[from]) << pair.module;
      }
    }
  }
}

TEST_F(GgufModel, AdaptersThatCantBeAreRefused) {
  const auto write = [&](const char* base, const char* adapter, GgmlType type = GgmlType::kF32) {
    return nn::write_gguf_adapter(family(base), reference_in(family(adapter)).adapter(), {type, "", {}}, out_);
  };
  const auto dora = write("qwen2-dora", "qwen2-dora");
  EXPECT_EQ(dora.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_THAT(dora.error().hint, HasSubstr("--gguf model"));
  EXPECT_EQ(write("llama", "phi3").error().code, ErrorCode::kManifestMismatch);
  EXPECT_EQ(write("llama", "llama3").error().code, ErrorCode::kManifestMismatch);
  EXPECT_EQ(write("llama-dynamic", "llama-dynamic").error().code, ErrorCode::kUnsupportedModel);
  EXPECT_EQ(write("llama", "llama", GgmlType::kQ8_0).error().code, ErrorCode::kUsage);
  EXPECT_FALSE(fs::exists(out_));
}

}  // namespace
}  // namespace slm::testing
