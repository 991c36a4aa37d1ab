// Number formats against what PyPI's gguf made of the same values (tests/data/gguf/reference.gguf).
#include "nn/ggml_quants.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "nn/gguf.h"

namespace slm::nn {
namespace {

GgufFile reference() {
  auto file = GgufFile::open(std::string(SLM_SOURCE_DIR) + "/tests/data/gguf/reference.gguf");
  EXPECT_TRUE(file) << file.error().message;
  return std::move(*file);
}

std::vector<float> values_of(const GgufTensor& tensor) {
  std::vector<float> out(tensor.data.size() / 4);
  ggml_dequantize(GgmlType::kF32, tensor.data, out);
  return out;
}

TEST(GgmlQuants, BytesAndValuesEqualTheGgufPackage) {
  const auto file = reference();
  const auto values = values_of(file.tensors().at("f32"));
  ASSERT_EQ(values.size(), 12u * 32);
  for (const auto& format : kGgmlFormats) {
    const std::string name(format.name);
    const auto& theirs = file.tensors().at(name);
    EXPECT_EQ(theirs.type, format.type);
    Bytes ours;
    ggml_quantize(format.type, values, ours);
    EXPECT_EQ(ours, Bytes(theirs.data.begin(), theirs.data.end())) << name;
    if (format.type == GgmlType::kF32) continue;
    std::vector<float> back(values.size());
    ggml_dequantize(format.type, ours, back);
    const auto expected = values_of(file.tensors().at(name + ".back"));
    for (size_t i = 0; i < back.size(); ++i) EXPECT_EQ(back[i], expected[i]) << name << " " << i;
  }
}

TEST(GgmlQuants, EveryHalfComesBackAndValuesBetweenGoToTheNearer) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = float_of_half(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(float_of_half(half_of(value))));
      continue;
    }
    EXPECT_EQ(half_of(value), half) << bits;
    if ((bits & 0x7fff) >= 0x7bff) continue;  // the last finite one and infinity
    const float next = float_of_half(static_cast<uint16_t>(half + 1));
    const float middle = (value + next) / 2;  // exact in float
    EXPECT_EQ(half_of(std::nextafter(middle, value)), half) << bits;
    EXPECT_EQ(half_of(std::nextafter(middle, next)), half + 1) << bits;
    EXPECT_EQ(half_of(middle), half % 2 == 0 ? half : half + 1) << bits;
  }
  EXPECT_EQ(half_of(65519.0f), 0x7bff);
  EXPECT_EQ(half_of(65520.0f), 0x7c00);
  EXPECT_EQ(half_of(-std::numeric_limits<float>::infinity()), 0xfc00);
}

TEST(GgmlQuants, SaysWhatFits) {
  const std::vector<float> large(32, 70000.0f), larger(32, 65504.0f * 100), most(32, std::numeric_limits<float>::max());
  const std::vector<float> no(32, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(ggml_fits(GgmlType::kF32, most));
  EXPECT_FALSE(ggml_fits(GgmlType::kBF16, most));
  EXPECT_FALSE(ggml_fits(GgmlType::kF16, large));
  EXPECT_TRUE(ggml_fits(GgmlType::kBF16, large));
  EXPECT_TRUE(ggml_fits(GgmlType::kQ4_0, large));
  EXPECT_FALSE(ggml_fits(GgmlType::kQ4_0, larger));
  EXPECT_TRUE(ggml_fits(GgmlType::kQ8_0, larger));
  for (const auto& format : kGgmlFormats) EXPECT_FALSE(ggml_fits(format.type, no)) << format.name;
}

TEST(GgmlQuants, Names) {
  for (const auto& format : kGgmlFormats) EXPECT_EQ(parse_ggml_type(format.name).value(), format.type);
  EXPECT_EQ(parse_ggml_type("q5_1").error().code, ErrorCode::kUsage);
  EXPECT_EQ(find_ggml_format(14), nullptr);
}

}  // namespace
}  // namespace slm::nn
