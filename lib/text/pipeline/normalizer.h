// The normalizer of tokenizer.json: what is done to a text before it is cut into words.
//
// Requires: well-formed UTF-8.
// Errors: kUnsupportedModel for a kind or field this build doesn't do; kBadInput on a damaged description.
// Threads: const methods may be called at once.
// Source: tokenizers src/normalizers/.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "schema/json.h"
#include "text/pipeline/pieces.h"

namespace slm::text::pipeline {

// A stretch of text between added tokens.
struct Section {
  std::string text;
  bool at_start = false;  // begins where the whole text does
  bool follows = false;   // follows other text, so nothing is put before it
};

class Normalizer {
 public:
  // null: nothing is done.
  static Result<Normalizer> read(const json::value& value);
  void apply(Section& section) const {
    const size_t bound = most_bytes(section.text.size());
    for (const auto& step : steps_)
      if (section.text.size() <= bound) step(section);
  }
  bool empty() const { return steps_.empty(); }

 private:
  using Step = std::function<void(Section&)>;
  Status add(const json::value& value, int depth);
  std::vector<Step> steps_;
};

}  // namespace slm::text::pipeline
