#include "score/interval.h"

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>

namespace slm::score {
namespace {

// Boost gives NaN instead of throwing; callers fall back on the bound that claims nothing.
namespace policies = boost::math::policies;
using Quiet =
    policies::policy<policies::domain_error<policies::ignore_error>, policies::pole_error<policies::ignore_error>,
                     policies::overflow_error<policies::ignore_error>,
                     policies::underflow_error<policies::ignore_error>, policies::denorm_error<policies::ignore_error>,
                     policies::rounding_error<policies::ignore_error>,
                     policies::evaluation_error<policies::ignore_error>>;

}  // namespace

double upper_bound(int64_t successes, int64_t n, double alpha) {
  if (successes >= n || alpha <= 0) return 1;
  if (alpha >= 1) return 0;
  const double bound =
      boost::math::ibetac_inv(static_cast<double>(successes) + 1, static_cast<double>(n - successes), alpha, Quiet());
  return std::isfinite(bound) ? std::clamp(bound, 0.0, 1.0) : 1;
}

double lower_bound(int64_t successes, int64_t n, double alpha) {
  if (successes <= 0 || alpha <= 0) return 0;
  if (alpha >= 1) return 1;
  const double bound =
      boost::math::ibeta_inv(static_cast<double>(successes), static_cast<double>(n - successes) + 1, alpha, Quiet());
  return std::isfinite(bound) ? std::clamp(bound, 0.0, 1.0) : 0;
}

double binomial_cdf(int64_t k, int64_t n, double p) {
  if (k < 0) return 0;
  if (k >= n || p <= 0) return 1;
  if (p >= 1) return 0;
  const double value = boost::math::ibetac(static_cast<double>(k) + 1, static_cast<double>(n - k), p, Quiet());
  return std::isfinite(value) ? std::clamp(value, 0.0, 1.0) : 1;
}

double mcnemar_exact(int64_t only_first, int64_t only_second) {
  const int64_t n = only_first + only_second;
  if (n == 0) return 1;
  return std::min(1.0, 2 * binomial_cdf(std::min(only_first, only_second), n, 0.5));
}

}  // namespace slm::score
