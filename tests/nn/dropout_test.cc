// Masks by counter: what they depend on, and that they are as random as a generator's.
#include "nn/dropout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace slm::nn {
namespace {

Sequence sequence(int64_t n, int64_t key) {
  Sequence out;
  out.ids.resize(static_cast<size_t>(n), 7);
  out.key = key;
  return out;
}
Dropout dropout(const std::vector<Sequence>& sequences, uint64_t seed, double rate = 0.3) {
  return dropout_of(make_forests(sequences, {.max_tokens = 1 << 20, .share_prefixes = false})[0], seed, rate);
}

TEST(Dropout, ATokensMaskIsTheSameInAnyBatch) {
  const auto whole = dropout({sequence(40, 3), sequence(25, 8), sequence(31, 0)}, 9),
             part = dropout({sequence(25, 8)}, 9);
  const at::Tensor x = at::empty({96, 33}), few = at::empty({25, 33});
  const at::Tensor mask = dropout_mask(whole, 4, x);
  EXPECT_TRUE(at::equal(mask.narrow(0, 40, 25), dropout_mask(part, 4, few)));
  EXPECT_TRUE(at::equal(mask, dropout_mask(whole, 4, x)));
  EXPECT_FALSE(at::equal(mask, dropout_mask(whole, 5, x))) << "another place";
  EXPECT_FALSE(at::equal(mask, dropout_mask(dropout({sequence(40, 3), sequence(25, 8), sequence(31, 0)}, 10), 4, x)))
      << "another seed";
  EXPECT_FALSE(at::equal(mask.narrow(0, 0, 25), mask.narrow(0, 40, 25))) << "another sequence";
  EXPECT_FALSE(at::equal(mask[0], mask[1])) << "another position";
}

TEST(Dropout, WithoutKeysSequencesDiffer) {
  const at::Tensor mask = dropout_mask(dropout({sequence(20, -1), sequence(20, -1)}, 1), 0, at::empty({40, 64}));
  EXPECT_FALSE(at::equal(mask.narrow(0, 0, 20), mask.narrow(0, 20, 20)));
}

// Shares of what is kept and of neighbours kept together, within five deviations of independent draws.
TEST(Dropout, ValuesAreKeptAtTheRateAndIndependently) {
  for (const double rate : {0.05, 0.3, 0.9}) {
    const int64_t n = 500, width = 400;
    const at::Tensor mask = dropout_mask(dropout({sequence(n, 1)}, 2, rate), 3, at::empty({n, width}));
    const double keep = 1 - rate;
    const auto near = [&](const at::Tensor& hits, double share) {
      EXPECT_NEAR(hits.to(at::kDouble).mean().item<double>(), share,
                  5 * std::sqrt(share * (1 - share) / static_cast<double>(hits.numel())))
          << rate;
    };
    const at::Tensor kept = mask > 0;
    near(kept, keep);
    for (const int64_t step : {1, 2, 64}) {
      near(kept.narrow(1, 0, width - step) & kept.narrow(1, step, width - step), keep * keep);
      near(kept.narrow(0, 0, n - step) & kept.narrow(0, step, n - step), keep * keep);
    }
    EXPECT_FLOAT_EQ(mask.max().item<float>(), static_cast<float>(1 / keep));
    EXPECT_EQ(mask.min().item<float>(), 0.0f);
  }
}

TEST(Dropout, MasksAreOfTheInputsType) {
  const auto d = dropout({sequence(3, 1)}, 2);
  EXPECT_EQ(dropout_mask(d, 0, at::empty({3, 5}, at::kBFloat16)).scalar_type(), at::kBFloat16);
  EXPECT_EQ(dropout_mask(d, 0, at::empty({3, 5}, at::kDouble)).scalar_type(), at::kDouble);
}

}  // namespace
}  // namespace slm::nn
