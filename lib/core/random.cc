#include "core/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <numbers>

#include "core/bytes.h"
#include "core/hash.h"

namespace slm {
namespace {

class OsRandom final : public Random {
 public:
  void fill(std::span<uint8_t> out) override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t n = getrandom(out.data() + done, out.size() - done, 0);
      if (n < 0) {
        if (errno == EINTR) continue;
        std::abort();
      }
      done += static_cast<size_t>(n);
    }
  }
};

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : seed_(seed) {}
  void fill(std::span<uint8_t> out) override {
    for (auto& b : out) {
      if (used_ == block_.size()) {
        Bytes input;
        put_u64(input, seed_);
        put_u64(input, counter_++);
        block_ = sha256(input);
        used_ = 0;
      }
      b = block_[used_++];
    }
  }

 private:
  uint64_t seed_;
  uint64_t counter_ = 0;
  Digest block_{};
  size_t used_ = 32;
};

uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

}  // namespace

std::unique_ptr<Random> os_random() { return std::make_unique<OsRandom>(); }
std::unique_ptr<Random> seeded_random(uint64_t seed) { return std::make_unique<SeededRandom>(seed); }

Prng::Prng(uint64_t seed) {
  for (auto& word : state_.s) {
    uint64_t z = (seed += 0x9e3779b97f4a7c15ULL);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    word = z ^ z >> 31;
  }
}

uint64_t Prng::next() {
  auto& s = state_.s;
  const uint64_t result = rotl(s[1] * 5, 7) * 9;
  const uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotl(s[3], 45);
  return result;
}

uint64_t Prng::below(uint64_t bound) {
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  uint64_t x = next();
  while (x >= limit) x = next();
  return x % bound;
}

double Prng::uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

double Prng::normal() {
  const double u = 1.0 - uniform();  // (0, 1]
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * uniform());
}

}  // namespace slm
