// The built-in detectors: one row each, most certain first. Where two matches overlap, the earlier row wins.
//
// Source: formats as their issuers document them: RFC 5322 and RFC 6531 (mail), E.164 and the North American Numbering
//   Plan (telephone), ISO/IEC 7812 (cards), ISO 13616 (IBAN), RFC 3986 §3.2.1 (user information), RFC 7468 (PEM),
//   RFC 7519 (JWT), the key prefixes that AWS, Google, Azure, GitHub, GitLab, Slack, Stripe, OpenAI, Anthropic, Hugging
//   Face, Groq, Replicate, Perplexity, xAI and NVIDIA publish.
#pragma once

#include <cstdint>
#include <span>

#include "scrub/detect/types.h"
#include "scrub/detect/validate.h"

namespace slm::scrub {

enum class Run : uint8_t {
  kSearch,     // anywhere, if one of the words (if any) occurs in the text
  kAtWord,     // where one of the words begins
  kAfterWord,  // behind one of the words, which isn't preceded by a letter or digit
  kAfterText,  // behind one of the words, whatever precedes it
};

// What a text must hold for a kSearch row to be worth running; counted in one pass over it.
enum class Need : uint8_t {
  kNothing,
  kDigits,   // n digits in one stretch without letters
  kDots,     // n full stops between digits
  kColons,   // n colons between hexadecimal digits or colons
  kCountry,  // n times two letters, then two digits, where a word begins
};

struct DetectorRow {
  BuiltinType type;
  Run run;
  const char* words;    // separated by '|'; ASCII case is ignored; after a word '_' also stands for ' ', '-' or none
  const char* pattern;  // group 1 is the value, if there is one
  Validator check = nullptr;  // nullptr: the pattern says all
  bool by_context = false;    // the value alone wouldn't be found
  uint8_t min_tokens = 1;     // person: words that a name needs here
  Need need = Need::kNothing;
  uint8_t n_needed = 0;
  bool courtesy = false;  // person: a greeting or a signature, which a desk's own name may follow too
};

std::span<const DetectorRow> builtin_detectors();

}  // namespace slm::scrub
