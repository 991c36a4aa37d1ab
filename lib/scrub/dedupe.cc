#include "scrub/dedupe.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "core/hash.h"

namespace slm::scrub {

namespace {

constexpr size_t kShingle = 5;  // characters (bytes; UTF-8 letters count as several)
constexpr size_t kInputValues = 256, kAnswerValues = 128, kBandRows = 8;
constexpr size_t kMaxShingles = 4096;   // of a longer text about as many are drawn, the same ones for like texts
constexpr size_t kMaxCandidates = 256;  // of one band: the latest ones

uint64_t mix(uint64_t x) {  // splitmix64's finaliser
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

struct Family {
  std::array<uint32_t, kInputValues> factor{}, shift{};
};
constexpr Family make_family() {
  Family f;
  uint64_t state = 0x5c52'7562'2d64'6564ULL;
  for (size_t i = 0; i < kInputValues; ++i) {
    state += 0x9e3779b97f4a7c15ULL;
    uint64_t x = state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    x ^= x >> 31;
    f.factor[i] = static_cast<uint32_t>(x) | 1;
    f.shift[i] = static_cast<uint32_t>(x >> 32);
  }
  return f;
}
constexpr Family kFamily = make_family();

// Case and white space don't make a difference.
std::string folded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (space) {
      if (!out.empty() && out.back() != ' ') out.push_back(' ');
    } else {
      out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::vector<uint32_t> shingles(std::string_view text) {
  const std::string plain = folded(text);
  std::vector<uint32_t> out;
  if (plain.size() <= kShingle) {
    out.push_back(static_cast<uint32_t>(mix(fnv1a(plain))));
    return out;
  }
  out.reserve(plain.size());
  const size_t n = plain.size() - kShingle + 1;
  // A long text's shingles are thinned by their own hash; lengths within a factor of two are thinned alike.
  uint64_t mask = 0;
  while (n / (mask + 1) > kMaxShingles) mask = mask * 2 + 1;
  for (size_t i = 0; i < n; ++i) {
    const uint64_t h = mix(fnv1a(std::string_view(plain).substr(i, kShingle)));
    if (((h >> 40) & mask) == 0) out.push_back(static_cast<uint32_t>(h));
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

template <size_t N>
std::array<uint32_t, N> min_values(const std::vector<uint32_t>& set) {
  std::array<uint32_t, N> least;
  least.fill(~uint32_t{0});
  for (const uint32_t x : set)
    for (size_t i = 0; i < N; ++i) least[i] = std::min(least[i], x * kFamily.factor[i] + kFamily.shift[i]);
  return least;
}

template <size_t N, size_t W>
void pack(const std::array<uint32_t, N>& values, std::array<uint64_t, W>& out) {
  static_assert(N * 2 == W * 64);
  for (size_t i = 0; i < N; ++i) out[i / 32] |= (mix(values[i]) & 3) << (i % 32 * 2);
}

// Share of equal 2-bit values, less the quarter that are equal by chance.
template <size_t W>
double similarity(const std::array<uint64_t, W>& a, const std::array<uint64_t, W>& b) {
  int equal = 0;
  for (size_t i = 0; i < W; ++i) {
    const uint64_t differs = a[i] ^ b[i];
    equal += 32 - std::popcount((differs | differs >> 1) & 0x5555555555555555ULL);
  }
  const double share = static_cast<double>(equal) / (32.0 * W);
  return std::max(0.0, (share - 0.25) / 0.75);
}

}  // namespace

Sketch make_sketch(std::string_view site, std::string_view input, std::string_view answer) {
  Sketch out;
  const auto in = min_values<kInputValues>(shingles(input));
  pack(in, out.input);
  pack(min_values<kAnswerValues>(shingles(answer)), out.answer);
  const uint64_t where = mix(fnv1a(site));
  for (size_t b = 0; b < out.bands.size(); ++b) {
    uint64_t h = where + b;
    for (size_t r = 0; r < kBandRows; ++r) h = mix(h ^ in[b * kBandRows + r]);
    out.bands[b] = static_cast<uint32_t>(h);
  }
  return out;
}

double input_similarity(const Sketch& a, const Sketch& b) { return similarity(a.input, b.input); }
double answer_similarity(const Sketch& a, const Sketch& b) { return similarity(a.answer, b.answer); }

uint32_t Dedupe::latest(size_t band, uint32_t value) const {
  const Band& table = bands_[band];
  if (table.slots.empty()) return 0;
  const size_t mask = table.slots.size() - 1;
  for (size_t at = value & mask;; at = (at + 1) & mask) {
    const uint32_t one = table.slots[at];
    if (one == 0 || kept_[one - 1].sketch.bands[band] == value) return one;
  }
}

void Dedupe::insert(size_t band, uint32_t index) {
  Band& table = bands_[band];
  if ((table.n_used + 1) * 2 > table.slots.size()) {
    const std::vector<uint32_t> old =
        std::exchange(table.slots, std::vector<uint32_t>(std::max<size_t>(64, table.slots.size() * 2)));
    const size_t mask = table.slots.size() - 1;
    for (const uint32_t one : old) {
      if (one == 0) continue;
      size_t at = kept_[one - 1].sketch.bands[band] & mask;
      while (table.slots[at] != 0) at = (at + 1) & mask;
      table.slots[at] = one;
    }
  }
  const uint32_t value = kept_[index].sketch.bands[band];
  const size_t mask = table.slots.size() - 1;
  size_t at = value & mask;
  while (table.slots[at] != 0 && kept_[table.slots[at] - 1].sketch.bands[band] != value) at = (at + 1) & mask;
  table.older.push_back(table.slots[at]);
  if (table.slots[at] == 0) ++table.n_used;
  table.slots[at] = index + 1;
}

const Dedupe::Kept* Dedupe::find_near(const Item& item) const {
  uint32_t best = 0;
  double best_similarity = 0;
  for (size_t b = 0; b < bands_.size(); ++b) {
    uint32_t one = latest(b, item.sketch->bands[b]);
    for (size_t n = 0; one != 0 && n < kMaxCandidates; ++n, one = bands_[b].older[one - 1]) {
      const Kept& kept = kept_[one - 1];
      if (kept.session == item.session) continue;
      const double in = input_similarity(kept.sketch, *item.sketch);
      if (in < threshold_ || answer_similarity(kept.sketch, *item.sketch) < threshold_) continue;
      if (in > best_similarity || (in == best_similarity && one < best)) {
        best = one;
        best_similarity = in;
      }
    }
  }
  return best == 0 ? nullptr : &kept_[best - 1];
}

void Dedupe::count(uint32_t group, const uint32_t* repeated) {
  if (n_calls_.size() <= group) n_calls_.resize(group + 1);
  ++n_calls_[group];
  if (repeated != nullptr && *repeated != group) ++repeats_[uint64_t{group} << 32 | *repeated];
}

Dedupe::Verdict Dedupe::add(const Item& item) {
  const auto [same, is_new] = exact_.try_emplace(item.exact, item.group);
  if (!is_new) {
    count(item.group, &same->second);
    return Verdict::kExact;
  }
  if (const Kept* near = find_near(item)) {
    count(item.group, &near->group);
    return Verdict::kNear;
  }
  count(item.group, nullptr);
  kept_.push_back({*item.sketch, item.session, item.group});
  for (size_t b = 0; b < bands_.size(); ++b) insert(b, static_cast<uint32_t>(kept_.size() - 1));
  return Verdict::kNew;
}

Dedupe::Merged Dedupe::merge(const std::vector<bool>& fixed) const {
  Merged out;
  out.group.resize(fixed.size());
  std::iota(out.group.begin(), out.group.end(), 0);
  // What each group repeats most; of equals the one seen first.
  std::vector<std::pair<uint32_t, uint32_t>> most(fixed.size());  // (calls, other + 1)
  for (const auto& [pair, n] : repeats_) {
    const auto group = static_cast<uint32_t>(pair >> 32), other = static_cast<uint32_t>(pair);
    auto& m = most[group];
    if (n > m.first || (n == m.first && other + 1 < m.second)) m = {n, other + 1};
  }
  const auto root = [&](uint32_t g) {
    while (out.group[g] != g) g = out.group[g];
    return g;
  };
  for (uint32_t g = 0; g < fixed.size(); ++g) {
    if (most[g].second == 0 || most[g].first * 2 < n_calls_[g]) continue;
    uint32_t a = root(g), b = root(most[g].second - 1);
    if (a == b) continue;
    if (fixed[a] && fixed[b]) {
      out.late_links.emplace_back(a, b);
      continue;
    }
    // The fixed one stays; else the one seen first.
    if (fixed[b] || (!fixed[a] && b < a)) std::swap(a, b);
    out.group[b] = a;
  }
  for (uint32_t g = 0; g < fixed.size(); ++g) out.group[g] = root(g);
  return out;
}

}  // namespace slm::scrub
