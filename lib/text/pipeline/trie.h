// Strings by their beginnings, byte by byte.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace slm::text::pipeline {

class Trie {
 public:
  // A key given again keeps its first value. Requires value >= 0.
  void add(std::string_view key, int32_t value) {
    uint32_t node = 0;
    for (const char c : key) {
      const auto [at, is_new] = children_.try_emplace(edge(node, c), static_cast<uint32_t>(values_.size()));
      if (is_new) values_.push_back(-1);
      if (node == 0) first_[static_cast<uint8_t>(c)] = true;
      node = at->second;
    }
    if (values_[node] < 0) values_[node] = value;
  }

  // Calls found(length, value) for every key that `text` begins with, shortest first.
  template <class F>
  void prefixes_of(std::string_view text, F&& found) const {
    if (text.empty() || !first_[static_cast<uint8_t>(text[0])]) return;
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto at = children_.find(edge(node, text[i]));
      if (at == children_.end()) return;
      node = at->second;
      if (values_[node] >= 0) found(i + 1, values_[node]);
    }
  }

 private:
  static uint64_t edge(uint32_t node, char c) { return uint64_t{node} << 8 | static_cast<uint8_t>(c); }
  std::unordered_map<uint64_t, uint32_t> children_;
  std::vector<int32_t> values_ = {-1};
  std::vector<bool> first_ = std::vector<bool>(256);
};

}  // namespace slm::text::pipeline
