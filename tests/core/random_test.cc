#include "core/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

namespace slm {
namespace {

TEST(Random, SeededRepeatsAndSeedsDiffer) {
  std::array<uint8_t, 100> a{}, b{}, c{};
  seeded_random(1)->fill(a);
  seeded_random(1)->fill(b);
  seeded_random(2)->fill(c);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
}

TEST(Random, OsBytesDiffer) {
  std::array<uint8_t, 32> a{}, b{};
  const auto random = os_random();
  random->fill(a);
  random->fill(b);
  EXPECT_NE(a, b);
}

// Reference: xoshiro256starstar.c and splitmix64.c of prng.di.unimi.it, computed with an independent Python
// transcription.
TEST(Random, PrngSequence) {
  Prng prng(0);
  EXPECT_EQ(prng.next(), 11091344671253066420ULL);
  EXPECT_EQ(prng.next(), 13793997310169335082ULL);
}

TEST(Random, BelowIsUniformAndNormalHasItsMoments) {
  Prng prng(7);
  std::vector<int> count(10);
  for (int i = 0; i < 100000; ++i) ++count[prng.below(10)];
  for (const int n : count) EXPECT_NEAR(n, 10000, 500);
  double sum = 0, squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = prng.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1, 0.03);
}

TEST(Random, StateRestores) {
  Prng prng(3);
  prng.next();
  const auto state = prng.state();
  const uint64_t next = prng.next();
  prng.restore(state);
  EXPECT_EQ(prng.next(), next);
}

}  // namespace
}  // namespace slm
