// A model directory's tokenizer in llama.cpp's terms: byte-level BPE ("gpt2") with its pre-tokenizer by name, or
// SentencePiece's BPE with byte fallback ("llama") by scores.
//
// llama.cpp normalises nothing: with a tokenizer that composes first (NFC: Qwen), text that isn't composed already gets
// other ids there.
// Errors: kUnsupportedModel for a tokenizer that llama.cpp would read otherwise, naming what; those of Tokenizer::open.
// Source: llama.cpp `src/llama-vocab.cpp` for what it does with each; `conversion/base.py` for the keys.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"

namespace slm::text {

enum class GgufTokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

// Where a visible space goes before text that doesn't begin with one.
enum class SpacePrefix {
  kNone,
  kFirst,  // before a text that doesn't begin with a special token: llama.cpp can't do that alone
  kEverySection,
};

struct GgufVocabulary {
  std::string model;                 // tokenizer.ggml.model: "gpt2", "llama"
  std::string pre;                   // tokenizer.ggml.pre
  std::vector<std::string> tokens;   // n_ids of them; ids without a piece are "[PAD<id>]", unused
  std::vector<GgufTokenType> types;  // of each
  std::vector<float> scores;         // of each; "llama" only
  std::vector<std::string> merges;   // "a b"; "gpt2" only
  SpacePrefix prefix = SpacePrefix::kNone;
  // Special tokens swallow the white space after them, as Phi-3's do: llama.cpp does it where general.name says phi-3.
  bool as_phi3 = false;
};
// n_ids: of the network, which may have more than the tokenizer. Errors also: kBadInput where it has fewer.
Result<GgufVocabulary> gguf_vocabulary(const std::filesystem::path& dir, int64_t n_ids);

}  // namespace slm::text
