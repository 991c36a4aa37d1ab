#include "model/json_numbers.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace slm::model {
namespace {

using Sequence = ByteGrammar::Sequence;

constexpr int64_t kMaxWhole = 999'999'999'999'999, kMaxBounded = 999'999'999;
constexpr uint32_t kFraction = 15, kBoundedFraction = 6;

class Numbers {
 public:
  explicit Numbers(ByteGrammar& grammar) : g_(grammar), digit_(g_.rule_of({{g_.range('0', '9')}})) {}

  ByteGrammar::Symbol digits(uint32_t min, uint32_t max) { return ByteGrammar::repeat(digit_, min, max); }

  // Texts of equal length from `low` to `high`, digit by digit.
  void same_length(std::vector<Sequence>& out, const Sequence& prefix, std::string_view low, std::string_view high) {
    Sequence shared = prefix;
    while (!low.empty() && low.front() == high.front()) {
      g_.text(shared, low.substr(0, 1));
      low.remove_prefix(1);
      high.remove_prefix(1);
    }
    const auto rest = static_cast<uint32_t>(low.size());
    const bool from_zero = low.find_first_not_of('0') == std::string_view::npos;
    const bool to_nine = high.find_first_not_of('9') == std::string_view::npos;
    if (from_zero && to_nine) {
      if (rest > 0) shared.push_back(digits(rest, rest));
      out.push_back(std::move(shared));
      return;
    }
    // The digit at which they part: the lowest goes on from `low`, the highest up to `high`, those between are free.
    const std::string nines(rest - 1, '9'), zeros(rest - 1, '0');
    Sequence first = shared, last = shared;
    g_.text(first, low.substr(0, 1));
    g_.text(last, high.substr(0, 1));
    same_length(out, first, low.substr(1), nines);
    if (high[0] - low[0] > 1) {
      Sequence middle = shared;
      middle.push_back(g_.range(static_cast<uint8_t>(low[0] + 1), static_cast<uint8_t>(high[0] - 1)));
      if (rest > 1) middle.push_back(digits(rest - 1, rest - 1));
      out.push_back(std::move(middle));
    }
    same_length(out, last, zeros, high.substr(1));
  }

  // Whole numbers from low to high (both ≥ 0), after a sign and before a fraction.
  void magnitudes(std::vector<Sequence>& out, const Sequence& sign, int64_t low, int64_t high) {
    for (int64_t first = low; first <= high;) {
      const size_t length = std::to_string(first).size();
      const int64_t last = std::min<int64_t>(high, std::stoll(std::string(length, '9')));
      same_length(out, sign, std::to_string(first), std::to_string(last));
      first = last + 1;
    }
  }

  void wholes(std::vector<Sequence>& out, int64_t low, int64_t high) {
    if (low < 0) magnitudes(out, minus(), std::max<int64_t>(1, -high), -low);
    if (high >= 0) magnitudes(out, {}, std::max<int64_t>(0, low), high);
  }

  // Numbers with a point on one side of zero, of a magnitude from low to high; a bound that is `open` isn't one of
  // them.
  void fractions(std::vector<Sequence>& out, const Sequence& sign, int64_t low, int64_t high, bool low_open) {
    const auto with_point = [&](int64_t from, int64_t to, const Sequence& fraction) {
      std::vector<Sequence> heads;
      if (from <= to) magnitudes(heads, sign, from, to);
      for (auto& head : heads) {
        g_.text(head, ".");
        head.insert(head.end(), fraction.begin(), fraction.end());
        out.push_back(std::move(head));
      }
    };
    // n.fff lies in [n, n + 1), so n goes up to high − 1.
    if (low_open) {
      const uint32_t zero = g_.rule_of({{g_.range('0', '0')}});
      with_point(low, std::min(low, high - 1),
                 {ByteGrammar::repeat(zero, 0, kBoundedFraction / 2 - 1), g_.range('1', '9'),
                  digits(0, kBoundedFraction / 2)});
      ++low;
    }
    with_point(low, high - 1, {digits(1, kBoundedFraction)});
  }

  Sequence minus() {
    Sequence out;
    g_.text(out, "-");
    return out;
  }

 private:
  ByteGrammar& g_;
  uint32_t digit_;
};

}  // namespace

uint32_t number_rule(ByteGrammar& g) {
  Numbers numbers(g);
  const auto one = [&](char c) { return g.range(static_cast<uint8_t>(c), static_cast<uint8_t>(c)); };
  const auto sign = g.rule_of({{one('-')}});
  const auto whole = g.rule_of({{one('0')}, {g.range('1', '9'), numbers.digits(0, 14)}});
  const auto fraction = g.rule_of({{one('.'), numbers.digits(1, kFraction)}});
  ByteSet e, signs;
  e.set('e').set('E');
  signs.set('+').set('-');
  const auto exponent_sign = g.rule_of({{g.bytes(signs)}});
  const auto exponent = g.rule_of({{g.bytes(e), ByteGrammar::repeat(exponent_sign, 0, 1), numbers.digits(1, 2)}});
  return g.rule_of({{ByteGrammar::repeat(sign, 0, 1), ByteGrammar::call(whole), ByteGrammar::repeat(fraction, 0, 1),
                     ByteGrammar::repeat(exponent, 0, 1)}});
}

std::optional<uint32_t> bounded_number_rule(ByteGrammar& g, const NumberBounds& bounds) {
  const bool bounded = bounds.min || bounds.max || bounds.above || bounds.below;
  if (!bounded && !bounds.whole) return number_rule(g);
  const auto most = static_cast<double>(bounds.whole ? kMaxWhole : kMaxBounded);
  double low = -most, high = most;  // whole numbers within
  if (bounds.min) low = std::max(low, std::ceil(*bounds.min));
  if (bounds.above) low = std::max(low, std::floor(*bounds.above) + 1);
  if (bounds.max) high = std::min(high, std::floor(*bounds.max));
  if (bounds.below) high = std::min(high, std::ceil(*bounds.below) - 1);
  Numbers numbers(g);
  std::vector<Sequence> out;
  if (low <= high) numbers.wholes(out, static_cast<int64_t>(low), static_cast<int64_t>(high));
  if (!bounds.whole) {
    // Between whole bounds, an exclusive one counts as the border itself.
    double from = -most, to = most;
    if (bounds.min) from = std::max(from, *bounds.min);
    if (bounds.above) from = std::max(from, *bounds.above);
    if (bounds.max) to = std::min(to, *bounds.max);
    if (bounds.below) to = std::min(to, *bounds.below);
    const bool from_open = bounds.above && *bounds.above >= from, to_open = bounds.below && *bounds.below <= to;
    const auto a = static_cast<int64_t>(from), b = static_cast<int64_t>(to);
    if (b > 0 && from < to) numbers.fractions(out, {}, std::max<int64_t>(a, 0), b, a >= 0 && from_open);
    if (a < 0 && from < to) numbers.fractions(out, numbers.minus(), std::max<int64_t>(-b, 0), -a, b <= 0 && to_open);
  }
  if (out.empty()) return std::nullopt;
  return g.rule_of(std::move(out));
}

}  // namespace slm::model
