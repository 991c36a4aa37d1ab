// Randomness, passed in: the operating system's in production, a seeded one in tests and under --demo-seed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace slm {

// Source of bytes for ids and keys. Threads: one at a time.
class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<uint8_t> out) = 0;
};

// getrandom(2). Aborts if the kernel gives none: nothing safe can go on without.
std::unique_ptr<Random> os_random();
// SHA-256 in counter mode over the seed: reproducible, insecure, for tests and demonstrations only.
std::unique_ptr<Random> seeded_random(uint64_t seed);

// Small fast generator for sampling, shuffles and initialisation: xoshiro256** seeded through splitmix64
// (Blackman, Vigna: prng.di.unimi.it). Same sequence on every platform. Not for keys.
class Prng {
 public:
  explicit Prng(uint64_t seed);
  uint64_t next();
  // Uniform in [0, bound), unbiased. Requires: bound > 0.
  uint64_t below(uint64_t bound);
  // Uniform in [0, 1), 53 bits.
  double uniform();
  // Standard normal, Box-Muller.
  double normal();
  // Fisher-Yates.
  template <class T>
  void shuffle(std::span<T> items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }
  // Whole state, for checkpoints.
  struct State {
    uint64_t s[4];
  };
  State state() const { return state_; }
  void restore(const State& state) { state_ = state; }

 private:
  State state_{};
};

}  // namespace slm
