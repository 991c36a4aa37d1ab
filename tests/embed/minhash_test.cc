#include "embed/minhash.h"

#include <gtest/gtest.h>

#include <string>

namespace slm::embed {
namespace {

std::string words(int begin, int end) {
  std::string out;
  for (int i = begin; i < end; ++i) out += "w" + std::to_string(i) + ' ';
  return out;
}

TEST(MinHash, EstimatesTheJaccardSimilarity) {
  MinHashOptions options;
  options.n_buckets = 128;
  options.ngram = 1;
  // {0..299} and {100..399}: 200 of 400 shared.
  const double similarity =
      minhash_similarity(minhash_signature(words(0, 300), options), minhash_signature(words(100, 400), options));
  EXPECT_NEAR(similarity, 0.5, 0.05);  // standard error 0.016
}

TEST(MinHash, NearDuplicatesShareABucketAndOthersDoNot) {
  const auto shared = [](const std::string& a, const std::string& b) {
    const auto x = minhash_buckets(minhash_signature(a)), y = minhash_buckets(minhash_signature(b));
    int n = 0;
    for (size_t i = 0; i < x.size(); ++i) n += x[i] == y[i];
    return n;
  };
  EXPECT_GT(shared(words(0, 400), words(0, 395) + "changed"), 5);
  EXPECT_EQ(shared(words(0, 400), words(1000, 1400)), 0);
  EXPECT_EQ(shared("Hello, World", "hello world"), 14);
}

TEST(MinHash, NoWordsAndSeeds) {
  for (const uint32_t entry : minhash_signature(" ,.! ")) EXPECT_EQ(entry, UINT32_MAX);
  MinHashOptions other;
  other.seed = 2;
  EXPECT_NE(minhash_signature("a b c"), minhash_signature("a b c", other));
  EXPECT_EQ(minhash_signature("a b c").size(), 112u);
}

}  // namespace
}  // namespace slm::embed
