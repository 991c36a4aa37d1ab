// The added tokens of tokenizer.json: strings that are found in a text before the model sees it.
//
// Requires: well-formed UTF-8.
// Errors: kUnsupportedModel for a field this build doesn't do; kBadInput for a damaged list or ids the library wouldn't
//   give.
// Threads: const methods may be called at once.
// Source: tokenizers src/tokenizer/added_vocabulary.rs.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "schema/json.h"
#include "text/pipeline/normalizer.h"
#include "text/pipeline/trie.h"
#include "text/pipeline/vocabulary.h"

namespace slm::text::pipeline {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool single_word = false, lstrip = false, rstrip = false, normalized = false, special = false;
};

class AddedTokens {
 public:
  static Result<AddedTokens> read(const json::value& list, const Vocabulary& vocabulary, const Normalizer& normalizer);

  // A stretch of text, and the added token it is; -1: none.
  struct Found {
    size_t begin = 0, end = 0;
    int32_t id = -1;
  };
  // Cuts a text at the tokens that are looked for after normalisation, or before.
  std::vector<Found> find(std::string_view text, bool normalized) const;

  const AddedToken* of(int32_t id) const;
  int32_t id_of(std::string_view content) const;
  int32_t n_ids() const { return n_ids_; }

 private:
  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  std::unordered_map<std::string, int32_t> by_content_;
  Trie before_, after_;  // content → place in tokens_
  int32_t n_ids_ = 0;
};

}  // namespace slm::text::pipeline
