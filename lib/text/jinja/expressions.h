// Tokens of a template, and the expressions in it. The blocks around them: parser.cc.
//
// Errors: as in parser.h.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"
#include "text/jinja/parser.h"

namespace slm::text::jinja {

using Words = std::initializer_list<std::string_view>;

// The tokens, one after the other, and how deep in syntax we are.
class TokenReader {
 protected:
  explicit TokenReader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& now() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is_op(std::string_view text) const { return now().kind == TokenKind::kOperator && now().text == text; }
  bool is_word(std::string_view text) const { return now().kind == TokenKind::kName && now().text == text; }
  bool is_word(Words words) const {
    return std::any_of(words.begin(), words.end(), [&](std::string_view w) { return is_word(w); });
  }
  bool skip_op(std::string_view text) {
    if (!is_op(text)) return false;
    take();
    return true;
  }
  bool skip_word(std::string_view text) {
    if (!is_word(text)) return false;
    take();
    return true;
  }
  [[noreturn]] void fail(const std::string& what) const { unsupported(fmt::format("line {}: {}", now().line, what)); }
  std::string here() const {
    switch (now().kind) {
      case TokenKind::kEnd:
        return "the end of the template";
      case TokenKind::kOutputEnd:
        return "\"}}\"";
      case TokenKind::kBlockEnd:
        return "\"%}\"";
      case TokenKind::kString:
        return "a string";
      case TokenKind::kText:
        return "text";
      default:
        return fmt::format("\"{}\"", now().text);
    }
  }
  void want_op(std::string_view text) {
    if (!skip_op(text)) fail(fmt::format("\"{}\" expected, found {}", text, here()));
  }
  void want_word(std::string_view text) {
    if (!skip_word(text)) fail(fmt::format("\"{}\" expected, found {}", text, here()));
  }
  void want(TokenKind kind, std::string_view what) {
    if (now().kind != kind) fail(fmt::format("{} expected, found {}", what, here()));
    take();
  }
  std::string want_name() {
    if (now().kind != TokenKind::kName) fail(fmt::format("a name expected, found {}", here()));
    return take().text;
  }

  // Counts nesting while it lives.
  class Nested {
   public:
    explicit Nested(TokenReader& reader) : reader_(reader) {
      if (++reader_.depth_ > kMaxSyntaxDepth) reader_.fail(fmt::format("nested deeper than {}", kMaxSyntaxDepth));
    }
    ~Nested() { --reader_.depth_; }
    Nested(const Nested&) = delete;

   private:
    TokenReader& reader_;
  };

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

class ExpressionParser : protected TokenReader {
 protected:
  using TokenReader::TokenReader;

  // Which of the names that only macros know their body uses.
  struct MacroUse {
    bool varargs = false, kwargs = false, caller = false;
  };

  std::unique_ptr<Expr> make(ExprKind kind, std::vector<ExprPtr> parts = {}) const;
  // A chain like a.b.c or a + b + c nests without the parser's own recursion; rendering recurses along it.
  void measure(Expr& e) const;
  static std::vector<ExprPtr> pack(ExprPtr a, ExprPtr b = nullptr);
  // An expression, or several with commas between them (a tuple). `ends`: words that end it.
  ExprPtr tuple(Words ends, bool with_if, bool in_parentheses = false);
  ExprPtr expression();
  ExprPtr or_expression();
  ExprPtr and_expression();
  ExprPtr not_expression();
  ExprPtr comparison();
  ExprPtr binary(std::string op, ExprPtr left, ExprPtr right) const;
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filters);
  ExprPtr constant(Value value) const;
  ExprPtr primary();
  ExprPtr name();
  std::vector<ExprPtr> items(std::string_view end, bool pairs);
  ExprPtr postfix(ExprPtr e);
  ExprPtr subscript(ExprPtr object);
  void arguments(Expr& e);
  ExprPtr call(ExprPtr callee);
  ExprPtr filters_and_tests(ExprPtr e);
  // |name(…)|name(…)… applied to e, which is null for a block's body. `inline_start`: the first "|" is left out.
  ExprPtr filters(ExprPtr e, bool inline_start);
  ExprPtr test(ExprPtr e);

  MacroUse* macro_ = nullptr;  // the macro we are in
};

}  // namespace slm::text::jinja
