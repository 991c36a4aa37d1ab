// What a text is cut at: a regular expression, a literal string or a kind of character; and the ways of cutting.
//
// Requires: well-formed UTF-8.
// Errors: kUnsupportedModel for an expression that can't be run as Oniguruma runs it, naming it.
// Threads: const methods may be called at once.
// Source: tokenizers src/tokenizer/{pattern,normalizer}.rs; Oniguruma doc/RE (Ruby syntax); pcre2pattern(3).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "text/pipeline/fields.h"

namespace slm::text::pipeline {

// A stretch of text; `matched` says whether the pattern did, or lies between matches.
struct Stretch {
  size_t begin = 0, end = 0;
  bool matched = false;
};

enum class Behaviour { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

class Pattern {
 public:
  using CharTest = bool (*)(char32_t);

  // An expression in Oniguruma's Ruby syntax. Matching is bounded; past the bound the rest counts as unmatched.
  static Result<Pattern> regex(std::string_view expression);
  static Pattern literal(std::string text);  // requires: not empty
  static Pattern characters(CharTest test);  // each such character is a match of its own
  // {"String": …} or {"Regex": …}.
  static Result<Pattern> read(const Part& part, std::string_view key);

  // The "pattern" of a Replace. One that can match nothing is refused: there the library's own text is off by one.
  static Result<Pattern> read_replaced(const Part& part);

  // Appends stretches that cover the text from end to end. None for an empty text.
  void find(std::string_view text, std::vector<Stretch>& out) const;
  // The text with every match replaced.
  std::string replace(std::string_view text, std::string_view content) const;

 private:
  bool matches_empty() const;
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
  std::string literal_;
  CharTest test_ = nullptr;
};

// Rearranges what Pattern::find gave; what is left is kept, in order, empty stretches left out.
void apply_behaviour(Behaviour behaviour, bool invert, std::vector<Stretch>& stretches);
Result<Behaviour> read_behaviour(const Part& part, std::string_view key, Behaviour otherwise);

// Oniguruma's expression in PCRE2's syntax. Errors: kUnsupportedModel.
Result<std::string> translate_regex(std::string_view expression);

}  // namespace slm::text::pipeline
