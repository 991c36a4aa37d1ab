// MinHash signatures of texts: the share of equal entries estimates the Jaccard similarity of their word n-gram sets;
// texts with an equal bucket key are candidates for near-duplicates.
//
// Shapes: a signature has n_buckets · hashes_per_bucket entries.
// Source: Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4 (banding). Default sizes
// as
//   in datatrove (14 buckets of 8 hashes, 5-grams): a pair of similarity 0.72 meets in a bucket with probability one
//   half.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace slm::embed {

struct MinHashOptions {
  int n_buckets = 14;         // ≥ 1
  int hashes_per_bucket = 8;  // ≥ 1
  int ngram = 5;              // words; a shorter text counts as one n-gram
  uint64_t seed = 1;
};

// Words are runs of anything but white space and ASCII punctuation, in lower case. A text without words gives the
// signature of the empty set: all entries UINT32_MAX.
std::vector<uint32_t> minhash_signature(std::string_view text, const MinHashOptions& options = {});
// One key a bucket.
std::vector<uint64_t> minhash_buckets(const std::vector<uint32_t>& signature, const MinHashOptions& options = {});
// Share of equal entries. Requires: equal lengths, not empty.
double minhash_similarity(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b);

}  // namespace slm::embed
