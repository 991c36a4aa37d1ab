#include "model/sampling.h"

#include <gtest/gtest.h>

#include <cmath>

namespace slm::model {
namespace {

constexpr float kLogits[] = {1.5f, -0.25f, 3.0f, 0.75f, 2.875f, -2.0f, 0.125f, 1.5f, -1.0f, 2.25f};

// Recorded from transformers 5.23: TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper, softmax in float64.
TEST(Sampling, CandidatesEqualTransformers) {
  struct Row {
    double temperature, top_p;
    int top_k;
    std::vector<double> expected;
  };
  const Row rows[] = {
      {1.0, 0.9, 0, {0.07965737, 0, 0.3569996, 0, 0.315051, 0, 0, 0.07965737, 0, 0.1686347}},
      {0.7, 0.5, 0, {0, 0, 0.5445246, 0, 0.4554754, 0, 0, 0, 0, 0}},
      {2.0, 0.95, 0, {0.1090785, 0.04547067, 0.2309191, 0.07496846, 0.2169284, 0, 0.0548481, 0.1090785, 0, 0.1587082}},
      {1.3, 1.0, 4, {0.1017229, 0, 0.3224984, 0, 0.2929331, 0, 0, 0.1017229, 0, 0.1811228}},
      {0.5, 0.8, 5, {0, 0, 0.5621765, 0, 0.4378235, 0, 0, 0, 0, 0}},
      {1.0, 0.999, 3, {0, 0, 0.4246531, 0, 0.374755, 0, 0, 0, 0, 0.2005919}},
      {1.0, 0.01, 0, {0, 0, 1, 0, 0, 0, 0, 0, 0, 0}},
      {1.0, 1.0, 5, {0.07965737, 0, 0.3569996, 0, 0.315051, 0, 0, 0.07965737, 0, 0.1686347}},
  };
  for (const Row& row : rows) {
    std::vector<double> found(std::size(kLogits), 0.0);
    for (const Candidate& c : candidates(kLogits, {row.temperature, row.top_p, row.top_k}))
      found[static_cast<size_t>(c.id)] = c.probability;
    for (size_t i = 0; i < found.size(); ++i)
      EXPECT_NEAR(found[i], row.expected[i], 1e-6)
          << row.temperature << " " << row.top_p << " " << row.top_k << " " << i;
  }
}

TEST(Sampling, WhatIsNoNumberIsNeverChosen) {
  const float nan = std::nanf("");
  Prng random(1);
  const float some[] = {nan, 0.0f, nan, 1.0f};
  for (int i = 0; i < 100; ++i) {
    const int32_t id = choose(some, {2.0, 0.9, 3}, random);
    EXPECT_TRUE(id == 1 || id == 3);
  }
  EXPECT_EQ(choose(some, {}, random), 3);
  const float none[] = {nan, nan};
  EXPECT_EQ(choose(none, {}, random), -1);
  EXPECT_EQ(choose(none, {1.0, 0.5, 1}, random), -1);
}

}  // namespace
}  // namespace slm::model
