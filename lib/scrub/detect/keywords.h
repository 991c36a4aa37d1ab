// Many fixed strings looked for in one pass over a text (Aho-Corasick as a table of states by byte class).
//
// Requires: words are UTF-8.
// Threads: const after construction.
// Source: A. Aho, M. Corasick, "Efficient string matching", CACM 18(6), 1975.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace slm::scrub {

class Keywords {
 public:
  // ignore_case folds ASCII letters only. Empty words are left out (they'd be everywhere).
  Keywords(const std::vector<std::string>& words, bool ignore_case);
  Keywords() : Keywords({}, false) {}

  // Calls visit(word, end) for each occurrence, in order of its end.
  void each(std::string_view text, const std::function<void(uint32_t word, size_t end)>& visit) const;
  size_t size() const { return n_words_; }

 private:
  size_t n_words_ = 0;
  uint32_t n_classes_ = 1;
  std::array<uint8_t, 256> class_of_{};
  std::vector<uint32_t> next_;  // state · n_classes_ + class → state; its top bit: something ends there
  std::vector<std::vector<uint32_t>> ending_;  // by state: the words that end there
};

}  // namespace slm::scrub
