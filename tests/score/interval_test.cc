#include "score/interval.h"

#include <gtest/gtest.h>

namespace slm::score {
namespace {

// Expected values: scipy 1.17.1, beta.isf(a, x+1, n-x) and beta.ppf(a, x, n-x+1).
TEST(Interval, ClopperPearsonAgreesWithScipy) {
  struct Row {
    int64_t x, n;
    double alpha, upper, lower;
  };
  const Row rows[] = {
      {0, 10, 0.05, 0.2588655508930522, 0.0},
      {3, 10, 0.05, 0.6066242161054123, 0.08726443391415033},
      {10, 10, 0.05, 1.0, 0.7411344491069477},
      {17, 350, 0.03039635509270134, 0.0753560218137985, 0.02924103980485353},
      {9, 339, 0.005066, 0.057976304292038906, 0.009326606592878208},
      {400, 100000, 0.001, 0.00465588445123276, 0.0034113218854209255},
      {1, 1, 0.5, 1.0, 0.5},
      {0, 1, 0.01, 0.99, 0.0},
      {50, 200, 1e-09, 0.4581571451497552, 0.10025450811701536},
  };
  for (const Row& row : rows) {
    EXPECT_NEAR(upper_bound(row.x, row.n, row.alpha), row.upper, 1e-10) << row.x << "/" << row.n;
    EXPECT_NEAR(lower_bound(row.x, row.n, row.alpha), row.lower, 1e-10) << row.x << "/" << row.n;
  }
}

TEST(Interval, NothingIsClaimedWithoutError) {
  EXPECT_EQ(upper_bound(3, 10, 0), 1);
  EXPECT_EQ(lower_bound(3, 10, 0), 0);
  EXPECT_EQ(upper_bound(0, 0, 0.05), 1);
  EXPECT_EQ(lower_bound(0, 0, 0.05), 0);
}

// Expected values: scipy 1.17.1, binom.cdf.
TEST(Interval, BinomialCdfAgreesWithScipy) {
  EXPECT_NEAR(binomial_cdf(3, 10, 0.1), 0.9872048016, 1e-12);
  EXPECT_NEAR(binomial_cdf(0, 59, 0.05), 0.04849452524942322, 1e-12);
  EXPECT_NEAR(binomial_cdf(17, 350, 0.1), 0.00034627252965408124, 1e-14);
  EXPECT_NEAR(binomial_cdf(200, 400, 0.5), 0.5199346509818967, 1e-12);
  EXPECT_NEAR(binomial_cdf(5, 100000, 0.0001), 0.06707650449736074, 1e-11);
  EXPECT_EQ(binomial_cdf(-1, 10, 0.5), 0);
  EXPECT_EQ(binomial_cdf(10, 10, 0.5), 1);
}

// Expected values: scipy 1.17.1, binomtest(x, x + y).pvalue.
TEST(Interval, McNemarAgreesWithScipy) {
  EXPECT_EQ(mcnemar_exact(0, 0), 1);
  EXPECT_NEAR(mcnemar_exact(5, 0), 0.0625, 1e-12);
  EXPECT_NEAR(mcnemar_exact(12, 3), 0.03515625, 1e-12);
  EXPECT_NEAR(mcnemar_exact(3, 12), 0.03515625, 1e-12);
  EXPECT_EQ(mcnemar_exact(30, 30), 1);
  EXPECT_NEAR(mcnemar_exact(100, 60), 0.001953728034064355, 1e-12);
}

}  // namespace
}  // namespace slm::score
