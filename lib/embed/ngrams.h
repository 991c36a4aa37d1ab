// Character n-grams inside word boundaries, as scikit-learn's analyzer "char_wb" makes them, and their TF-IDF weights.
//
// A term is known by a 64-bit hash of its code points, so a vocabulary holds no text (of a million terms two share a
// hash with probability 3e-8; they would then be one term). Units: n-gram lengths in code points. Ill-formed UTF-8
// counts as U+FFFD. Source: scikit-learn 1.9 `TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5),
// sublinear_tf=True)`: white-space
//   runs are one space, every word is padded by a space on both sides, a word shorter than n counts once; tf = 1 + ln
//   tf; idf = ln((1 + N) / (1 + df)) + 1; rows have length 1. Case is lowered code point by code point.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "core/bytes.h"
#include "embed/sparse.h"

namespace slm::embed {

struct NgramOptions {
  int min_n = 3, max_n = 5;    // 1 ≤ min_n ≤ max_n ≤ 8
  int64_t min_documents = 1;   // terms in fewer documents are left out
  size_t max_terms = 100'000;  // the terms in most documents are kept (ties by hash): bounds memory
  size_t max_bytes = 8192;     // of one document; the rest isn't looked at
};

// Calls visit with the hash of each n-gram of `text`, in order, with repetitions.
void visit_ngrams(std::string_view text, const NgramOptions& options, const std::function<void(uint64_t)>& visit);
// Hash of one n-gram as written (already in lower case, with its padding spaces).
uint64_t ngram_hash(std::string_view ngram);

// Threads: const after fit; transform may run in many threads at once.
class NgramTfIdf {
 public:
  // Errors: kBadInput when the options are out of range.
  static Result<NgramTfIdf> fit(const std::vector<std::string_view>& documents, const NgramOptions& options);
  // Weights of one document, length 1; empty when no term is known.
  SparseRow transform(std::string_view text) const;
  SparseMatrix transform(const std::vector<std::string_view>& documents) const;

  size_t n_terms() const { return idf_.size(); }
  // Column of an n-gram as written, or -1.
  int64_t column(std::string_view ngram) const;
  const NgramOptions& options() const { return options_; }

  void serialise(Bytes& out) const;
  // Reads from `in` at `pos`, which is moved past. Errors: kBadInput on damaged bytes.
  static Result<NgramTfIdf> parse(ByteSpan in, size_t& pos);

 private:
  // Open addressing; slot: column + 1, 0 = free. Faster than std::unordered_map by far at these look-up rates.
  void build_index();
  int64_t find(uint64_t hash) const;

  NgramOptions options_;
  std::vector<uint64_t> terms_;  // hashes by column, ascending
  std::vector<float> idf_;
  std::vector<uint32_t> slots_;
};

}  // namespace slm::embed
