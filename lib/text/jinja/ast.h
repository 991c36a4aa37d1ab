// The tree of a parsed template.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace slm::text::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

enum class ExprKind {
  kConst,      // value
  kName,       // name
  kList,       // parts
  kTuple,      // parts
  kDict,       // parts: key, value, key, value, …
  kAttribute,  // parts[0].name
  kItem,       // parts[0][parts[1]]
  kSlice,      // parts[0][parts[1]:parts[2]:parts[3]]; 1 to 3 may be null
  kCall,       // parts[0](call)
  kFilter,     // parts[0]|name(call); parts[0] is null for the body of a block
  kTest,       // parts[0] is name(call)
  kNot,        // parts[0]
  kNegate,
  kPlus,
  kBinary,   // name is the operator: + - * / // % **
  kConcat,   // parts, joined as text
  kCompare,  // parts[0] ops[0] parts[1] ops[1] parts[2] …
  kAnd,
  kOr,
  kIf,  // parts[1] if parts[0] else parts[2]; parts[2] may be null
};

struct Expr {
  ExprKind kind = ExprKind::kConst;
  int line = 1;
  std::string name;
  Value value;
  std::vector<ExprPtr> parts;
  std::vector<std::string> ops;
  // Arguments of kCall, kFilter and kTest.
  std::vector<ExprPtr> args;
  std::vector<std::pair<std::string, ExprPtr>> named;
  int depth = 1;
};

// What an assignment writes to.
struct Target {
  std::vector<std::string> names;  // one, or several to unpack into
  bool unpack = false;
  std::string attribute;  // not empty: names[0].attribute of a namespace
};

struct Statement;
using Block = std::vector<std::unique_ptr<const Statement>>;

struct Parameter {
  std::string name;
  ExprPtr otherwise;  // may be null
};

enum class StatementKind {
  kText,         // text
  kOutput,       // expr
  kIf,           // branches; the last one's condition is null for else
  kFor,          // target in expr [if condition]: body, otherwise
  kSet,          // target = expr
  kSetBlock,     // target = body, through the filters of expr if not null
  kMacro,        // text(parameters): body
  kCallBlock,    // expr is the call; parameters and body make its caller
  kFilterBlock,  // body through the filters of expr
  kWith,         // assignments, then body in a scope of its own
  kGeneration,   // body, the assistant's part
  kBreak,
  kContinue,
};

struct Branch {
  ExprPtr condition;
  Block body;
};

struct Statement {
  StatementKind kind = StatementKind::kText;
  int line = 1;
  std::string text;
  Target target;
  ExprPtr expr, condition;
  bool recursive = false;
  Block body, otherwise;
  std::vector<Branch> branches;
  std::vector<Parameter> parameters;
  std::vector<std::pair<Target, ExprPtr>> assignments;
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;  // of a macro or call block
};

}  // namespace slm::text::jinja
