#include "embed/text_embedder.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "embed/simd.h"

namespace slm::embed {

namespace {
constexpr uint32_t kMagic = 0x31544553;  // "SET1"
constexpr uint32_t kVersion = 1;
constexpr uint64_t kMaxWidth = 4096;
}  // namespace

bool normalise(float* x, size_t n) {
  const double norm = std::sqrt(static_cast<double>(simd::dot(x, x, n)));
  if (!(norm > 1e-12)) {
    std::fill(x, x + n, 0.0f);
    return false;
  }
  for (size_t i = 0; i < n; ++i) x[i] = static_cast<float>(x[i] / norm);
  return true;
}

Result<TextEmbedder> TextEmbedder::fit(const std::vector<std::string_view>& documents,
                                       const TextEmbedderOptions& options) {
  if (!(options.sigma_power >= 0 && options.sigma_power <= 2))
    return fail(ErrorCode::kBadInput, fmt::format("power of the singular values {}: need 0 to 2", options.sigma_power));
  if (options.svd.rank + options.svd.n_oversamples > kMaxWidth)
    return fail(ErrorCode::kBadInput, fmt::format("{} dimensions: at most {}", options.svd.rank, kMaxWidth));
  TextEmbedder out;
  SLM_TRY(out.tf_idf_, NgramTfIdf::fit(documents, options.ngrams));
  SLM_TRY(auto svd, truncated_svd(out.tf_idf_.transform(documents), options.svd));
  out.singular_values_ = std::move(svd.singular_values);
  out.components_ = std::move(svd.components);
  for (size_t j = 0; j < out.width(); ++j) {
    // Relative to the first, so that lengths stay ordinary.
    const auto scale =
        static_cast<float>(std::pow(out.singular_values_[j] / out.singular_values_[0], options.sigma_power - 1.0));
    for (size_t i = 0; i < out.components_.n_rows; ++i) out.components_.row(i)[j] *= scale;
  }
  return out;
}

bool TextEmbedder::finish(const SparseRow& row, float* out) const {
  std::fill(out, out + width(), 0.0f);
  add_weighted_rows(row, components_, out);
  return normalise(out, width());
}

bool TextEmbedder::embed(std::string_view text, float* out) const {
  if (width() == 0) return false;
  return finish(tf_idf_.transform(text), out);
}

DenseMatrix TextEmbedder::embed(const std::vector<std::string_view>& documents) const {
  DenseMatrix out(documents.size(), width());
  const auto n = static_cast<int64_t>(documents.size());
#pragma omp parallel for schedule(dynamic, 64)
  for (int64_t i = 0; i < n; ++i) embed(documents[static_cast<size_t>(i)], out.row(static_cast<size_t>(i)));
  return out;
}

void TextEmbedder::serialise(Bytes& out) const {
  put_u32(out, kMagic);
  put_u32(out, kVersion);
  tf_idf_.serialise(out);
  put_u64(out, components_.n_rows);
  put_u64(out, width());
  for (const double sigma : singular_values_) put_u64(out, std::bit_cast<uint64_t>(sigma));
  out.reserve(out.size() + 4 * components_.values.size());
  for (const float value : components_.values) put_u32(out, std::bit_cast<uint32_t>(value));
}

Result<TextEmbedder> TextEmbedder::parse(ByteSpan in, size_t& pos) {
  const auto damaged = [] {
    return fail(ErrorCode::kBadInput, "a text embedder is damaged: its bytes end early or are out of range");
  };
  if (pos > in.size() || in.size() - pos < 8 || get_u32(in.data() + pos) != kMagic) return damaged();
  if (const uint32_t version = get_u32(in.data() + pos + 4); version != kVersion)
    return fail(ErrorCode::kFormatTooNew,
                fmt::format("text embedder of format {}; this program reads format {}", version, kVersion));
  pos += 8;
  TextEmbedder out;
  SLM_TRY(out.tf_idf_, NgramTfIdf::parse(in, pos));
  if (in.size() - pos < 16) return damaged();
  const uint64_t rows = get_u64(in.data() + pos), width = get_u64(in.data() + pos + 8);
  pos += 16;
  if (rows != out.tf_idf_.n_terms() || width > kMaxWidth || in.size() - pos < 8 * width) return damaged();
  for (uint64_t j = 0; j < width; ++j, pos += 8)
    out.singular_values_.push_back(std::bit_cast<double>(get_u64(in.data() + pos)));
  if ((in.size() - pos) / 4 < rows * width) return damaged();
  out.components_ = DenseMatrix(rows, width);
  for (auto& value : out.components_.values) {
    value = std::bit_cast<float>(get_u32(in.data() + pos));
    if (!std::isfinite(value)) return damaged();
    pos += 4;
  }
  return out;
}

}  // namespace slm::embed
