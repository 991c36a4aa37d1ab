// A text cut into pieces on its way to the model, and the bytes ↔ characters map of byte-level vocabularies.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace slm::text::pipeline {

struct Piece {
  size_t begin = 0, end = 0;  // in Pieces::text
  int32_t id = -1;            // of an added token, which is left as it is
  bool at_start = false;      // begins where the whole text does
  bool follows = false;       // begins where a text that follows other text does: takes no prefix
};

struct Pieces {
  std::string text;
  std::vector<Piece> list;
  std::string_view view(const Piece& p) const { return std::string_view(text).substr(p.begin, p.end - p.begin); }
};

// No step runs on a text that steps before it have blown up beyond this: a hostile file could double it at every step.
inline size_t most_bytes(size_t n_bytes) { return 64 * n_bytes + (size_t{1} << 16); }

// GPT-2's map: printable bytes of Latin-1 stand for themselves, the others for U+0100 and on. As UTF-8.
const std::array<std::string, 256>& byte_characters();
// The byte that a character of the map stands for; -1 for any other.
int byte_of_character(char32_t c);

}  // namespace slm::text::pipeline
