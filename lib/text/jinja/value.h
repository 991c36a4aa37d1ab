// Values of the template language: Python's, as far as chat templates see them. Immutable once made (namespaces
// excepted), shared by reference.
//
// Errors: TemplateError is thrown inside lib/text/jinja only; chat_template.cc turns it into an Error.
// Source: Python's data model; Jinja 3.1 `runtime.py` for undefined values.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"
#include "schema/json.h"

namespace slm::text::jinja {

// What goes wrong while parsing or rendering. `what` is made of words of the template and of type names, never of data.
class TemplateError : public std::runtime_error {
 public:
  TemplateError(ErrorCode code, const std::string& what) : std::runtime_error(what), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};
// A template that doesn't fit its data, as Python would raise it.
[[noreturn]] void raise(const std::string& what);
// Something that Jinja may know and this interpreter doesn't.
[[noreturn]] void unsupported(const std::string& what);

constexpr int kMaxValueDepth = 200;  // nesting of lists and dicts

class Value;
struct ListObject;
struct DictObject;
struct NamespaceObject;
struct Callable;
struct LoopState;

enum class ListKind {
  kList,
  kTuple,
  kGenerator,  // what lazy filters (map, select, …) give: truthy even when empty, no length
  kView,       // dict.keys(), dict.values(), dict.items()
};

class Value {
 public:
  struct Undefined {
    std::shared_ptr<const std::string> what;  // why, for the message when it is used
  };
  struct None {};
  using StringPtr = std::shared_ptr<const std::string>;
  using ListPtr = std::shared_ptr<const ListObject>;
  using DictPtr = std::shared_ptr<const DictObject>;
  using NamespacePtr = std::shared_ptr<NamespaceObject>;
  using CallablePtr = std::shared_ptr<const Callable>;
  using Data = std::variant<Undefined, None, bool, int64_t, double, StringPtr, ListPtr, DictPtr, NamespacePtr,
                            CallablePtr, LoopState*>;

  Value() = default;  // undefined
  explicit Value(Data data) : data_(std::move(data)) {}
  static Value undefined(std::string what);
  static Value none() { return Value(Data(None{})); }
  static Value boolean(bool v) { return Value(Data(v)); }
  static Value integer(int64_t v) { return Value(Data(v)); }
  static Value real(double v) { return Value(Data(v)); }
  static Value string(std::string v);
  static Value list(std::vector<Value> items, ListKind kind = ListKind::kList);
  // Later pairs of an equal key replace earlier ones, in place. `unique`: the caller knows that no key repeats.
  static Value dict(std::vector<std::pair<Value, Value>> items, bool unique = false);

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<int64_t>(data_); }  // not bool
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_bool() || is_int() || is_float(); }
  bool is_integral() const { return is_bool() || is_int(); }
  bool is_string() const { return std::holds_alternative<StringPtr>(data_); }
  bool is_list() const { return std::holds_alternative<ListPtr>(data_); }  // of any ListKind
  bool is_dict() const { return std::holds_alternative<DictPtr>(data_); }
  bool is_namespace() const { return std::holds_alternative<NamespacePtr>(data_); }
  bool is_callable() const { return std::holds_alternative<CallablePtr>(data_); }
  bool is_loop() const { return std::holds_alternative<LoopState*>(data_); }

  // Require the kind asked for.
  bool as_bool() const { return std::get<bool>(data_); }
  int64_t as_integral() const { return is_bool() ? int64_t{as_bool()} : std::get<int64_t>(data_); }
  double as_number() const { return is_float() ? std::get<double>(data_) : static_cast<double>(as_integral()); }
  const std::string& as_string() const { return *std::get<StringPtr>(data_); }
  const ListObject& as_list() const { return *std::get<ListPtr>(data_); }
  const DictObject& as_dict() const { return *std::get<DictPtr>(data_); }
  NamespaceObject& as_namespace() const { return *std::get<NamespacePtr>(data_); }
  const Callable& as_callable() const { return *std::get<CallablePtr>(data_); }
  LoopState& as_loop() const { return *std::get<LoopState*>(data_); }
  // Why it is undefined.
  std::string undefined_reason() const;

  bool truthy() const;
  const char* type_name() const;  // Python's: "str", "NoneType", …
  int depth() const;              // 0 for scalars

 private:
  Data data_ = Undefined{};
};

struct ListObject {
  std::vector<Value> items;
  ListKind kind = ListKind::kList;
  int depth = 1;
};

struct DictObject {
  std::vector<std::pair<Value, Value>> items;  // in order of insertion
  int depth = 1;
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
};

struct NamespaceObject {
  std::vector<std::pair<std::string, Value>> items;
  const Value* find(std::string_view key) const;
  // Macros, loops and namespaces may not be stored: they would outlive their scope, or hold themselves.
  void set(std::string_view key, Value value);
};

// Values may be kept in a container or namespace.
void require_storable(const Value& value);

bool equal(const Value& a, const Value& b);
// Python's `a < b`; raises for kinds without an order.
bool less(const Value& a, const Value& b);

Value from_json(const json::value& value);

// str(value): what {{ value }} prints.
std::string to_text(const Value& value);
std::string repr(const Value& value);
std::string float_repr(double v);

struct JsonStyle {
  bool ensure_ascii = false;
  bool pretty = false;  // an indent was given
  std::string indent;   // one level
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false;
};
// json.dumps(value, ...).
std::string dump_json(const Value& value, const JsonStyle& style);

}  // namespace slm::text::jinja
