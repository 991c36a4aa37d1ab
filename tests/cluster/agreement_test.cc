#include "support/agreement.h"

#include <gtest/gtest.h>

#include <cmath>

namespace slm::cluster {
namespace {

TEST(Agreement, HandComputed) {
  const std::vector<uint32_t> a = {0, 0, 0, 1, 1, 1}, b = {0, 0, 1, 1, 2, 2};
  // Table: (0,0)=2 (0,1)=1 (1,1)=1 (1,2)=2. Pairs together: 1 + 1 = 2; in a: 3 + 3 = 6; in b: 1 + 1 + 1 = 3; of 15.
  // Expected 6·3/15 = 1.2, highest 4.5: (2 − 1.2) / (4.5 − 1.2) = 8/33.
  EXPECT_NEAR(test::adjusted_rand_index(a, b), 8.0 / 33.0, 1e-12);
  // H(a) = ln 2, H(b) = ln 3, I = 2·(1/3)·ln 2 = (2/3) ln 2 (the two middle cells have n·6/(3·2) = 1).
  EXPECT_NEAR(test::normalised_mutual_information(a, b),
              2 * (2.0 / 3.0) * std::log(2.0) / (std::log(2.0) + std::log(3.0)), 1e-12);
}

TEST(Agreement, SameUnderOtherNamesAndWorseThanChance) {
  EXPECT_DOUBLE_EQ(test::adjusted_rand_index({0, 0, 1, 2}, {7, 7, 3, 5}), 1);
  EXPECT_DOUBLE_EQ(test::normalised_mutual_information({0, 0, 1, 2}, {7, 7, 3, 5}), 1);
  // Crossed 2 × 2: 0 pairs together, expected 2·2/6, highest 2: −(2/3)/(4/3).
  EXPECT_NEAR(test::adjusted_rand_index({0, 0, 1, 1}, {0, 1, 0, 1}), -0.5, 1e-12);
  EXPECT_NEAR(test::normalised_mutual_information({0, 0, 1, 1}, {0, 1, 0, 1}), 0, 1e-12);
}

TEST(Agreement, MajorityOfATask) {
  const std::vector<uint32_t> tasks = {0, 0, 0, 0, 1, 1, 1, 1, 1, 1}, labels = {5, 5, 5, 6, 7, 7, 7, 7, 5, 6};
  const std::vector<uint32_t> groups = {0, 1, 2, 3, 0, 1, 2, 3, 4, 4};
  const auto agreement = test::majority_agreement(tasks, labels, groups);
  EXPECT_NEAR(agreement.by_task, 0.7, 1e-12);           // 3 of task 0, 4 of task 1
  EXPECT_NEAR(agreement.majority, 0.4, 1e-12);          // 4 fives, 4 sevens
  EXPECT_NEAR(agreement.by_task_held_out, 0.7, 1e-12);  // no fold changes a task's majority
  // One call a task: agrees with itself, and says nothing about others.
  const auto alone = test::majority_agreement({0, 1, 2}, {0, 1, 2}, {0, 1, 2});
  EXPECT_NEAR(alone.by_task, 1, 1e-12);
  EXPECT_NEAR(alone.by_task_held_out, 0, 1e-12);
}

}  // namespace
}  // namespace slm::cluster
