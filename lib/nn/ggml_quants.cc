#include "nn/ggml_quants.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace slm::nn {

namespace {

constexpr size_t kBlock = 32;
constexpr float kMostHalf = 65504;

uint16_t bf16_of(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 64);  // a quiet NaN
  return static_cast<uint16_t>((uint64_t{bits} + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// The product rounded to float before anything is added to it, whatever the compiler makes of a · b + c.
float product(float a, float b) { return static_cast<float>(static_cast<double>(a) * static_cast<double>(b)); }

// 1 / d, and 0 where that isn't a number.
float inverse(float d) {
  const float out = d == 0 ? 0 : 1 / d;
  return std::isfinite(out) ? out : 0;
}

// The scales that blocks are stored with.
float scale_q8(std::span<const float> block) {
  float most = 0;
  for (const float x : block) most = std::max(most, std::fabs(x));
  return most / 127;
}
float scale_q4(std::span<const float> block) {
  float most = 0, signed_most = 0;  // the first of the largest
  for (const float x : block)
    if (std::fabs(x) > most) {
      most = std::fabs(x);
      signed_most = x;
    }
  return signed_most / -8;
}

void quantize_q8(std::span<const float> block, Bytes& out) {
  const float d = scale_q8(block), id = inverse(d);
  put_u16(out, half_of(d));
  for (const float x : block) out.push_back(static_cast<uint8_t>(static_cast<int8_t>(std::round(product(x, id)))));
}

void quantize_q4(std::span<const float> block, Bytes& out) {
  const float d = scale_q4(block), id = inverse(d);
  put_u16(out, half_of(d));
  const auto level = [&](float x) {
    return static_cast<uint8_t>(std::clamp(std::trunc(product(x, id) + 8.5f), 0.0f, 15.0f));
  };
  for (size_t i = 0; i < kBlock / 2; ++i)
    out.push_back(static_cast<uint8_t>(level(block[i]) | level(block[i + kBlock / 2]) << 4));
}

uint16_t get_u16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }

}  // namespace

const GgmlFormat* find_ggml_format(uint32_t type) {
  for (const auto& format : kGgmlFormats)
    if (static_cast<uint32_t>(format.type) == type) return &format;
  return nullptr;
}

const GgmlFormat& ggml_format(GgmlType type) { return *find_ggml_format(static_cast<uint32_t>(type)); }

Result<GgmlType> parse_ggml_type(std::string_view name) {
  std::string known;
  for (const auto& format : kGgmlFormats) {
    if (format.name == name) return format.type;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", format.name);
  }
  return fail(ErrorCode::kUsage, fmt::format("GGUF type \"{}\"; known: {}", name, known));
}

uint16_t half_of(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t size = bits & 0x7fffffff;
  if (size > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | (size >> 13 & 0x3ff));
  if (size >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds to 65536 or more
  if (size < 0x38800000) {  // below the smallest normal: a multiple of 2^-24, which the sum with 0.5 rounds to
    const float shifted = std::bit_cast<float>(size) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f)));
  }
  const uint32_t rounded = size + 0xfff + (size >> 13 & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13));
}

float float_of_half(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16, exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
  if (exponent == 0) {
    const float size = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(size) | sign);
  }
  return std::bit_cast<float>(sign | (exponent == 31 ? 0xffu : exponent + 112) << 23 | mantissa << 13);
}

void ggml_quantize(GgmlType type, std::span<const float> values, Bytes& out) {
  switch (type) {
    case GgmlType::kF32:
      for (const float x : values) put_u32(out, std::bit_cast<uint32_t>(x));
      break;
    case GgmlType::kF16:
      for (const float x : values) put_u16(out, half_of(x));
      break;
    case GgmlType::kBF16:
      for (const float x : values) put_u16(out, bf16_of(x));
      break;
    case GgmlType::kQ8_0:
      for (size_t at = 0; at < values.size(); at += kBlock) quantize_q8(values.subspan(at, kBlock), out);
      break;
    case GgmlType::kQ4_0:
      for (size_t at = 0; at < values.size(); at += kBlock) quantize_q4(values.subspan(at, kBlock), out);
      break;
  }
}

bool ggml_fits(GgmlType type, std::span<const float> values) {
  if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) return false;
  const float most = type == GgmlType::kF16    ? kMostHalf
                     : type == GgmlType::kQ8_0 ? kMostHalf * 127
                     : type == GgmlType::kQ4_0 ? kMostHalf * 8
                                               : std::bit_cast<float>(0x7f7f0000u);  // bfloat16's largest
  if (type == GgmlType::kF32) return true;
  return std::all_of(values.begin(), values.end(), [most](float x) { return std::fabs(x) <= most; });
}

void ggml_dequantize(GgmlType type, ByteSpan bytes, std::span<float> values) {
  const auto blocks = [&](const auto& block) {
    const auto stride = static_cast<size_t>(ggml_format(type).block_bytes);
    for (size_t at = 0, from = 0; at < values.size(); at += kBlock, from += stride) block(&bytes[from], &values[at]);
  };
  switch (type) {
    case GgmlType::kF32:
      for (size_t i = 0; i < values.size(); ++i) values[i] = std::bit_cast<float>(get_u32(&bytes[4 * i]));
      break;
    case GgmlType::kF16:
      for (size_t i = 0; i < values.size(); ++i) values[i] = float_of_half(get_u16(&bytes[2 * i]));
      break;
    case GgmlType::kBF16:
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = std::bit_cast<float>(uint32_t{get_u16(&bytes[2 * i])} << 16);
      break;
    case GgmlType::kQ8_0:
      blocks([](const uint8_t* from, float* to) {
        const float d = float_of_half(get_u16(from));
        for (size_t i = 0; i < kBlock; ++i) to[i] = static_cast<float>(static_cast<int8_t>(from[2 + i])) * d;
      });
      break;
    case GgmlType::kQ4_0:
      blocks([](const uint8_t* from, float* to) {
        const float d = float_of_half(get_u16(from));
        for (size_t i = 0; i < kBlock / 2; ++i) {
          to[i] = static_cast<float>((from[2 + i] & 15) - 8) * d;
          to[i + kBlock / 2] = static_cast<float>((from[2 + i] >> 4) - 8) * d;
        }
      });
      break;
  }
}

}  // namespace slm::nn
