#include "text/jinja/expressions.h"

#include "text/jinja/builtins.h"

namespace slm::text::jinja {

std::unique_ptr<Expr> ExpressionParser::make(ExprKind kind, std::vector<ExprPtr> parts) const {
  auto e = std::make_unique<Expr>();
  e->kind = kind;
  e->line = now().line;
  e->parts = std::move(parts);
  measure(*e);
  return e;
}
void ExpressionParser::measure(Expr& e) const {
  const auto count = [&](const ExprPtr& part) {
    if (part) e.depth = std::max(e.depth, part->depth + 1);
  };
  for (const auto& part : e.parts) count(part);
  for (const auto& arg : e.args) count(arg);
  for (const auto& [name, arg] : e.named) count(arg);
  if (e.depth > kMaxSyntaxDepth) fail(fmt::format("an expression nested deeper than {}", kMaxSyntaxDepth));
}
std::vector<ExprPtr> ExpressionParser::pack(ExprPtr a, ExprPtr b) {
  std::vector<ExprPtr> out;
  out.push_back(std::move(a));
  if (b) out.push_back(std::move(b));
  return out;
}

ExprPtr ExpressionParser::tuple(Words ends, bool with_if, bool in_parentheses) {
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) want_op(",");
    if (now().kind == TokenKind::kOutputEnd || now().kind == TokenKind::kBlockEnd || is_op(")") || is_word(ends)) break;
    items.push_back(with_if ? expression() : or_expression());
    if (!is_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return std::move(items.front());
  if (!is_tuple && !in_parentheses) fail(fmt::format("an expression expected, found {}", here()));
  return make(ExprKind::kTuple, std::move(items));
}

ExprPtr ExpressionParser::expression() {
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

ExprPtr ExpressionParser::or_expression() {
  ExprPtr left = and_expression();
  while (skip_word("or")) {
    ExprPtr right = and_expression();
    left = make(ExprKind::kOr, pack(std::move(left), std::move(right)));
  }
  return left;
}

ExprPtr ExpressionParser::and_expression() {
  ExprPtr left = not_expression();
  while (skip_word("and")) {
    ExprPtr right = not_expression();
    left = make(ExprKind::kAnd, pack(std::move(left), std::move(right)));
  }
  return left;
}

ExprPtr ExpressionParser::not_expression() {
  if (!is_word("not")) return comparison();
  Nested nested(*this);
  take();
  return make(ExprKind::kNot, pack(not_expression()));
}

ExprPtr ExpressionParser::comparison() {
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

ExprPtr ExpressionParser::binary(std::string op, ExprPtr left, ExprPtr right) const {
  auto e = make(ExprKind::kBinary, pack(std::move(left), std::move(right)));
  e->name = std::move(op);
  return e;
}

ExprPtr ExpressionParser::sum() {
  ExprPtr left = concatenation();
  while (is_op("+") || is_op("-")) {
    std::string op = take().text;
    ExprPtr right = concatenation();
    left = binary(std::move(op), std::move(left), std::move(right));
  }
  return left;
}

ExprPtr ExpressionParser::concatenation() {
  std::vector<ExprPtr> parts;
  parts.push_back(product());
  while (skip_op("~")) parts.push_back(product());
  if (parts.size() == 1) return std::move(parts.front());
  return make(ExprKind::kConcat, std::move(parts));
}

ExprPtr ExpressionParser::product() {
  ExprPtr left = power();
  while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
    std::string op = take().text;
    ExprPtr right = power();
    left = binary(std::move(op), std::move(left), std::move(right));
  }
  return left;
}

ExprPtr ExpressionParser::power() {
  ExprPtr left = unary(true);
  while (skip_op("**")) {
    ExprPtr right = unary(true);
    left = binary("**", std::move(left), std::move(right));
  }
  return left;
}

ExprPtr ExpressionParser::unary(bool with_filters) {
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

ExprPtr ExpressionParser::constant(Value value) const {
  auto e = make(ExprKind::kConst);
  e->value = std::move(value);
  return e;
}

ExprPtr ExpressionParser::primary() {
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

ExprPtr ExpressionParser::name() {
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

std::vector<ExprPtr> ExpressionParser::items(std::string_view end, bool pairs) {
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

ExprPtr ExpressionParser::postfix(ExprPtr e) {
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

ExprPtr ExpressionParser::subscript(ExprPtr object) {
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

void ExpressionParser::arguments(Expr& e) {
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

ExprPtr ExpressionParser::call(ExprPtr callee) {
  auto e = make(ExprKind::kCall, pack(std::move(callee)));
  arguments(*e);
  return e;
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr e) {
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

ExprPtr ExpressionParser::filters(ExprPtr e, bool inline_start) {
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

ExprPtr ExpressionParser::test(ExprPtr e) {
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

}  // namespace slm::text::jinja
