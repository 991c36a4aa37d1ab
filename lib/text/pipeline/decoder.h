// The decoder of tokenizer.json: pieces back to text.
//
// Errors: kUnsupportedModel for a kind or field this build doesn't do; kBadInput on a damaged description.
// Threads: const methods may be called at once.
// Source: tokenizers src/decoders/.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "schema/json.h"
#include "text/pipeline/fields.h"

namespace slm::text::pipeline {

class Decoder {
 public:
  // null: pieces with a space between them.
  static Result<Decoder> read(const json::value& value);
  // follows: the pieces follow others, so what would be taken from the beginning of a text stays.
  std::string apply(std::vector<std::string> pieces, bool follows) const;
  // The bytes of one piece that others surround; part of a character where it is that.
  std::string bytes_of(const std::string& piece) const;

 private:
  using Pieces = std::vector<std::string>;
  using Step = std::function<void(Pieces&, bool follows)>;
  Status add(const json::value& value, int depth);
  Status add_strip(const Part& part);
  Status add_metaspace(const Part& part);
  Status add_word_piece(const Part& part);
  std::vector<Step> steps_;
  bool any_ = false, byte_level_ = false, byte_fallback_ = false;
};

}  // namespace slm::text::pipeline
