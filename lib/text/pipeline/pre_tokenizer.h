// The pre-tokenizer of tokenizer.json: cuts normalised text into the words that the model sees one by one.
//
// Requires: well-formed UTF-8.
// Errors: kUnsupportedModel for a kind or field this build doesn't do; kBadInput on a damaged description.
// Threads: const methods may be called at once.
// Source: tokenizers src/pre_tokenizers/.
#pragma once

#include <functional>
#include <vector>

#include "core/error.h"
#include "schema/json.h"
#include "text/pipeline/fields.h"
#include "text/pipeline/pattern.h"
#include "text/pipeline/pieces.h"

namespace slm::text::pipeline {

class PreTokenizer {
 public:
  // null: nothing is cut.
  static Result<PreTokenizer> read(const json::value& value);
  void apply(Pieces& pieces) const {
    const size_t bound = most_bytes(pieces.text.size());
    for (const auto& step : steps_)
      if (pieces.text.size() <= bound) step(pieces);
  }

 private:
  using Step = std::function<void(Pieces&)>;
  Status add(const json::value& value, int depth);
  Status add_byte_level(const Part& part);
  Status add_metaspace(const Part& part);
  void add_split(Pattern pattern, Behaviour behaviour, bool invert = false);
  std::vector<Step> steps_;
};

}  // namespace slm::text::pipeline
