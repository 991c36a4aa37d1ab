#include "text/jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "text/jinja/builtins.h"
#include "text/unicode.h"

namespace slm::text::jinja {

// A macro, or the body of a call block. Its scope outlives it: callables can't leave the scope they were made in.
struct Macro final : Callable {
  Macro(const Statement& s, const Scope& d) : statement(s), definition(d) {}
  Value call(Interpreter& interpreter, const Arguments& arguments) const override {
    return Value::string(interpreter.call_macro(statement, definition, arguments));
  }
  const Statement& statement;
  const Scope& definition;
};

// Counts nested evaluations while it lives.
class Interpreter::Deeper {
 public:
  explicit Deeper(Interpreter& i) : i_(i) {
    if (++i_.depth_ > kMaxCallDepth) raise(fmt::format("calls nest deeper than {}", kMaxCallDepth));
    i_.charge(1);
  }
  ~Deeper() { --i_.depth_; }
  Deeper(const Deeper&) = delete;

 private:
  Interpreter& i_;
};

const Value* Scope::find(std::string_view name) const {
  for (const Scope* s = this; s != nullptr; s = s->parent)
    for (const auto& [key, value] : s->variables)
      if (key == name) return &value;
  return nullptr;
}

void Scope::set(std::string_view name, Value value) {
  for (auto& [key, v] : variables)
    if (key == name) {
      v = std::move(value);
      return;
    }
  variables.emplace_back(name, std::move(value));
}

void Interpreter::charge(int64_t steps) {
  if ((steps_ += steps) > kMaxSteps) raise(fmt::format("the rendering takes more than {} steps", kMaxSteps));
}

void Interpreter::charge(const Value& made) {
  if (made.is_string()) charge(static_cast<int64_t>(made.as_string().size() / 64));
  if (made.is_list()) charge(static_cast<int64_t>(4 * made.as_list().items.size()));
}

void Interpreter::require_text(double n_bytes) {
  if (n_bytes > static_cast<double>(kMaxTextBytes))
    raise(fmt::format("a text would have more than {} bytes", kMaxTextBytes));
}

void Interpreter::append(std::string& out, std::string_view text) {
  require_text(static_cast<double>(out.size()) + static_cast<double>(text.size()));
  charge(static_cast<int64_t>(text.size() / 64));
  out += text;
}

std::string Interpreter::render(const Block& block, std::vector<std::pair<std::string_view, Value>> variables) {
  Scope scope;
  scope.variables = std::move(variables);
  std::string out;
  try {
    exec(block, scope, out);
  } catch (const TemplateError& error) {
    throw TemplateError(error.code(), fmt::format("line {}: {}", line_, error.what()));
  }
  return out;
}

// ---- statements

Interpreter::Flow Interpreter::exec(const Block& block, Scope& scope, std::string& out) {
  Deeper deeper(*this);
  for (const auto& statement : block) {
    line_ = statement->line;
    const Flow flow = exec_statement(*statement, scope, out);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::exec_statement(const Statement& s, Scope& scope, std::string& out) {
  switch (s.kind) {
    case StatementKind::kText:
      append(out, s.text);
      break;
    case StatementKind::kOutput: {
      const Value value = eval(*s.expr, scope);
      if (value.is_string()) {
        append(out, value.as_string());
      } else {
        append(out, to_text(value));
      }
      break;
    }
    case StatementKind::kIf:
      return exec_if(s, scope, out);
    case StatementKind::kFor:
      exec_for(s, scope, out);
      break;
    case StatementKind::kSet:
      assign(s.target, eval(*s.expr, scope), scope);
      break;
    case StatementKind::kSetBlock: {
      Value body = Value::string(render_inner(s.body, scope));
      if (s.expr) body = eval_filter(*s.expr, scope, &body);
      assign(s.target, std::move(body), scope);
      break;
    }
    case StatementKind::kMacro:
      scope.set(s.text, Value(std::make_shared<const Macro>(s, scope)));
      break;
    case StatementKind::kCallBlock:
      exec_call_block(s, scope, out);
      break;
    case StatementKind::kFilterBlock: {
      const Value body = Value::string(render_inner(s.body, scope));
      append(out, to_text(eval_filter(*s.expr, scope, &body)));
      break;
    }
    case StatementKind::kWith:
      return exec_with(s, scope, out);
    case StatementKind::kGeneration:
      append(out, render_inner(s.body, scope));
      break;
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

std::string Interpreter::render_inner(const Block& block, Scope& scope) {
  Scope inner;
  inner.parent = &scope;
  std::string out;
  exec(block, inner, out);
  return out;
}

Interpreter::Flow Interpreter::exec_if(const Statement& s, Scope& scope, std::string& out) {
  for (const auto& branch : s.branches)
    if (!branch.condition || eval(*branch.condition, scope).truthy()) return exec(branch.body, scope, out);
  return Flow::kNext;
}

void Interpreter::exec_for(const Statement& s, Scope& scope, std::string& out) {
  run_loop(s, scope, iterate(eval(*s.expr, scope)), 1, out);
}

void Interpreter::run_loop(const Statement& s, Scope& scope, std::vector<Value> items, int depth, std::string& out) {
  if (s.condition) {
    std::vector<Value> kept;
    for (auto& item : items) {
      Scope inner;
      inner.parent = &scope;
      assign(s.target, item, inner);
      if (eval(*s.condition, inner).truthy()) kept.push_back(std::move(item));
    }
    items = std::move(kept);
  }
  if (items.empty()) {
    exec(s.otherwise, scope, out);
    return;
  }
  LoopState state;
  state.statement = &s;
  state.scope = &scope;
  state.items = std::move(items);
  state.depth = depth;
  for (; state.index < state.items.size(); ++state.index) {
    charge(1);
    Scope inner;
    inner.parent = &scope;
    inner.set("loop", Value(Value::Data(&state)));
    assign(s.target, state.items[state.index], inner);
    if (exec(s.body, inner, out) == Flow::kBreak) break;
  }
}

void Interpreter::exec_call_block(const Statement& s, Scope& scope, std::string& out) {
  Arguments arguments = eval_arguments(*s.expr, scope);
  arguments.named.emplace_back("caller", Value(std::make_shared<const Macro>(s, scope)));
  const Value callee = eval(*s.expr->parts[0], scope);
  append(out, to_text(call(callee, arguments)));
}

Interpreter::Flow Interpreter::exec_with(const Statement& s, Scope& scope, std::string& out) {
  Scope inner;
  inner.parent = &scope;
  for (const auto& [target, expr] : s.assignments) assign(target, eval(*expr, scope), inner);
  return exec(s.body, inner, out);
}

void Interpreter::assign(const Target& target, Value value, Scope& scope) {
  if (!target.attribute.empty()) {
    const Value* object = scope.find(target.names[0]);
    if (object == nullptr || !object->is_namespace())
      raise(fmt::format("can't assign to \"{}.{}\": not a namespace", target.names[0], target.attribute));
    object->as_namespace().set(target.attribute, std::move(value));
    return;
  }
  if (!target.unpack) {
    scope.set(target.names[0], std::move(value));
    return;
  }
  std::vector<Value> items = iterate(value);
  if (items.size() != target.names.size())
    raise(fmt::format("{} values don't unpack into {} names", items.size(), target.names.size()));
  for (size_t i = 0; i < items.size(); ++i) scope.set(target.names[i], std::move(items[i]));
}

std::string Interpreter::call_macro(const Statement& macro, const Scope& definition, const Arguments& arguments) {
  Scope scope;
  scope.parent = &definition;
  const auto& parameters = macro.parameters;
  std::vector<std::pair<Value, Value>> extra_named;
  for (size_t i = 0; i < parameters.size() && i < arguments.positional.size(); ++i)
    scope.set(parameters[i].name, arguments.positional[i]);
  for (const auto& [name, value] : arguments.named) {
    const auto is_it = [&wanted = name](const Parameter& p) { return p.name == wanted; };
    const auto known = std::find_if(parameters.begin(), parameters.end(), is_it);
    if (known != parameters.end()) {
      if (static_cast<size_t>(known - parameters.begin()) < arguments.positional.size())
        raise(fmt::format("macro \"{}\" got \"{}\" twice", macro.text, name));
      scope.set(known->name, value);
    } else if (name == "caller" && macro.uses_caller) {
      scope.set("caller", value);
    } else if (macro.uses_kwargs) {
      extra_named.emplace_back(Value::string(name), value);
    } else {
      raise(fmt::format("macro \"{}\" takes no \"{}\"", macro.text, name));
    }
  }
  const size_t n_extra =
      arguments.positional.size() > parameters.size() ? arguments.positional.size() - parameters.size() : 0;
  if (n_extra > 0 && !macro.uses_varargs)
    raise(fmt::format("macro \"{}\" takes {} arguments, got {}", macro.text, parameters.size(),
                      arguments.positional.size()));
  if (macro.uses_varargs)
    scope.set("varargs", Value::list({arguments.positional.end() - static_cast<std::ptrdiff_t>(n_extra),
                                      arguments.positional.end()},
                                     ListKind::kTuple));
  if (macro.uses_kwargs) scope.set("kwargs", Value::dict(std::move(extra_named)));
  if (macro.uses_caller && scope.find("caller") == nullptr)
    scope.set("caller", Value::undefined("no caller is defined"));
  for (size_t i = arguments.positional.size(); i < parameters.size(); ++i) {
    const auto& p = parameters[i];
    if (std::any_of(scope.variables.begin(), scope.variables.end(), [&](const auto& v) { return v.first == p.name; }))
      continue;
    scope.set(p.name, p.otherwise ? eval(*p.otherwise, scope)
                                  : Value::undefined(fmt::format("parameter '{}' was not provided", p.name)));
  }
  std::string out;
  const int line = line_;
  exec(macro.body, scope, out);
  line_ = line;
  return out;
}

// ---- expressions

Value Interpreter::eval(const Expr& e, Scope& scope) {
  Deeper deeper(*this);
  line_ = e.line;
  switch (e.kind) {
    case ExprKind::kConst:
      return e.value;
    case ExprKind::kName:
      return eval_name(e, scope);
    case ExprKind::kList:
    case ExprKind::kTuple:
    case ExprKind::kDict:
      return eval_items(e, scope);
    case ExprKind::kAttribute:
    case ExprKind::kItem:
      return eval_access(e, scope);
    case ExprKind::kSlice:
      return eval_slice(e, scope);
    case ExprKind::kCall:
      return eval_call(e, scope);
    case ExprKind::kFilter:
      return eval_filter(e, scope, nullptr);
    case ExprKind::kTest:
      return Value::boolean(apply_test(e.name, eval(*e.parts[0], scope), eval_arguments(e, scope)));
    case ExprKind::kNot:
      return Value::boolean(!eval(*e.parts[0], scope).truthy());
    case ExprKind::kNegate:
    case ExprKind::kPlus:
      return eval_sign(e, scope);
    case ExprKind::kBinary: {
      const Value a = eval(*e.parts[0], scope);
      return binary(e.name, a, eval(*e.parts[1], scope));
    }
    case ExprKind::kConcat:
      return eval_concat(e, scope);
    case ExprKind::kCompare:
      return eval_compare(e, scope);
    case ExprKind::kAnd: {
      Value left = eval(*e.parts[0], scope);
      return left.truthy() ? eval(*e.parts[1], scope) : left;
    }
    case ExprKind::kOr: {
      Value left = eval(*e.parts[0], scope);
      return left.truthy() ? left : eval(*e.parts[1], scope);
    }
    case ExprKind::kIf:
      if (eval(*e.parts[0], scope).truthy()) return eval(*e.parts[1], scope);
      if (e.parts[2]) return eval(*e.parts[2], scope);
      return Value::undefined("an inline if was false and has no else");
  }
  return {};
}

Value Interpreter::eval_name(const Expr& e, const Scope& scope) const {
  if (const Value* value = scope.find(e.name)) return *value;
  Value global = find_global(e.name);
  return global.is_undefined() ? Value::undefined(fmt::format("'{}' is undefined", e.name)) : global;
}

Value Interpreter::eval_items(const Expr& e, Scope& scope) {
  if (e.kind == ExprKind::kDict) {
    std::vector<std::pair<Value, Value>> items;
    for (size_t i = 0; i + 1 < e.parts.size(); i += 2) {
      Value key = eval(*e.parts[i], scope);
      items.emplace_back(std::move(key), eval(*e.parts[i + 1], scope));
    }
    return Value::dict(std::move(items));
  }
  std::vector<Value> items;
  for (const auto& part : e.parts) items.push_back(eval(*part, scope));
  return Value::list(std::move(items), e.kind == ExprKind::kTuple ? ListKind::kTuple : ListKind::kList);
}

Value Interpreter::eval_access(const Expr& e, Scope& scope) {
  const Value object = eval(*e.parts[0], scope);
  if (object.is_undefined()) raise(object.undefined_reason());
  if (e.kind == ExprKind::kAttribute) {
    Value found = attribute(object, e.name);
    if (!found.is_undefined()) return found;
    if (object.is_dict())
      if (const Value* value = object.as_dict().find(e.name)) return *value;
    return Value::undefined(fmt::format("'{} object' has no attribute '{}'", object.type_name(), e.name));
  }
  const Value key = eval(*e.parts[1], scope);
  Value found = item(object, key);
  // Keys that the template spells out may be shown; others may come from the data.
  if (found.is_undefined() && e.parts[1]->kind == ExprKind::kConst && key.is_string())
    return Value::undefined(fmt::format("'{} object' has no attribute '{}'", object.type_name(), key.as_string()));
  return found;
}

Value Interpreter::eval_slice(const Expr& e, Scope& scope) {
  const Value object = eval(*e.parts[0], scope);
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    bounds[i] = e.parts[i + 1] ? eval(*e.parts[i + 1], scope) : Value::none();
    if (!bounds[i].is_none() && !bounds[i].is_integral())
      raise(fmt::format("a slice needs integers, not {}", bounds[i].type_name()));
  }
  if (object.is_undefined()) raise(object.undefined_reason());
  const bool sliceable =
      object.is_string() ||
      (object.is_list() && (object.as_list().kind == ListKind::kList || object.as_list().kind == ListKind::kTuple));
  if (!sliceable) return Value::undefined(fmt::format("a {} has no slices", object.type_name()));

  std::vector<char32_t> characters;
  if (object.is_string()) characters = to_code_points(object.as_string());
  const auto n = static_cast<int64_t>(object.is_string() ? characters.size() : object.as_list().items.size());
  const int64_t step = bounds[2].is_none() ? 1 : bounds[2].as_integral();
  if (step == 0) raise("a slice's step is zero");
  const auto clamp = [&](const Value& bound, int64_t otherwise) {
    if (bound.is_none()) return otherwise;
    int64_t v = bound.as_integral();
    if (v < 0) v = v < -n ? -1 : v + n;
    return std::clamp<int64_t>(v, step < 0 ? -1 : 0, step < 0 ? n - 1 : n);
  };
  const int64_t start = clamp(bounds[0], step < 0 ? n - 1 : 0);
  const int64_t stop = clamp(bounds[1], step < 0 ? -1 : n);
  std::vector<char32_t> text;
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (object.is_string()) {
      text.push_back(characters[static_cast<size_t>(i)]);
    } else {
      items.push_back(object.as_list().items[static_cast<size_t>(i)]);
    }
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  Value out = object.is_string() ? Value::string(to_utf8(text)) : Value::list(std::move(items), object.as_list().kind);
  charge(out);
  return out;
}

Arguments Interpreter::eval_arguments(const Expr& e, Scope& scope) {
  Arguments out;
  out.positional.reserve(e.args.size());
  for (const auto& arg : e.args) out.positional.push_back(eval(*arg, scope));
  for (const auto& [name, arg] : e.named) out.named.emplace_back(name, eval(*arg, scope));
  return out;
}

Value Interpreter::eval_call(const Expr& e, Scope& scope) {
  const Expr& callee = *e.parts[0];
  if (callee.kind == ExprKind::kName && callee.name == "raise_exception" && scope.find(callee.name) == nullptr)
    raise_exception(e);
  if (callee.kind == ExprKind::kAttribute) {
    const Value object = eval(*callee.parts[0], scope);
    if (const Filter method = find_method(object, callee.name)) {
      Value out = method(*this, object, eval_arguments(e, scope));
      charge(out);
      return out;
    }
    if (object.is_string() || (object.is_list() && !is_mutator(object, callee.name)))
      unsupported(fmt::format("the method \"{}\" of a {} isn't known here", callee.name, object.type_name()));
  }
  const Value target = eval(callee, scope);
  return call(target, eval_arguments(e, scope));
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  if (callee.is_loop()) {
    LoopState& loop = callee.as_loop();
    if (!loop.statement->recursive) raise("the loop isn't recursive, so it can't be called");
    if (arguments.positional.size() != 1 || !arguments.named.empty()) raise("loop(…) takes one argument");
    Deeper deeper(*this);
    std::string out;
    run_loop(*loop.statement, *loop.scope, iterate(arguments.positional[0]), loop.depth + 1, out);
    return Value::string(std::move(out));
  }
  if (callee.is_undefined()) raise(callee.undefined_reason());
  if (!callee.is_callable()) raise(fmt::format("a {} can't be called", callee.type_name()));
  Deeper deeper(*this);
  Value out = callee.as_callable().call(*this, arguments);
  charge(out);
  return out;
}

// The message may be put together with text of a message, so only what the template itself spells is shown.
void Interpreter::raise_exception(const Expr& call) const {
  std::string shown;
  const auto collect = [&](const auto& self, const Expr& e) -> void {
    if (e.kind == ExprKind::kConst && e.value.is_string()) {
      shown += e.value.as_string();
    } else if (e.kind == ExprKind::kConcat || (e.kind == ExprKind::kBinary && e.name == "+")) {
      for (const auto& part : e.parts) self(self, *part);
    } else {
      shown += "…";
    }
  };
  for (const auto& arg : call.args) collect(collect, *arg);
  raise(fmt::format("the template refuses these messages: {}", shown));
}

Value Interpreter::eval_filter(const Expr& e, Scope& scope, const Value* body) {
  Value self;
  if (!e.parts[0]) {
    self = *body;
  } else if (e.parts[0]->kind == ExprKind::kFilter) {
    self = eval_filter(*e.parts[0], scope, body);
  } else {
    self = eval(*e.parts[0], scope);
  }
  line_ = e.line;
  return apply_filter(e.name, self, eval_arguments(e, scope));
}

Value Interpreter::eval_concat(const Expr& e, Scope& scope) {
  std::string out;
  for (const auto& part : e.parts) append(out, to_text(eval(*part, scope)));
  return Value::string(std::move(out));
}

Value Interpreter::eval_compare(const Expr& e, Scope& scope) {
  Value left = eval(*e.parts[0], scope);
  for (size_t i = 0; i < e.ops.size(); ++i) {
    Value right = eval(*e.parts[i + 1], scope);
    const std::string& op = e.ops[i];
    const bool holds = op == "=="       ? equal(left, right)
                       : op == "!="     ? !equal(left, right)
                       : op == "in"     ? contains(right, left)
                       : op == "not in" ? !contains(right, left)
                       : op == "<"      ? less(left, right)
                       : op == ">"      ? less(right, left)
                       : op == "<="     ? less(left, right) || equal(left, right)
                                        : less(right, left) || equal(left, right);
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::eval_sign(const Expr& e, Scope& scope) {
  const Value v = eval(*e.parts[0], scope);
  if (v.is_undefined()) raise(v.undefined_reason());
  if (!v.is_number()) raise(fmt::format("a {} has no sign", v.type_name()));
  const bool negate = e.kind == ExprKind::kNegate;
  if (v.is_float()) return Value::real(negate ? -v.as_number() : v.as_number());
  return negate ? binary("-", Value::integer(0), v) : Value::integer(v.as_integral());
}

}  // namespace slm::text::jinja
