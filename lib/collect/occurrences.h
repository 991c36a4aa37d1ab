// Counts how often a content has been seen in one input, in little memory: about 12 to 25 bytes for each distinct
// content, about 60 more for each that repeats.
//
// Two contents whose 64-bit keys are equal count as one. That does no harm: their tags differ by content, and the count
// is the same whenever the same file is read.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace slm::collect {

class Occurrences {
 public:
  // How often `key` was given before.
  uint64_t count(uint64_t key) {
    if (key == 0) key = 1;  // 0 marks a free slot
    if ((n_ + 1) * 10 > slots_.size() * 7) grow();
    uint64_t& slot = find(key);
    if (slot == key) return ++repeats_[key];
    slot = key;
    ++n_;
    return 0;
  }
  void clear() {
    slots_ = {};
    repeats_ = {};
    n_ = 0;
  }

 private:
  // The slot that holds the key, or the free one where it belongs. Keys are parts of a keyed hash: their low bits are
  // as good as any.
  uint64_t& find(uint64_t key) {
    const size_t mask = slots_.size() - 1;
    size_t i = key & mask;
    while (slots_[i] != 0 && slots_[i] != key) i = (i + 1) & mask;
    return slots_[i];
  }
  void grow() {
    std::vector<uint64_t> old(slots_.empty() ? 1024 : slots_.size() * 2);
    old.swap(slots_);
    for (const uint64_t key : old)
      if (key != 0) find(key) = key;
  }

  std::vector<uint64_t> slots_;  // a power of two of them
  std::unordered_map<uint64_t, uint64_t> repeats_;
  size_t n_ = 0;
};

}  // namespace slm::collect
