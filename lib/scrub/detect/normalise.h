// The view of a text that detectors look at: digits, spaces, dashes and ASCII look-alikes in their plain form,
// invisible characters gone, so that "４１１１－…" or a card number with zero-width joiners is found; with the way
// back.
//
// Only what can hide inside a value is folded: full-width ASCII (U+FF01–FF5E), decimal digits of other scripts, Unicode
// spaces and dashes. Letters keep their form.
// Requires: valid UTF-8.
// Threads: pure.
// Source: Unicode 15, general categories Nd, Zs, Pd and Cf (the tables below list what is used).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/utf8.h"

namespace slm::scrub {

class Normalised {
 public:
  explicit Normalised(std::string_view original);
  std::string_view text() const { return folded_ ? std::string_view(text_) : original_; }
  // Byte offsets of text() → byte offsets of the original. An end is where the character before it ends, so invisible
  // characters at the edge of a value stay outside it.
  size_t begin_in_original(size_t offset) const;
  size_t end_in_original(size_t offset) const;

 private:
  std::string_view original_;
  bool folded_ = false;  // false: text is the original
  std::string text_;
  std::vector<uint32_t> begins_;  // of each byte of text_: where its character begins in the original
  std::vector<uint32_t> ends_;    // ... and ends
};

// Decodes the character at `at` and moves past it. Requires: valid UTF-8, at < text.size().
char32_t next_char(std::string_view text, size_t& at);

}  // namespace slm::scrub
