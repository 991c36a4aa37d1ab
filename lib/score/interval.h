// Exact binomial bounds and tests: Clopper-Pearson through the regularised incomplete beta function.
//
// Units: alpha = probability that a one-sided bound misses, in (0,1).
// Requires: 0 ≤ successes ≤ n; alpha in [0,1].
// Source: Clopper and Pearson, Biometrika 26 (1934) 404; McNemar, Psychometrika 12 (1947) 153, in its exact form.
#pragma once

#include <cstdint>

namespace slm::score {

// One-sided upper bound U with P(U < true share) ≤ alpha; 1 if successes = n.
double upper_bound(int64_t successes, int64_t n, double alpha);
// One-sided lower bound L with P(L > true share) ≤ alpha; 0 if successes = 0.
double lower_bound(int64_t successes, int64_t n, double alpha);

// P(X ≤ k), X binomial(n, p). 0 for k < 0, 1 for k ≥ n.
double binomial_cdf(int64_t k, int64_t n, double p);

// Exact McNemar test of paired answers, two-sided: x units where only the first was right, y where only the second.
double mcnemar_exact(int64_t only_first, int64_t only_second);

}  // namespace slm::score
