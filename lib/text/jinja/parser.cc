#include "text/jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "text/jinja/builtins.h"
#include "text/jinja/lexer.h"

namespace slm::text::jinja {
namespace {

using Words = std::initializer_list<std::string_view>;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Block run() {
    Block body = block({});
    if (now().kind != TokenKind::kEnd) fail("unexpected text after the end");
    return body;
  }

 private:
  // Which of the names that only macros know their body uses.
  struct MacroUse {
    bool varargs = false, kwargs = false, caller = false;
  };

  // ---- tokens
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
    explicit Nested(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxSyntaxDepth) parser_.fail(fmt::format("nested deeper than {}", kMaxSyntaxDepth));
    }
    ~Nested() { --parser_.depth_; }
    Nested(const Nested&) = delete;

   private:
    Parser& parser_;
  };

  // ---- statements
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

  // ---- expressions
  std::unique_ptr<Expr> make(ExprKind kind, std::vector<ExprPtr> parts = {}) const {
    auto e = std::make_unique<Expr>();
    e->kind = kind;
    e->line = now().line;
    e->parts = std::move(parts);
    measure(*e);
    return e;
  }
  // A chain like a.b.c or a + b + c nests without the parser's own recursion; rendering recurses along it.
  void measure(Expr& e) const {
    const auto count = [&](const ExprPtr& part) {
      if (part) e.depth = std::max(e.depth, part->depth + 1);
    };
    for (const auto& part : e.parts) count(part);
    for (const auto& arg : e.args) count(arg);
    for (const auto& [name, arg] : e.named) count(arg);
    if (e.depth > kMaxSyntaxDepth) fail(fmt::format("an expression nested deeper than {}", kMaxSyntaxDepth));
  }
  static std::vector<ExprPtr> pack(ExprPtr a, ExprPtr b = nullptr) {
    std::vector<ExprPtr> out;
    out.push_back(std::move(a));
    if (b) out.push_back(std::move(b));
    return out;
  }

  // An expression, or several with commas between them (a tuple). `ends`: words that end it.
  ExprPtr tuple(Words ends, bool with_if, bool in_parentheses = false) {
    std::vector<ExprPtr> items;
    bool is_tuple = false;
    while (true) {
      if (!items.empty()) want_op(",");
      if (now().kind == TokenKind::kOutputEnd || now().kind == TokenKind::kBlockEnd || is_op(")") || is_word(ends))
        break;
      items.push_back(with_if ? expression() : or_expression());
      if (!is_op(",")) break;
      is_tuple = true;
    }
    if (!is_tuple && !items.empty()) return std::move(items.front());
    if (!is_tuple && !in_parentheses) fail(fmt::format("an expression expected, found {}", here()));
    return make(ExprKind::kTuple, std::move(items));
  }

  ExprPtr expression() {
    Nested nested(*this);
    ExprPtr left = or_expression();
    while (is_word("if")) {
      auto e = make(ExprKind::kIf);
      take();
      e->parts.push_back(or_expression());
      e->parts.push_back(std::move(left));
      e->parts.push_back(skip_word("else") ? expression() : nullptr);
      measure(*e);
      left = std::move(e);
    }
    return left;
  }

  ExprPtr or_expression() {
    ExprPtr left = and_expression();
    while (skip_word("or")) {
      ExprPtr right = and_expression();
      left = make(ExprKind::kOr, pack(std::move(left), std::move(right)));
    }
    return left;
  }

  ExprPtr and_expression() {
    ExprPtr left = not_expression();
    while (skip_word("and")) {
      ExprPtr right = not_expression();
      left = make(ExprKind::kAnd, pack(std::move(left), std::move(right)));
    }
    return left;
  }

  ExprPtr not_expression() {
    if (!is_word("not")) return comparison();
    Nested nested(*this);
    take();
    return make(ExprKind::kNot, pack(not_expression()));
  }

  ExprPtr comparison() {
    ExprPtr left = sum();
    std::vector<ExprPtr> parts;
    std::vector<std::string> ops;
    while (true) {
      std::string op;
      for (const std::string_view known : {"==", "!=", "<", "<=", ">", ">="})
        if (is_op(known)) op = known;
      if (!op.empty()) {
        take();
      } else if (is_word("in")) {
        take();
        op = "in";
      } else if (is_word("not") && next().kind == TokenKind::kName && next().text == "in") {
        take();
        take();
        op = "not in";
      } else {
        break;
      }
      parts.push_back(sum());
      ops.push_back(std::move(op));
    }
    if (ops.empty()) return left;
    parts.insert(parts.begin(), std::move(left));
    auto e = make(ExprKind::kCompare, std::move(parts));
    e->ops = std::move(ops);
    return e;
  }

  ExprPtr binary(std::string op, ExprPtr left, ExprPtr right) const {
    auto e = make(ExprKind::kBinary, pack(std::move(left), std::move(right)));
    e->name = std::move(op);
    return e;
  }

  ExprPtr sum() {
    ExprPtr left = concatenation();
    while (is_op("+") || is_op("-")) {
      std::string op = take().text;
      ExprPtr right = concatenation();
      left = binary(std::move(op), std::move(left), std::move(right));
    }
    return left;
  }

  ExprPtr concatenation() {
    std::vector<ExprPtr> parts;
    parts.push_back(product());
    while (skip_op("~")) parts.push_back(product());
    if (parts.size() == 1) return std::move(parts.front());
    return make(ExprKind::kConcat, std::move(parts));
  }

  ExprPtr product() {
    ExprPtr left = power();
    while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
      std::string op = take().text;
      ExprPtr right = power();
      left = binary(std::move(op), std::move(left), std::move(right));
    }
    return left;
  }

  ExprPtr power() {
    ExprPtr left = unary(true);
    while (skip_op("**")) {
      ExprPtr right = unary(true);
      left = binary("**", std::move(left), std::move(right));
    }
    return left;
  }

  ExprPtr unary(bool with_filters) {
    ExprPtr e;
    if (is_op("-") || is_op("+")) {
      Nested nested(*this);
      const ExprKind kind = take().text == "-" ? ExprKind::kNegate : ExprKind::kPlus;
      e = make(kind, pack(unary(false)));
    } else {
      e = primary();
    }
    e = postfix(std::move(e));
    return with_filters ? filters_and_tests(std::move(e)) : std::move(e);
  }

  ExprPtr constant(Value value) const {
    auto e = make(ExprKind::kConst);
    e->value = std::move(value);
    return e;
  }

  ExprPtr primary() {
    Nested nested(*this);
    switch (now().kind) {
      case TokenKind::kName:
        return name();
      case TokenKind::kString: {
        std::string text = take().text;
        while (now().kind == TokenKind::kString) text += take().text;
        return constant(Value::string(std::move(text)));
      }
      case TokenKind::kNumber:
        return constant(take().number);
      default:
        break;
    }
    if (skip_op("(")) {
      ExprPtr e = tuple({}, true, true);
      want_op(")");
      return e;
    }
    if (skip_op("[")) return make(ExprKind::kList, items("]", false));
    if (skip_op("{")) return make(ExprKind::kDict, items("}", true));
    fail(fmt::format("an expression expected, found {}", here()));
  }

  ExprPtr name() {
    const std::string word = take().text;
    if (word == "true" || word == "True") return constant(Value::boolean(true));
    if (word == "false" || word == "False") return constant(Value::boolean(false));
    if (word == "none" || word == "None") return constant(Value::none());
    if (macro_ != nullptr) {
      macro_->varargs |= word == "varargs";
      macro_->kwargs |= word == "kwargs";
      macro_->caller |= word == "caller";
    }
    auto e = make(ExprKind::kName);
    e->name = word;
    return e;
  }

  std::vector<ExprPtr> items(std::string_view end, bool pairs) {
    std::vector<ExprPtr> out;
    while (!is_op(end)) {
      if (!out.empty()) want_op(",");
      if (is_op(end)) break;
      out.push_back(expression());
      if (!pairs) continue;
      want_op(":");
      out.push_back(expression());
    }
    take();
    return out;
  }

  ExprPtr postfix(ExprPtr e) {
    while (true) {
      if (skip_op(".")) {
        if (now().kind == TokenKind::kNumber && now().number.is_int()) {
          ExprPtr index = constant(take().number);
          e = make(ExprKind::kItem, pack(std::move(e), std::move(index)));
        } else {
          auto attribute = make(ExprKind::kAttribute, pack(std::move(e)));
          attribute->name = want_name();
          e = std::move(attribute);
        }
      } else if (skip_op("[")) {
        e = subscript(std::move(e));
      } else if (is_op("(")) {
        e = call(std::move(e));
      } else {
        return e;
      }
    }
  }

  ExprPtr subscript(ExprPtr object) {
    ExprPtr bounds[3];
    bool is_slice = false;
    int n = 0;
    if (!is_op(":")) bounds[0] = expression();
    while (n < 2 && skip_op(":")) {
      is_slice = true;
      ++n;
      if (!is_op(":") && !is_op("]")) bounds[n] = expression();
    }
    if (!is_slice && is_op(",")) fail("a subscript with several parts");
    want_op("]");
    if (!is_slice) return make(ExprKind::kItem, pack(std::move(object), std::move(bounds[0])));
    auto e = make(ExprKind::kSlice);
    e->parts.push_back(std::move(object));
    for (auto& bound : bounds) e->parts.push_back(std::move(bound));
    measure(*e);
    return e;
  }

  void arguments(Expr& e) {
    want_op("(");
    bool first = true;
    while (!is_op(")")) {
      if (!std::exchange(first, false)) {
        want_op(",");
        if (is_op(")")) break;
      }
      if (is_op("*") || is_op("**")) fail("unpacking of arguments isn't known here");
      if (now().kind == TokenKind::kName && next().kind == TokenKind::kOperator && next().text == "=") {
        std::string key = take().text;
        take();
        e.named.emplace_back(std::move(key), expression());
      } else {
        if (!e.named.empty()) fail("a positional argument after a named one");
        e.args.push_back(expression());
      }
    }
    take();
    measure(e);
  }

  ExprPtr call(ExprPtr callee) {
    auto e = make(ExprKind::kCall, pack(std::move(callee)));
    arguments(*e);
    return e;
  }

  ExprPtr filters_and_tests(ExprPtr e) {
    while (true) {
      if (is_op("|")) {
        e = filters(std::move(e), false);
      } else if (is_word("is")) {
        e = test(std::move(e));
      } else if (is_op("(")) {
        e = call(std::move(e));
      } else {
        return e;
      }
    }
  }

  // |name(…)|name(…)… applied to e, which is null for a block's body. `inline_start`: the first "|" is left out.
  ExprPtr filters(ExprPtr e, bool inline_start) {
    while (inline_start || skip_op("|")) {
      inline_start = false;
      std::vector<ExprPtr> parts;
      parts.push_back(std::move(e));
      auto filter = make(ExprKind::kFilter, std::move(parts));
      filter->name = want_name();
      if (find_filter(filter->name) == nullptr) fail(fmt::format("the filter \"{}\" isn't known here", filter->name));
      if (is_op("(")) arguments(*filter);
      e = std::move(filter);
    }
    return e;
  }

  ExprPtr test(ExprPtr e) {
    take();  // is
    const bool negated = skip_word("not");
    auto t = make(ExprKind::kTest, pack(std::move(e)));
    t->name = want_name();
    if (find_test(t->name) == nullptr) fail(fmt::format("the test \"{}\" isn't known here", t->name));
    if (is_op("(")) {
      arguments(*t);
    } else if (now().kind == TokenKind::kString || now().kind == TokenKind::kNumber || is_op("[") || is_op("{") ||
               (now().kind == TokenKind::kName && !is_word({"else", "or", "and"}))) {
      if (is_word("is")) fail("two tests in a row");
      t->args.push_back(postfix(primary()));
      measure(*t);
    }
    if (!negated) return t;
    return make(ExprKind::kNot, pack(std::move(t)));
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;
  MacroUse* macro_ = nullptr;
};

}  // namespace

Block parse(std::string_view source) {
  if (source.size() > kMaxSourceBytes)
    unsupported(fmt::format("the template has {} bytes, the limit is {}", source.size(), kMaxSourceBytes));
  return Parser(tokenize(source)).run();
}

}  // namespace slm::text::jinja
