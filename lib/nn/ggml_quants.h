// The number formats of GGUF files: whole floats, and blocks of 32 values with one scale. Torch-free.
//
// Shapes: a row's length must be a multiple of its format's block.
// Source: ggml `src/ggml-quants.c` (quantize_row_q8_0_ref, quantize_row_q4_0_ref) and `ggml-impl.h` for the roundings;
//   PyPI's gguf `quants.py`, which computes the same.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/bytes.h"
#include "core/error.h"

namespace slm::nn {

// The numbers are those of the file.
enum class GgmlType : uint32_t { kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ8_0 = 8, kBF16 = 30 };

struct GgmlFormat {
  GgmlType type;
  std::string_view name;  // as --type takes it
  int64_t block;          // values
  int64_t block_bytes;
  uint32_t file_type;  // general.file_type of a model whose matrices are of it
};
inline constexpr std::array<GgmlFormat, 5> kGgmlFormats{{{GgmlType::kF32, "f32", 1, 4, 0},
                                                         {GgmlType::kF16, "f16", 1, 2, 1},
                                                         {GgmlType::kBF16, "bf16", 1, 2, 32},
                                                         {GgmlType::kQ8_0, "q8_0", 32, 34, 7},
                                                         {GgmlType::kQ4_0, "q4_0", 32, 18, 2}}};
// Null for a number that isn't one of them.
const GgmlFormat* find_ggml_format(uint32_t type);
const GgmlFormat& ggml_format(GgmlType type);
// Errors: kUsage, naming those known.
Result<GgmlType> parse_ggml_type(std::string_view name);

// Appends the values in the format. Requires: values.size() is a multiple of the block. A value beyond the format's
// range becomes infinite (f16, bf16) or makes its block's scale infinite (q8_0, q4_0): ggml_fits() tells.
void ggml_quantize(GgmlType type, std::span<const float> values, Bytes& out);
// Whether every value is finite and has a finite counterpart.
bool ggml_fits(GgmlType type, std::span<const float> values);
// Requires: bytes hold exactly values.size() values.
void ggml_dequantize(GgmlType type, ByteSpan bytes, std::span<float> values);

// IEEE binary16, to nearest, ties to even; NaN stays NaN.
uint16_t half_of(float value);
float float_of_half(uint16_t half);

}  // namespace slm::nn
