// SentencePiece's compiled character map, run as the tokenizers library runs it: over grapheme clusters.
//
// Errors: kBadInput on a damaged map.
// Threads: const methods may be called at once.
// Source: spm_precompiled src/lib.rs and tokenizers src/normalizers/precompiled.rs; the double array is Darts-clone's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace slm::text::pipeline {

class Precompiled {
 public:
  // Base64 of: bytes of the double array (u32), the double array, the replacements, each ended by a zero byte.
  static Result<Precompiled> read(std::string_view base64);
  // Requires well-formed UTF-8.
  std::string apply(std::string_view text) const;

 private:
  // What the shortest key that `chunk` begins with becomes.
  std::optional<std::string_view> transform(std::string_view chunk) const;
  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace slm::text::pipeline
