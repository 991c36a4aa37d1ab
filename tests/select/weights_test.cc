// Weights that aren't whole are refused with the tensor's name. The files are written by nn's writer, which tests/nn
// holds against safetensors' own.
#include "select/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "core/file.h"
#include "model/test_model.h"

namespace slm::select {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Weights : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = model::make_model_dir("select_weights");
    model::write_random_weights(dir_, 7);
    config_ = nn::read_config(dir_).value();
  }
  void TearDown() override { fs::remove_all(dir_); }
  Result<WeightCheck> check() { return check_weights(dir_, config_, null_progress()); }
  // One tensor `name` besides the real ones; holds `words` as they are.
  template <class Word>
  void write_with(const std::string& name, const std::string& dtype, const std::vector<Word>& words) {
    model::write_random_weights(dir_, 7);
    const auto whole = nn::SafeTensors::open(dir_ / "model.safetensors").value();
    std::vector<nn::TensorToWrite> all;
    for (const auto& [key, view] : whole.tensors()) all.push_back({key, view.dtype, view.shape, view.data});
    all.push_back({name,
                   dtype,
                   {static_cast<int64_t>(words.size())},
                   {reinterpret_cast<const uint8_t*>(words.data()), words.size() * sizeof(Word)}});
    const Bytes bytes = nn::write_safetensors(all);
    ASSERT_TRUE(write_file_atomic(dir_ / "model.safetensors", ByteSpan(bytes)));
  }

  fs::path dir_;
  nn::ModelConfig config_;
};

TEST_F(Weights, WholeOnesPass) {
  const auto checked = check();
  ASSERT_TRUE(checked) << checked.error().message;
  EXPECT_EQ(checked->n_tensors, 12);
  EXPECT_GT(checked->n_bytes, 448 * 32 * 4 * 2);
}

TEST_F(Weights, NumbersThatAreNotFinite) {
  const auto expect_refused = [&](const char* what) {
    const auto checked = check();
    ASSERT_FALSE(checked) << what;
    EXPECT_EQ(checked.error().code, ErrorCode::kBadInput);
    EXPECT_THAT(checked.error().message, HasSubstr("tensor model.extra holds a number that isn't finite")) << what;
  };
  std::vector<float> floats(9001, 1.5f);
  floats.back() = std::numeric_limits<float>::quiet_NaN();
  write_with("model.extra", "F32", floats);
  expect_refused("F32 nan");
  floats.back() = -std::numeric_limits<float>::infinity();
  write_with("model.extra", "F32", floats);
  expect_refused("F32 -inf");
  // IEEE 754 binary16 and bfloat16: all bits of the exponent set.
  for (const auto& [dtype, word] : {std::pair{"F16", 0x7C00}, {"F16", 0xFE01}, {"BF16", 0x7F80}, {"BF16", 0xFFC0}}) {
    write_with("model.extra", dtype, std::vector<uint16_t>{0, 1, static_cast<uint16_t>(word), 2});
    expect_refused(dtype);
  }
  floats.back() = std::numeric_limits<float>::max();
  write_with("model.extra", "F32", floats);
  EXPECT_TRUE(check().has_value());
  write_with("model.extra", "F16", std::vector<uint16_t>{0x7BFF, 0x0001, 0xFBFF});
  EXPECT_TRUE(check().has_value());
}

TEST_F(Weights, CutOffMissingOrOfAnotherShape) {
  const std::string whole = read_file(dir_ / "model.safetensors").value();
  ASSERT_TRUE(write_file_atomic(dir_ / "model.safetensors", whole.substr(0, whole.size() - 1)));
  auto checked = check();
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message, HasSubstr("tensor lm_head.weight"));
  ASSERT_TRUE(write_file_atomic(dir_ / "model.safetensors", whole));
  config_.n_layers = 2;
  checked = check();
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message, HasSubstr("tensor model.layers.1.input_layernorm.weight is missing"));
  config_.n_layers = 1;
  config_.ffn_width = 65;
  checked = check();
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message,
              HasSubstr("tensor model.layers.0.mlp.gate_proj.weight is [64, 32], config.json asks for [65, 32]"));
}

}  // namespace
}  // namespace slm::select
