#include "scrub/detect/keywords.h"

#include <deque>

namespace slm::scrub {

namespace {
constexpr uint32_t kEnds = uint32_t{1} << 31;
unsigned char fold(unsigned char c, bool ignore_case) {
  return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<unsigned char>(c + 32) : c;
}
}  // namespace

Keywords::Keywords(const std::vector<std::string>& words, bool ignore_case) : n_words_(words.size()) {
  // Class 0: bytes that are in no word. UTF-8 uses fewer than 255 byte values, so one class each for the others fits.
  std::array<bool, 256> used{};
  for (const std::string& word : words)
    for (const unsigned char c : word) used[fold(c, ignore_case)] = true;
  for (int c = 0; c < 256; ++c)
    if (used[c] && fold(static_cast<unsigned char>(c), ignore_case) == c)
      class_of_[c] = static_cast<uint8_t>(n_classes_++);
  for (int c = 0; c < 256; ++c) class_of_[c] = class_of_[fold(static_cast<unsigned char>(c), ignore_case)];

  next_.assign(n_classes_, 0);
  ending_.resize(1);
  std::vector<uint32_t> suffix(1, 0);
  for (uint32_t w = 0; w < words.size(); ++w) {
    if (words[w].empty()) continue;
    uint32_t state = 0;
    for (const unsigned char c : words[w]) {
      const size_t slot = size_t{state} * n_classes_ + class_of_[c];
      if (next_[slot] == 0) {
        next_[slot] = static_cast<uint32_t>(ending_.size());
        next_.resize(next_.size() + n_classes_, 0);
        ending_.emplace_back();
        suffix.push_back(0);
      }
      state = next_[slot];
    }
    ending_[state].push_back(w);
  }
  // Breadth first: a missing edge goes where the state's longest proper suffix goes.
  std::deque<uint32_t> queue;
  for (uint32_t c = 0; c < n_classes_; ++c)
    if (next_[c] != 0) queue.push_back(next_[c]);
  while (!queue.empty()) {
    const uint32_t state = queue.front();
    queue.pop_front();
    const auto& inherited = ending_[suffix[state]];
    ending_[state].insert(ending_[state].end(), inherited.begin(), inherited.end());
    for (uint32_t c = 0; c < n_classes_; ++c) {
      uint32_t& to = next_[size_t{state} * n_classes_ + c];
      const uint32_t otherwise = next_[size_t{suffix[state]} * n_classes_ + c];
      if (to == 0) {
        to = otherwise;
      } else {
        suffix[to] = otherwise;
        queue.push_back(to);
      }
    }
  }
  for (uint32_t& to : next_)
    if (!ending_[to].empty()) to |= kEnds;
}

void Keywords::each(std::string_view text, const std::function<void(uint32_t, size_t)>& visit) const {
  if (next_.size() <= n_classes_) return;
  uint32_t state = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const uint32_t to = next_[size_t{state} * n_classes_ + class_of_[static_cast<unsigned char>(text[i])]];
    state = to & ~kEnds;
    if ((to & kEnds) != 0)
      for (const uint32_t word : ending_[state]) visit(word, i + 1);
  }
}

}  // namespace slm::scrub
