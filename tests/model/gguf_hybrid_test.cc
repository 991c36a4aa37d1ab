// Names, shapes, values and settings of hybrids' GGUF files against what llama.cpp's own converter makes of the same
// directories (tests/data/gguf/hybrid.json). That llama.cpp computes with them what we do: scripts/interop/gguf.sh.
#include "model/gguf_hybrid.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <set>

#include "core/file.h"
#include "model/gguf_export.h"
#include "nn/safetensors.h"
#include "schema/json.h"

namespace slm::model {
namespace {

namespace fs = std::filesystem;
using nn::GgmlType;
using testing::HasSubstr;

const char* const kRows[] = {"lfm2", "granite-h", "nemotron-h", "falcon-h1"};

fs::path data() { return fs::path(SLM_SOURCE_DIR) / "tests/data"; }
fs::path family(const std::string& row) { return data() / "families" / row; }
nn::ModelConfig config_of(const std::string& row) { return nn::read_config(family(row)).value(); }

std::vector<float> values_of(GgmlType type, const std::vector<int64_t>& shape, ByteSpan bytes) {
  int64_t n = 1;
  for (const int64_t s : shape) n *= s;
  std::vector<float> out(static_cast<size_t>(n));
  nn::ggml_dequantize(type, bytes, out);
  return out;
}
std::vector<float> values_of(const nn::GgufTensor& t) { return values_of(t.type, t.shape, t.data); }
std::vector<float> values_of(const nn::TensorView& t) {
  return values_of(t.dtype == "BF16" ? GgmlType::kBF16 : GgmlType::kF32, t.shape, t.data);
}

// A setting as a list of numbers; a text is none.
std::vector<double> numbers_of(const json::value& value) {
  if (value.is_bool()) return {value.get_bool() ? 1.0 : 0.0};
  if (value.is_number()) return {value.to_number<double>()};
  std::vector<double> out;
  if (const auto* list = value.if_array())
    for (const auto& item : *list) out.push_back(item.to_number<double>());
  return out;
}
std::vector<double> numbers_of(const nn::GgufValue& value) {
  return std::visit(
      [](const auto& x) -> std::vector<double> {
        using T = std::decay_t<decltype(x)>;
        if constexpr (std::is_arithmetic_v<T>) return {static_cast<double>(x)};
        if constexpr (std::is_same_v<T, std::vector<int32_t>>) return {x.begin(), x.end()};
        return {};
      },
      value);
}

class GgufHybrid : public testing::Test {
 protected:
  void TearDown() override { fs::remove(out_); }
  nn::GgufFile exported(const std::string& row, GgmlType type = GgmlType::kF32) {
    const auto made = write_gguf_hybrid(family(row), {type, "x", {{"tokenizer.x", 1.0f}}}, out_);
    EXPECT_TRUE(made) << row << ": " << made.error().message;
    return nn::GgufFile::open(out_).value();
  }
  const fs::path out_ = fs::path(testing::TempDir()) / fmt::format("slm_gguf_hybrid_{}.gguf", getpid());
};

json::object recorded(const std::string& row) {
  return read_json_file(data() / "gguf/hybrid.json").value().as_object().at(row).as_object();
}

TEST_F(GgufHybrid, TensorsAreThoseOfLlamaCppsConverter) {
  for (const std::string row : kRows) {
    const auto file = exported(row);
    const auto theirs = recorded(row).at("tensors").as_object();
    ASSERT_GT(theirs.size(), 30u);
    std::set<std::string> names, expected;
    for (const auto& [name, unused] : file.tensors()) names.insert(name);
    for (const auto& item : theirs) expected.insert(std::string(item.key()));
    EXPECT_EQ(names, expected) << row;
    for (const auto& [name, tensor] : file.tensors()) {
      const auto& their = theirs.at(name).as_object();
      std::vector<double> shape(tensor.shape.begin(), tensor.shape.end());
      EXPECT_EQ(shape, numbers_of(their.at("shape"))) << row << " " << name;
      EXPECT_EQ(tensor.type, GgmlType::kF32) << row << " " << name;
      double sum = 0, weighted = 0, largest = 0;
      const auto values = values_of(tensor);
      for (size_t i = 0; i < values.size(); ++i) {
        sum += values[i];
        weighted += values[i] * static_cast<double>(i % 97 + 1);
        largest += std::fabs(values[i]);
      }
      EXPECT_NEAR(sum, their.at("sum").to_number<double>(), 1e-6 * largest) << row << " " << name;
      EXPECT_NEAR(weighted, their.at("weighted").to_number<double>(), 1e-4 * largest) << row << " " << name;
    }
  }
}

TEST_F(GgufHybrid, SettingsAreThoseOfLlamaCppsConverter) {
  for (const std::string row : kRows) {
    const auto file = exported(row);
    size_t n_same = 0;
    const auto theirs = recorded(row).at("settings").as_object();
    for (const auto& item : theirs) {
      const std::string key(item.key());
      // It says a context of 2^20 where there are no positions, and numbers of experts where there are none.
      if (key.find(".expert_") != std::string::npos || key.ends_with(".context_length") ||
          (key.ends_with(".rope.scaling.finetuned") && row != "granite-h"))
        continue;
      const auto ours = file.metadata().find(key);
      ASSERT_NE(ours, file.metadata().end()) << row << " " << key;
      if (key == "general.architecture") {
        EXPECT_EQ(std::get<std::string>(ours->second), item.value().as_string()) << row;
        continue;
      }
      auto expected = numbers_of(item.value()), got = numbers_of(ours->second);
      if (expected.size() == 1 && got.size() > 1) expected.assign(got.size(), expected[0]);  // the same for all layers
      // Nothing is rotated in these two, and the converter guesses a head's width.
      if (key.ends_with(".rope.dimension_count") && row == "nemotron-h") continue;
      ASSERT_EQ(got.size(), expected.size()) << row << " " << key;
      for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-6 * std::fabs(expected[i])) << key;
      ++n_same;
    }
    EXPECT_GE(n_same, 8u) << row;
    EXPECT_EQ(std::get<std::string>(file.metadata().at("general.name")), "x");
    EXPECT_EQ(std::get<float>(file.metadata().at("tokenizer.x")), 1.0f);
  }
}

TEST_F(GgufHybrid, OnlyMatricesAreMadeSmaller) {
  for (const std::string row : kRows) {
    const auto file = exported(row, GgmlType::kBF16);
    size_t n_small = 0;
    for (const auto& [name, tensor] : file.tensors()) {
      const bool matrix = name.find("norm") == std::string::npos && name.find("conv1d") == std::string::npos &&
                          name.find("shortconv.conv.") == std::string::npos && !name.ends_with(".bias") &&
                          !name.ends_with(".ssm_a") && !name.ends_with(".ssm_d");
      EXPECT_EQ(tensor.type, matrix ? GgmlType::kBF16 : GgmlType::kF32) << row << " " << name;
      n_small += matrix;
    }
    EXPECT_GT(n_small, 12u);
  }
  // Rows of 24 and 20 values aren't blocks of 32.
  const auto blocks = exported("falcon-h1", GgmlType::kQ4_0);
  EXPECT_EQ(blocks.tensors().at("blk.0.ffn_down.weight").type, GgmlType::kF16);
  EXPECT_EQ(std::get<uint32_t>(blocks.metadata().at("general.quantization_version")), 2u);
}

nn::AdapterFiles adapter_of(const std::string& row) {
  const auto weights = read_file(family(row) / "adapter/adapter_model.safetensors").value();
  return {read_file(family(row) / "adapter/adapter_config.json").value(), Bytes(weights.begin(), weights.end())};
}

// What the adapter adds to a matrix of the file must be what it adds to the checkpoint's, on its way there: row by row
// of B as of the matrix itself.
TEST_F(GgufHybrid, AdaptersGoTheWayOfTheirMatrices) {
  for (const std::string row : kRows) {
    const auto adapter = adapter_of(row);
    const auto made = write_gguf_hybrid_adapter(family(row), adapter, {GgmlType::kF32, "a", {}}, out_);
    ASSERT_TRUE(made) << row << ": " << made.error().message;
    const auto file = nn::GgufFile::open(out_).value();
    const auto settings = parse_json(adapter.config_json).value().as_object();
    const bool rslora = settings.at("use_rslora").as_bool();
    EXPECT_NEAR(std::get<float>(file.metadata().at("adapter.lora.alpha")), rslora ? 5 * std::sqrt(2.0) : 5.0, 1e-5);
    EXPECT_EQ(std::get<std::string>(file.metadata().at("general.type")), "adapter");
    const auto weights = nn::SafeTensors::from_bytes(adapter.weights, "adapter").value();
    const auto config = config_of(row);
    size_t n = 0;
    for (const auto& place : gguf_hybrid_tensors(config)) {
      const auto module = place.from.substr(0, place.from.rfind('.'));
      auto stem = "base_model.model." + module;
      if (!weights.tensors().contains(stem + ".lora_A.weight"))
        stem = "base_model.model." + nn::other_name(config, module);
      const auto a = weights.tensors().find(stem + ".lora_A.weight");
      if (a == weights.tensors().end()) continue;
      const auto b = values_of(weights.tensors().at(stem + ".lora_B.weight"));
      EXPECT_EQ(values_of(file.tensors().at(place.name + ".lora_a")), values_of(a->second)) << place.name;
      const auto got = values_of(file.tensors().at(place.name + ".lora_b"));
      const size_t rank = 2;
      ASSERT_EQ(got.size(), static_cast<size_t>(place.rows) * rank);
      for (size_t r = 0; r < static_cast<size_t>(place.rows); ++r) {
        const auto head = static_cast<size_t>(config.head_dim), half = head / 2;
        size_t from = static_cast<size_t>(place.first) + r;
        if (place.paired_heads > 0) from = r / head * head + r % head % 2 * half + r % head / 2;
        const float factor = place.factors.empty() ? 1 : place.factors[from];
        for (size_t k = 0; k < rank; ++k)
          EXPECT_EQ(got[r * rank + k], b[from * rank + k] * factor) << row << " " << place.name << " " << r;
      }
      ++n;
    }
    EXPECT_EQ(file.tensors().size(), 2 * n) << row;
    EXPECT_GT(n, 10u) << row;
  }
}

TEST_F(GgufHybrid, AdaptersThatCantBeAreRefused) {
  const auto write = [&](const std::string& base, nn::AdapterFiles adapter, GgmlType type = GgmlType::kF32) {
    const auto made = write_gguf_hybrid_adapter(family(base), adapter, {type, "", {}}, out_);
    EXPECT_FALSE(made);
    EXPECT_FALSE(fs::exists(out_));
    return made ? Error{} : made.error();
  };
  const auto with = [&](const char* from, const char* to) {
    auto adapter = adapter_of("lfm2");
    const size_t at = adapter.config_json.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    adapter.config_json.replace(at, std::string_view(from).size(), to);
    return adapter;
  };
  const auto dora = write("lfm2", with(R"("use_dora": false)", R"("use_dora": true)"));
  EXPECT_EQ(dora.code, ErrorCode::kUnsupportedModel);
  EXPECT_THAT(dora.hint, HasSubstr("--gguf model"));
  EXPECT_EQ(write("lfm2", with(R"("rank_pattern": {})", R"("rank_pattern": {"w1": 3})")).code,
            ErrorCode::kUnsupportedModel);
  EXPECT_EQ(write("lfm2", with(R"("r": 2)", R"("r": 3)")).code, ErrorCode::kManifestMismatch);
  EXPECT_EQ(write("granite-h", adapter_of("lfm2")).code, ErrorCode::kManifestMismatch);
  EXPECT_EQ(write("lfm2", adapter_of("lfm2"), GgmlType::kQ8_0).code, ErrorCode::kUsage);
  EXPECT_EQ(write("lfm2", {"{", {}}).code, ErrorCode::kBadInput);
}

TEST_F(GgufHybrid, WhatLlamaCppDoesntComputeIsRefusedByName) {
  const auto refused = [](const std::string& row, auto change) {
    auto config = config_of(row);
    EXPECT_TRUE(gguf_settings_of(config)) << row;
    change(config);
    const auto settings = gguf_settings_of(config);
    EXPECT_FALSE(settings) << row;
    if (settings) return std::string();
    EXPECT_EQ(settings.error().code, ErrorCode::kUnsupportedModel);
    return settings.error().message;
  };
  using Config = nn::ModelConfig;
  using Gate = nn::MambaConfig::Gate;
  EXPECT_THAT(refused("lfm2", [](Config& c) { c.short_conv.bias = true; }), HasSubstr("conv_bias"));
  EXPECT_THAT(refused("lfm2", [](Config& c) { c.short_conv.kernel = 1; }), HasSubstr("one token"));
  EXPECT_THAT(refused("lfm2", [](Config& c) { c.head_dim = 4; }), HasSubstr("heads of 4"));
  EXPECT_THAT(refused("lfm2", [](Config& c) { c.ropes[0].type = nn::RopeConfig::Type::kYarn; }),
              HasSubstr("positions"));
  EXPECT_THAT(refused("granite-h", [](Config& c) { c.mamba.head_dim = 5; }), HasSubstr("40 values"));
  EXPECT_THAT(refused("granite-h", [](Config& c) { c.mamba.conv_bias = false; }), HasSubstr("bias"));
  EXPECT_THAT(refused("nemotron-h", [](Config& c) { c.mamba.dt_min = 0.1; }), HasSubstr("time_step_limit"));
  EXPECT_THAT(refused("nemotron-h", [](Config& c) { c.mamba.dt_max = 0.1; }), HasSubstr("time_step_limit"));
  EXPECT_THAT(refused("nemotron-h", [](Config& c) { c.mamba.in_bias = true; }), HasSubstr("projections"));
  EXPECT_THAT(refused("nemotron-h", [](Config& c) { c.mamba.gate = Gate::kPlain; }), HasSubstr("norm"));
  EXPECT_THAT(refused("nemotron-h", [](Config& c) { c.activation = nn::Activation::kSilu; }), HasSubstr("activation"));
  EXPECT_THAT(refused("falcon-h1", [](Config& c) { c.mamba.gate = Gate::kAfterNorm; }), HasSubstr("gate"));
  EXPECT_THAT(refused("falcon-h1", [](Config& c) { c.mamba.out_bias = true; }), HasSubstr("projections"));
  EXPECT_THAT(refused("falcon-h1", [](Config& c) { c.o_bias = true; }), HasSubstr("attention_bias"));
  for (const char* row : {"lfm2-new", "granite-h-new", "nemotron-h-new", "falcon-h1-new", "falcon-h1-norm"})
    EXPECT_EQ(gguf_settings_of(config_of(row)).error().code, ErrorCode::kUnsupportedModel) << row;
}

TEST_F(GgufHybrid, WithoutMambaAGraniteIsAPlainOne) {
  auto config = config_of("granite-h");
  for (auto& layer : config.layers) layer = {.rope = 0};
  const auto settings = gguf_hybrid_settings(config).value();
  EXPECT_EQ(settings.architecture, "granite");
  for (const auto& entry : settings.metadata) EXPECT_THAT(entry.key, testing::StartsWith("granite."));
}

}  // namespace
}  // namespace slm::model
