// Template text → tokens, with trim_blocks and lstrip_blocks on, `-` and `+` whitespace control, raw blocks and
// comments.
//
// Errors: throws TemplateError (kUnsupportedModel) for text that no Jinja lexer takes.
// Source: Jinja 3.1 documentation, "Whitespace Control", and the behaviour of jinja2 3.1.6
// (scripts/interop/templates.py).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace slm::text::jinja {

enum class TokenKind {
  kText,
  kOutputBegin,  // {{
  kOutputEnd,    // }}
  kBlockBegin,   // {%
  kBlockEnd,     // %}
  kName,
  kString,
  kNumber,
  kOperator,  // text says which
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;  // of kString: without escapes
  Value number;      // of kNumber
  int line = 1;
};

std::vector<Token> tokenize(std::string_view source);

}  // namespace slm::text::jinja
