// What operators, subscripts and iteration do to each kind of value, and how built-ins read their arguments.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/builtins.h"
#include "text/jinja/interpreter.h"
#include "text/unicode.h"

namespace slm::text::jinja {
namespace {

[[noreturn]] void no_operator(std::string_view op, const Value& a, const Value& b) {
  if (a.is_undefined()) raise(a.undefined_reason());
  if (b.is_undefined()) raise(b.undefined_reason());
  raise(fmt::format("{} {} {} isn't possible", a.type_name(), op, b.type_name()));
}

int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return q - ((a % b != 0) && ((a < 0) != (b < 0)) ? 1 : 0);
}

Value integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  int64_t out = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(out, base, &out)) raise("an integer of more than 64 bits");
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) raise("an integer of more than 64 bits");
  }
  return Value::integer(out);
}

Value integers(std::string_view op, int64_t a, int64_t b) {
  int64_t out = 0;
  bool overflow = false;
  if (op == "+") {
    overflow = __builtin_add_overflow(a, b, &out);
  } else if (op == "-") {
    overflow = __builtin_sub_overflow(a, b, &out);
  } else if (op == "*") {
    overflow = __builtin_mul_overflow(a, b, &out);
  } else if (op == "**") {
    return integer_power(a, b);
  } else {
    if (b == 0) raise("division by zero");
    if (op == "/") return Value::real(static_cast<double>(a) / static_cast<double>(b));
    if (b == -1) {
      if (op == "%") return Value::integer(0);
      overflow = __builtin_sub_overflow(int64_t{0}, a, &out);
    } else {
      const int64_t q = floor_divide(a, b);
      out = op == "//" ? q : a - q * b;
    }
  }
  if (overflow) raise("an integer of more than 64 bits");
  return Value::integer(out);
}

Value reals(std::string_view op, double a, double b) {
  if (op == "+") return Value::real(a + b);
  if (op == "-") return Value::real(a - b);
  if (op == "*") return Value::real(a * b);
  if (op == "**") return Value::real(std::pow(a, b));
  if (b == 0) raise("division by zero");
  if (op == "/") return Value::real(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == "%") return Value::real(rest == 0 ? std::copysign(0.0, b) : rest);
  const double quotient = (a - rest) / b;
  return Value::real(std::floor(quotient) + (quotient - std::floor(quotient) > 0.5 ? 1 : 0));
}

Value loop_attribute(LoopState& loop, std::string_view name) {
  const auto n = static_cast<int64_t>(loop.items.size()), i = static_cast<int64_t>(loop.index);
  if (name == "index") return Value::integer(i + 1);
  if (name == "index0") return Value::integer(i);
  if (name == "revindex") return Value::integer(n - i);
  if (name == "revindex0") return Value::integer(n - i - 1);
  if (name == "first") return Value::boolean(i == 0);
  if (name == "last") return Value::boolean(i == n - 1);
  if (name == "length") return Value::integer(n);
  if (name == "depth") return Value::integer(loop.depth);
  if (name == "depth0") return Value::integer(loop.depth - 1);
  if (name == "previtem") return i > 0 ? loop.items[loop.index - 1] : Value::undefined("there is no previous item");
  if (name == "nextitem") return i + 1 < n ? loop.items[loop.index + 1] : Value::undefined("there is no next item");
  return {};
}

// object.method without its call.
struct BoundMethod final : Callable {
  BoundMethod(Value o, Filter m) : object(std::move(o)), method(m) {}
  Value call(Interpreter& interpreter, const Arguments& arguments) const override {
    return method(interpreter, object, arguments);
  }
  Value object;
  Filter method;
};

Value repeat(const Value& sequence, int64_t times, Interpreter& interpreter) {
  times = std::max<int64_t>(times, 0);
  if (sequence.is_string()) {
    const std::string& text = sequence.as_string();
    Interpreter::require_text(static_cast<double>(text.size()) * static_cast<double>(times));
    std::string out;
    out.reserve(text.size() * static_cast<size_t>(times));
    if (!text.empty())
      for (int64_t i = 0; i < times; ++i) out += text;
    return Value::string(std::move(out));
  }
  const auto& items = sequence.as_list().items;
  if (items.empty()) return sequence;
  if (times > kMaxSteps) raise("a list that long");
  interpreter.charge(4 * times * static_cast<int64_t>(std::min<size_t>(items.size(), 1000)));
  std::vector<Value> out;
  for (int64_t i = 0; i < times; ++i) {
    interpreter.charge(static_cast<int64_t>(items.size()));
    out.insert(out.end(), items.begin(), items.end());
  }
  return Value::list(std::move(out), sequence.as_list().kind);
}

bool is_sequence(const Value& v) {
  return v.is_string() ||
         (v.is_list() && (v.as_list().kind == ListKind::kList || v.as_list().kind == ListKind::kTuple));
}

}  // namespace

Value Interpreter::binary(std::string_view op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return integers(op, a.as_integral(), b.as_integral());
  if (a.is_number() && b.is_number()) return reals(op, a.as_number(), b.as_number());
  Value out;
  if (op == "+" && a.is_string() && b.is_string()) {
    require_text(static_cast<double>(a.as_string().size()) + static_cast<double>(b.as_string().size()));
    out = Value::string(a.as_string() + b.as_string());
  } else if (op == "+" && is_sequence(a) && is_sequence(b) && a.is_list() && b.is_list() &&
             a.as_list().kind == b.as_list().kind) {
    std::vector<Value> items = a.as_list().items;
    items.insert(items.end(), b.as_list().items.begin(), b.as_list().items.end());
    out = Value::list(std::move(items), a.as_list().kind);
  } else if (op == "*" && is_sequence(a) && b.is_integral()) {
    out = repeat(a, b.as_integral(), *this);
  } else if (op == "*" && is_sequence(b) && a.is_integral()) {
    out = repeat(b, a.as_integral(), *this);
  } else if (op == "%" && a.is_string()) {
    out = Value::string(percent_format(a.as_string(), b));
  } else {
    no_operator(op, a, b);
  }
  charge(out);
  return out;
}

bool Interpreter::contains(const Value& container, const Value& item) const {
  if (container.is_undefined()) return false;
  if (container.is_string()) {
    if (!item.is_string()) no_operator("in", item, container);
    return container.as_string().find(item.as_string()) != std::string::npos;
  }
  if (container.is_dict()) return container.as_dict().find(item) != nullptr;
  if (container.is_list()) {
    const auto& items = container.as_list().items;
    return std::any_of(items.begin(), items.end(), [&](const Value& v) { return equal(v, item); });
  }
  raise(fmt::format("\"in\" a {} isn't possible", container.type_name()));
}

std::vector<Value> Interpreter::iterate(const Value& value) {
  std::vector<Value> out;
  if (value.is_undefined()) return out;
  if (value.is_list()) {
    out = value.as_list().items;
  } else if (value.is_dict()) {
    for (const auto& [key, item] : value.as_dict().items) out.push_back(key);
  } else if (value.is_string()) {
    charge(static_cast<int64_t>(value.as_string().size()));
    for (const auto c : to_code_points(value.as_string())) {
      std::string text;
      append_utf8(text, c);
      out.push_back(Value::string(std::move(text)));
    }
  } else {
    raise(fmt::format("a {} can't be iterated over", value.type_name()));
  }
  charge(static_cast<int64_t>(out.size()));
  return out;
}

Value Interpreter::item(const Value& object, const Value& key) const {
  if (object.is_undefined()) raise(object.undefined_reason());
  if (object.is_dict()) {
    if (const Value* found = object.as_dict().find(key)) return *found;
  } else if (key.is_integral() && is_sequence(object)) {
    int64_t i = key.as_integral();
    if (object.is_string()) {
      const auto text = to_code_points(object.as_string());
      if (i < 0) i += static_cast<int64_t>(text.size());
      if (i >= 0 && i < static_cast<int64_t>(text.size()))
        return Value::string(to_utf8({text[static_cast<size_t>(i)]}));
    } else {
      const auto& items = object.as_list().items;
      if (i < 0) i += static_cast<int64_t>(items.size());
      if (i >= 0 && i < static_cast<int64_t>(items.size())) return items[static_cast<size_t>(i)];
    }
  }
  if (key.is_string()) return attribute(object, key.as_string());
  return Value::undefined(fmt::format("a {} has no item of that key", object.type_name()));
}

Value Interpreter::attribute(const Value& object, std::string_view name) const {
  if (object.is_loop())
    if (Value found = loop_attribute(object.as_loop(), name);
        !found.is_undefined() || name == "previtem" || name == "nextitem")
      return found;
  if (object.is_namespace())
    if (const Value* found = object.as_namespace().find(name)) return *found;
  if (is_mutator(object, name))
    raise(fmt::format("the method \"{}\" changes its {}, which a template may not", name, object.type_name()));
  if (const Filter method = find_method(object, name))
    return Value(std::make_shared<const BoundMethod>(object, method));
  return Value::undefined(fmt::format("a {} has no such attribute", object.type_name()));
}

Value Interpreter::apply_filter(std::string_view name, const Value& self, const Arguments& arguments) {
  const Filter filter = find_filter(name);
  if (filter == nullptr) unsupported(fmt::format("the filter \"{}\" isn't known here", name));
  Value out = filter(*this, self, arguments);
  charge(out);
  return out;
}

bool Interpreter::apply_test(std::string_view name, const Value& self, const Arguments& arguments) {
  const Test test = find_test(name);
  if (test == nullptr) unsupported(fmt::format("the test \"{}\" isn't known here", name));
  charge(1);
  return test(*this, self, arguments);
}

// ---- arguments of built-ins

ArgReader::ArgReader(std::string_view callee, const Arguments& arguments, std::initializer_list<std::string_view> names)
    : callee_(callee), names_(names), values_(names.size(), nullptr) {
  if (arguments.positional.size() > names.size())
    raise(fmt::format("\"{}\" takes at most {} arguments, got {}", callee, names.size(), arguments.positional.size()));
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) raise(fmt::format("\"{}\" takes no argument \"{}\"", callee, name));
    const Value*& slot = values_[static_cast<size_t>(at - names.begin())];
    if (slot != nullptr) raise(fmt::format("\"{}\" got \"{}\" twice", callee, name));
    slot = &value;
  }
}

const Value& ArgReader::want(size_t i) const {
  if (values_[i] == nullptr) raise(fmt::format("\"{}\" needs \"{}\"", callee_, names_[i]));
  return *values_[i];
}

bool ArgReader::flag(size_t i, bool otherwise) const {
  return values_[i] == nullptr ? otherwise : values_[i]->truthy();
}

int64_t ArgReader::integer(size_t i, int64_t otherwise) const {
  if (values_[i] == nullptr) return otherwise;
  if (!values_[i]->is_integral())
    raise(fmt::format("\"{}\" of \"{}\" must be an integer, not {}", names_[i], callee_, values_[i]->type_name()));
  return values_[i]->as_integral();
}

std::string_view ArgReader::text(size_t i, std::string_view otherwise) const {
  if (values_[i] == nullptr) return otherwise;
  if (!values_[i]->is_string())
    raise(fmt::format("\"{}\" of \"{}\" must be a str, not {}", names_[i], callee_, values_[i]->type_name()));
  return values_[i]->as_string();
}

}  // namespace slm::text::jinja
