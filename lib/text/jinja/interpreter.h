// Renders a parsed template.
//
// Errors: throws TemplateError: kBadInput for what Python would raise, and for a broken limit; kUnsupportedModel for
//   something that Jinja may know and this interpreter doesn't.
// Threads: one interpreter a rendering; trees are shared.
// Source: Jinja 3.1 documentation; jinja2's ImmutableSandboxedEnvironment as oracle (scripts/interop/templates.py).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"

namespace slm::text::jinja {

// One rendering may do this much: evaluated nodes, plus a step per 64 bytes of text and per quarter item of a list
// made.
constexpr int64_t kMaxSteps = 10'000'000;
constexpr size_t kMaxTextBytes = size_t{32} << 20;  // of one string
constexpr int kMaxCallDepth = 1200;                 // nested evaluations, macro calls included

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Interpreter;

// Macros, methods, globals. They live in scopes only, never in containers.
struct Callable {
  virtual ~Callable() = default;
  virtual Value call(Interpreter& interpreter, const Arguments& arguments) const = 0;
};

// Variables of a template, loop iteration or macro call; names point into the tree or at constants.
struct Scope {
  const Scope* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> variables;
  const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value);
};

// `loop` inside of a for.
struct LoopState {
  const Statement* statement = nullptr;
  Scope* scope = nullptr;  // around the loop
  std::vector<Value> items;
  size_t index = 0;
  int depth = 1;
  Value last_changed;  // what loop.changed() saw
  bool has_changed = false;
};

class Interpreter {
 public:
  // `now_ms`: what strftime_now formats, as UTC.
  explicit Interpreter(int64_t now_ms) : now_ms_(now_ms) {}

  // `variables`: the outermost scope.
  std::string render(const Block& block, std::vector<std::pair<std::string_view, Value>> variables);

  // For built-ins.
  void charge(int64_t steps);
  void charge(const Value& made);
  // Before a string of that size is made.
  static void require_text(double n_bytes);
  std::vector<Value> iterate(const Value& value);
  // object[key], else its attribute of that name, else undefined.
  Value item(const Value& object, const Value& key) const;
  Value attribute(const Value& object, std::string_view name) const;
  Value apply_filter(std::string_view name, const Value& self, const Arguments& arguments);
  bool apply_test(std::string_view name, const Value& self, const Arguments& arguments);
  Value binary(std::string_view op, const Value& a, const Value& b);
  bool contains(const Value& container, const Value& item) const;
  int64_t now_ms() const { return now_ms_; }
  int line() const { return line_; }

 private:
  friend struct Macro;
  enum class Flow { kNext, kBreak, kContinue };
  class Deeper;

  Flow exec(const Block& block, Scope& scope, std::string& out);
  Flow exec_statement(const Statement& s, Scope& scope, std::string& out);
  Flow exec_if(const Statement& s, Scope& scope, std::string& out);
  void exec_for(const Statement& s, Scope& scope, std::string& out);
  void run_loop(const Statement& s, Scope& scope, std::vector<Value> items, int depth, std::string& out);
  void exec_call_block(const Statement& s, Scope& scope, std::string& out);
  Flow exec_with(const Statement& s, Scope& scope, std::string& out);
  std::string render_inner(const Block& block, Scope& scope);
  std::string call_macro(const Statement& macro, const Scope& definition, const Arguments& arguments);
  void assign(const Target& target, Value value, Scope& scope);
  void append(std::string& out, std::string_view text);

  Value eval(const Expr& e, Scope& scope);
  Value eval_name(const Expr& e, const Scope& scope) const;
  Value eval_items(const Expr& e, Scope& scope);
  Value eval_access(const Expr& e, Scope& scope);
  Value eval_slice(const Expr& e, Scope& scope);
  Value eval_call(const Expr& e, Scope& scope);
  Value eval_filter(const Expr& e, Scope& scope, const Value* body);
  Value eval_concat(const Expr& e, Scope& scope);
  Value eval_compare(const Expr& e, Scope& scope);
  Value eval_sign(const Expr& e, Scope& scope);
  Arguments eval_arguments(const Expr& e, Scope& scope);
  Value call(const Value& callee, const Arguments& arguments);
  [[noreturn]] void raise_exception(const Expr& call) const;

  int64_t now_ms_;
  int64_t steps_ = 0;
  int depth_ = 0;
  int line_ = 1;
};

}  // namespace slm::text::jinja
