#include "text/jinja/parser.h"

#include <fmt/format.h>

#include "text/jinja/expressions.h"

namespace slm::text::jinja {
namespace {

class Parser : private ExpressionParser {
 public:
  explicit Parser(std::vector<Token> tokens) : ExpressionParser(std::move(tokens)) {}

  Block run() {
    Block body = block({});
    if (now().kind != TokenKind::kEnd) fail("unexpected text after the end");
    return body;
  }

 private:
  // Statements up to a block that begins with one of `ends`, whose name is left as the present token.
  Block block(Words ends) {
    Nested nested(*this);
    Block body;
    while (now().kind != TokenKind::kEnd) {
      if (now().kind == TokenKind::kText) {
        auto s = make(StatementKind::kText);
        s->text = take().text;
        body.push_back(std::move(s));
      } else if (now().kind == TokenKind::kOutputBegin) {
        auto s = make(StatementKind::kOutput);
        take();
        s->expr = tuple({}, true);
        want(TokenKind::kOutputEnd, "\"}}\"");
        body.push_back(std::move(s));
      } else {
        want(TokenKind::kBlockBegin, "a block");
        if (is_word(ends)) return body;
        statement(body);
        want(TokenKind::kBlockEnd, "\"%}\"");
      }
    }
    if (ends.size() > 0) fail(fmt::format("\"{}\" is missing", *std::prev(ends.end())));
    return body;
  }

  // The body of a block statement: skips "%}", parses to one of `ends`.
  Block body_until(Words ends) {
    skip_op(":");
    want(TokenKind::kBlockEnd, "\"%}\"");
    return block(ends);
  }

  using ExpressionParser::make;
  std::unique_ptr<Statement> make(StatementKind kind) const {
    auto s = std::make_unique<Statement>();
    s->kind = kind;
    s->line = now().line;
    return s;
  }

  void statement(Block& body) {
    if (now().kind != TokenKind::kName) fail(fmt::format("the name of a block expected, found {}", here()));
    const std::string word = now().text;
    if (word == "if") return body.push_back(if_statement());
    if (word == "for") return body.push_back(for_statement());
    if (word == "set") return body.push_back(set_statement());
    if (word == "macro") return body.push_back(macro_statement());
    if (word == "call") return body.push_back(call_statement());
    if (word == "print") return print_statement(body);
    auto s = make(StatementKind::kText);
    if (word == "filter") {
      take();
      s->kind = StatementKind::kFilterBlock;
      s->expr = filters(nullptr, true);
      s->body = inner_body({"endfilter"});
      take();
    } else if (word == "with") {
      take();
      s->kind = StatementKind::kWith;
      while (now().kind != TokenKind::kBlockEnd && !is_op(":")) {
        if (!s->assignments.empty()) want_op(",");
        Target target = assign_target(false);
        want_op("=");
        s->assignments.emplace_back(std::move(target), expression());
      }
      s->body = body_until({"endwith"});
      take();
    } else if (word == "generation") {
      take();
      s->kind = StatementKind::kGeneration;
      s->body = inner_body({"endgeneration"});
      take();
    } else if (word == "break" || word == "continue") {
      if (loops_ == 0) fail(fmt::format("\"{}\" outside of a loop", word));
      take();
      s->kind = word == "break" ? StatementKind::kBreak : StatementKind::kContinue;
    } else {
      fail(fmt::format("the block \"{}\" isn't known here", word));
    }
    body.push_back(std::move(s));
  }

  std::unique_ptr<Statement> if_statement() {
    auto s = make(StatementKind::kIf);
    take();
    while (true) {
      Branch branch;
      branch.condition = tuple({}, false);
      branch.body = body_until({"elif", "else", "endif"});
      s->branches.push_back(std::move(branch));
      const std::string word = take().text;
      if (word == "elif") continue;
      if (word == "else") {
        s->branches.push_back(Branch{nullptr, body_until({"endif"})});
        take();
      }
      return s;
    }
  }

  std::unique_ptr<Statement> for_statement() {
    auto s = make(StatementKind::kFor);
    take();
    s->target = assign_target(false);
    want_word("in");
    s->expr = tuple({"recursive"}, false);
    if (skip_word("if")) s->condition = expression();
    s->recursive = skip_word("recursive");
    ++loops_;
    s->body = body_until({"endfor", "else"});
    --loops_;
    if (take().text == "else") {
      s->otherwise = body_until({"endfor"});
      take();
    }
    return s;
  }

  std::unique_ptr<Statement> set_statement() {
    auto s = make(StatementKind::kSet);
    take();
    s->target = assign_target(true);
    if (skip_op("=")) {
      s->expr = tuple({}, true);
      return s;
    }
    s->kind = StatementKind::kSetBlock;
    if (s->target.unpack) fail("a block can't be assigned to several names");
    s->expr = filters(nullptr, false);
    s->body = inner_body({"endset"});
    take();
    return s;
  }

  // A body that is rendered apart: a break in it can't leave a loop around it.
  Block inner_body(Words ends) {
    const int loops = std::exchange(loops_, 0);
    Block body = body_until(ends);
    loops_ = loops;
    return body;
  }

  void signature(Statement& s) {
    want_op("(");
    bool had_default = false;
    while (!is_op(")")) {
      if (!s.parameters.empty()) want_op(",");
      Parameter parameter;
      parameter.name = want_name();
      if (skip_op("=")) {
        parameter.otherwise = expression();
        had_default = true;
      } else if (had_default) {
        fail("a parameter without default follows one with default");
      }
      s.parameters.push_back(std::move(parameter));
    }
    take();
  }

  void macro_body(Statement& s, Words ends) {
    MacroUse use;
    MacroUse* outer = std::exchange(macro_, &use);
    s.body = inner_body(ends);
    macro_ = outer;
    s.uses_varargs = use.varargs;
    s.uses_kwargs = use.kwargs;
    s.uses_caller = use.caller;
    take();
  }

  std::unique_ptr<Statement> macro_statement() {
    auto s = make(StatementKind::kMacro);
    take();
    s->text = want_name();
    signature(*s);
    macro_body(*s, {"endmacro"});
    return s;
  }

  std::unique_ptr<Statement> call_statement() {
    auto s = make(StatementKind::kCallBlock);
    take();
    if (is_op("(")) signature(*s);
    s->expr = expression();
    if (s->expr->kind != ExprKind::kCall) fail("\"call\" needs a call");
    macro_body(*s, {"endcall"});
    return s;
  }

  void print_statement(Block& body) {
    take();
    bool first = true;
    while (now().kind != TokenKind::kBlockEnd) {
      if (!std::exchange(first, false)) want_op(",");
      auto s = make(StatementKind::kOutput);
      s->expr = expression();
      body.push_back(std::move(s));
    }
  }

  std::string target_name() {
    const std::string name = want_name();
    for (const std::string_view constant : {"true", "false", "none", "True", "False", "None"})
      if (name == constant) fail(fmt::format("can't assign to \"{}\"", name));
    return name;
  }

  Target assign_target(bool with_namespace) {
    Target target;
    const bool parentheses = skip_op("(");
    while (true) {
      target.names.push_back(target_name());
      if (with_namespace && target.names.size() == 1 && is_op(".")) {
        take();
        target.attribute = want_name();
        break;
      }
      if (!skip_op(",")) break;
      target.unpack = true;
      if (is_op(")") || is_word("in") || is_op("=")) break;
    }
    if (parentheses) want_op(")");
    return target;
  }

  int loops_ = 0;  // around us that break and continue may leave
};

}  // namespace

Block parse(std::string_view source) {
  if (source.size() > kMaxSourceBytes)
    unsupported(fmt::format("the template has {} bytes, the limit is {}", source.size(), kMaxSourceBytes));
  return Parser(tokenize(source)).run();
}

}  // namespace slm::text::jinja
