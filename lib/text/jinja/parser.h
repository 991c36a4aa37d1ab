// Tokens → tree, by the grammar of Jinja 3.1 without inheritance and imports.
//
// Errors: throws TemplateError (kUnsupportedModel) naming the line and what isn't understood. Nesting of blocks and
//   expressions is bounded by kMaxSyntaxDepth, so neither parsing nor rendering can exhaust the stack.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"

namespace slm::text::jinja {

constexpr int kMaxSyntaxDepth = 200;
constexpr size_t kMaxSourceBytes = size_t{1} << 20;

Block parse(std::string_view source);

}  // namespace slm::text::jinja
