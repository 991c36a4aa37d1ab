// The model of tokenizer.json: the ids of one word.
//
// Requires: well-formed UTF-8.
// Errors: kUnsupportedModel for a kind or field this build doesn't do; kBadInput on a damaged description.
// Threads: const methods may be called at once.
// Source: tokenizers src/models/.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "schema/json.h"
#include "text/pipeline/fields.h"
#include "text/pipeline/vocabulary.h"

namespace slm::text::pipeline {

class Model {
 public:
  virtual ~Model() = default;
  static Result<std::unique_ptr<Model>> read(const json::value& value);
  // Appends the ids of a word. What has no piece and no unknown piece gives none.
  virtual void encode(std::string_view word, std::vector<int32_t>& out) const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  Vocabulary vocabulary_;
};

Result<std::unique_ptr<Model>> read_bpe(const Part& part);
Result<std::unique_ptr<Model>> read_unigram(const Part& part);
Result<std::unique_ptr<Model>> read_word_piece(const Part& part);
Result<std::unique_ptr<Model>> read_word_level(const Part& part);

}  // namespace slm::text::pipeline
