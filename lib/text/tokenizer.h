// Text ↔ token ids of one model directory, from tokenizer.json or, where there is none, from tokenizer.model.
//
// Errors: kUnsupportedModel when the directory has no tokenizer this build reads, naming what isn't known; kBadInput on
// a
//   damaged file.
// Threads: const methods may be called at once.
// Source: tokenizer.json: huggingface/tokenizers 0.22. tokenizer.model: google/sentencepiece; special tokens from
//   tokenizer_config.json (`added_tokens_decoder`) and added_tokens.json; where prefixes go: transformers 4.57
//   `models/llama/tokenization_llama.py` (legacy=False).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace slm::text {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  static Result<std::unique_ptr<Tokenizer>> open(const std::filesystem::path& dir);

  // Special tokens (e.g. "<|im_end|>") in the text become their ids, longest match first; the rest is encoded by the
  // model. No BOS is added, whatever a post-processor says: the chat template writes it. Ill-formed UTF-8 in a text for
  // tokenizer.json counts as U+FFFD.
  // A prefix (a visible space) of tokenizer.model goes before the text only if it doesn't begin with a special token,
  // and after none (`legacy: true` in tokenizer_config.json: before every section, as SentencePiece does). One of
  // tokenizer.json goes where the library puts it: a Prepend, or a Metaspace or ByteLevel that always adds one, also
  // writes it after every special token.
  virtual std::vector<int32_t> encode(std::string_view text) const = 0;
  // The same for text that follows other text: without a prefix at its start.
  virtual std::vector<int32_t> encode_rest(std::string_view text) const = 0;
  // The inverse, for tokenizer.json by its decoder; special tokens are written out only if keep_special. Always
  // well-formed UTF-8: stray bytes become U+FFFD.
  virtual std::string decode(std::span<const int32_t> ids, bool keep_special = false) const = 0;
  // The same for ids that follow others (an answer after its prompt): a leading space is text, not the dummy prefix.
  virtual std::string decode_rest(std::span<const int32_t> ids, bool keep_special = false) const = 0;
  // The bytes that an id adds to a text after others, perhaps only part of a character; "" for a special token or an id
  // without text. For tokenizer.json whose decoder looks at neighbours (BPEDecoder, none) as if others followed.
  virtual std::string token_bytes(int32_t id) const = 0;
  virtual int32_t n_ids() const = 0;
  // The id of a special token or piece; -1 if there is none.
  virtual int32_t id_of(std::string_view piece) const = 0;
  virtual std::string piece_of(int32_t id) const = 0;
  // Marks of the chat format and control tokens; not words that were added to the vocabulary.
  virtual bool is_special(int32_t id) const = 0;
};

}  // namespace slm::text
