// Texts to unit vectors: character n-gram TF-IDF (embed/ngrams.h) projected on its leading singular directions.
//
// Shapes: vectors are [E] floats of length 1, or all zero where no term of the text is known.
// Errors: kBadInput (options, damaged bytes), kFormatTooNew.
// Threads: const after fit; embed may run in many threads at once. fit gives the same bits for any number of threads.
// Source: latent semantic analysis, Deerwester et al. 1990.
#pragma once

#include <string_view>
#include <vector>

#include "core/bytes.h"
#include "embed/ngrams.h"
#include "embed/svd.h"

namespace slm::embed {

struct TextEmbedderOptions {
  NgramOptions ngrams;
  SvdOptions svd;
  // Coordinates are multiplied by σ^sigma_power. 1 is plain LSA; less gives the many small directions more say, which
  // tells apart more topics than the few large ones do.
  double sigma_power = 1.0;
};

class TextEmbedder {
 public:
  // Fits on all documents given: the caller samples. No document, or none with a term: an embedder of width 0.
  static Result<TextEmbedder> fit(const std::vector<std::string_view>& documents, const TextEmbedderOptions& options);

  size_t width() const { return components_.n_columns; }
  // Writes width() floats; returns false where the text has no known term (then they are zero).
  bool embed(std::string_view text, float* out) const;
  DenseMatrix embed(const std::vector<std::string_view>& documents) const;
  const NgramTfIdf& tf_idf() const { return tf_idf_; }
  const std::vector<double>& singular_values() const { return singular_values_; }

  // Appends to `out`. Components are kept as float32: what parse gives embeds to the same bits.
  void serialise(Bytes& out) const;
  static Result<TextEmbedder> parse(ByteSpan in, size_t& pos);

 private:
  bool finish(const SparseRow& row, float* out) const;
  NgramTfIdf tf_idf_;
  std::vector<double> singular_values_;
  DenseMatrix components_;  // [V, E], scaled by σ^(sigma_power − 1)
};

// Scales x to length 1; false if it is zero.
bool normalise(float* x, size_t n);

}  // namespace slm::embed
