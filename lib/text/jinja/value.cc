#include "text/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace slm::text::jinja {

void raise(const std::string& what) { throw TemplateError(ErrorCode::kBadInput, what); }
void unsupported(const std::string& what) { throw TemplateError(ErrorCode::kUnsupportedModel, what); }

namespace {

void check_depth(int depth) {
  if (depth > kMaxValueDepth) raise(fmt::format("lists and dicts nest deeper than {}", kMaxValueDepth));
}

// Python compares an int with a float exactly; a double holds every int up to 2^53.
int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    const int64_t x = a.as_integral(), y = b.as_integral();
    return x < y ? -1 : x > y ? 1 : 0;
  }
  const long double x =
      a.is_float() ? static_cast<long double>(a.as_number()) : static_cast<long double>(a.as_integral());
  const long double y =
      b.is_float() ? static_cast<long double>(b.as_number()) : static_cast<long double>(b.as_integral());
  return x < y ? -1 : x > y ? 1 : 0;
}

bool is_nan(const Value& v) { return v.is_float() && std::isnan(v.as_number()); }

}  // namespace

Value Value::undefined(std::string what) {
  return Value(Data(Undefined{std::make_shared<const std::string>(std::move(what))}));
}

Value Value::string(std::string v) { return Value(Data(std::make_shared<const std::string>(std::move(v)))); }

Value Value::list(std::vector<Value> items, ListKind kind) {
  auto object = std::make_shared<ListObject>();
  for (const auto& item : items) {
    require_storable(item);
    object->depth = std::max(object->depth, item.depth() + 1);
  }
  check_depth(object->depth);
  object->items = std::move(items);
  object->kind = kind;
  return Value(Data(ListPtr(std::move(object))));
}

Value Value::dict(std::vector<std::pair<Value, Value>> items, bool unique) {
  auto object = std::make_shared<DictObject>();
  object->items.reserve(items.size());
  for (auto& [key, value] : items) {
    if (key.is_dict() || (key.is_list() && key.as_list().kind != ListKind::kTuple) || key.is_undefined())
      raise(fmt::format("a {} can't be a key of a dict", key.type_name()));
    require_storable(key);
    require_storable(value);
    object->depth = std::max({object->depth, value.depth() + 1, key.depth() + 1});
    if (!unique)
      if (auto* known = const_cast<Value*>(object->find(key))) {
        *known = std::move(value);
        continue;
      }
    object->items.emplace_back(std::move(key), std::move(value));
  }
  check_depth(object->depth);
  return Value(Data(DictPtr(std::move(object))));
}

std::string Value::undefined_reason() const {
  const auto& what = std::get<Undefined>(data_).what;
  return what ? *what : "a value is undefined";
}

bool Value::truthy() const {
  if (is_bool()) return as_bool();
  if (is_int()) return as_integral() != 0;
  if (is_float()) return as_number() != 0;
  if (is_string()) return !as_string().empty();
  if (is_list()) return as_list().kind == ListKind::kGenerator || !as_list().items.empty();
  if (is_dict()) return !as_dict().items.empty();
  return !is_undefined() && !is_none();
}

const char* Value::type_name() const {
  if (is_undefined()) return "undefined value";
  if (is_none()) return "NoneType";
  if (is_bool()) return "bool";
  if (is_int()) return "int";
  if (is_float()) return "float";
  if (is_string()) return "str";
  if (is_dict()) return "dict";
  if (is_namespace()) return "namespace";
  if (is_loop()) return "loop";
  if (is_callable()) return "function";
  switch (as_list().kind) {
    case ListKind::kTuple:
      return "tuple";
    case ListKind::kGenerator:
      return "generator";
    case ListKind::kView:
      return "dict view";
    case ListKind::kList:
      break;
  }
  return "list";
}

int Value::depth() const { return is_list() ? as_list().depth : is_dict() ? as_dict().depth : 0; }

const Value* DictObject::find(const Value& key) const {
  if (key.is_string()) return find(std::string_view(key.as_string()));
  for (const auto& [k, v] : items)
    if (equal(k, key)) return &v;
  return nullptr;
}

const Value* DictObject::find(std::string_view key) const {
  for (const auto& [k, v] : items)
    if (k.is_string() && k.as_string() == key) return &v;
  return nullptr;
}

const Value* NamespaceObject::find(std::string_view key) const {
  for (const auto& [k, v] : items)
    if (k == key) return &v;
  return nullptr;
}

void NamespaceObject::set(std::string_view key, Value value) {
  require_storable(value);
  for (auto& [k, v] : items)
    if (k == key) {
      v = std::move(value);
      return;
    }
  items.emplace_back(std::string(key), std::move(value));
}

void require_storable(const Value& value) {
  if (value.is_namespace() || value.is_loop() || value.is_callable())
    unsupported(fmt::format("keeping a {} in a list, dict or namespace", value.type_name()));
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return !is_nan(a) && !is_nan(b) && compare_numbers(a, b) == 0;
  if (a.is_string() && b.is_string()) return a.as_string() == b.as_string();
  if (a.is_list() && b.is_list()) {
    const auto &x = a.as_list(), &y = b.as_list();
    return x.kind == y.kind && std::equal(x.items.begin(), x.items.end(), y.items.begin(), y.items.end(), equal);
  }
  if (a.is_dict() && b.is_dict()) {
    const auto &x = a.as_dict(), &y = b.as_dict();
    if (x.items.size() != y.items.size()) return false;
    return std::all_of(x.items.begin(), x.items.end(), [&](const auto& item) {
      const Value* other = y.find(item.first);
      return other != nullptr && equal(item.second, *other);
    });
  }
  if (a.is_namespace() && b.is_namespace()) return &a.as_namespace() == &b.as_namespace();
  if (a.is_callable() && b.is_callable()) return &a.as_callable() == &b.as_callable();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

bool less(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return !is_nan(a) && !is_nan(b) && compare_numbers(a, b) < 0;
  if (a.is_string() && b.is_string()) return a.as_string() < b.as_string();  // UTF-8 sorts as its code points
  if (a.is_list() && b.is_list() && a.as_list().kind == b.as_list().kind &&
      (a.as_list().kind == ListKind::kList || a.as_list().kind == ListKind::kTuple)) {
    const auto &x = a.as_list().items, &y = b.as_list().items;
    for (size_t i = 0; i < x.size() && i < y.size(); ++i)
      if (!equal(x[i], y[i])) return less(x[i], y[i]);
    return x.size() < y.size();
  }
  if (a.is_undefined()) raise(a.undefined_reason());
  if (b.is_undefined()) raise(b.undefined_reason());
  raise(fmt::format("{} and {} have no order", a.type_name(), b.type_name()));
}

Value from_json(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return Value::none();
    case json::kind::bool_:
      return Value::boolean(value.get_bool());
    case json::kind::int64:
      return Value::integer(value.get_int64());
    case json::kind::uint64: {
      const uint64_t v = value.get_uint64();
      if (v > static_cast<uint64_t>(INT64_MAX)) return Value::real(static_cast<double>(v));
      return Value::integer(static_cast<int64_t>(v));
    }
    case json::kind::double_:
      return Value::real(value.get_double());
    case json::kind::string:
      return Value::string(std::string(value.get_string()));
    case json::kind::array: {
      std::vector<Value> items;
      items.reserve(value.get_array().size());
      for (const auto& item : value.get_array()) items.push_back(from_json(item));
      return Value::list(std::move(items));
    }
    case json::kind::object:
      break;
  }
  std::vector<std::pair<Value, Value>> items;
  items.reserve(value.get_object().size());
  for (const auto& item : value.get_object())
    items.emplace_back(Value::string(std::string(item.key())), from_json(item.value()));
  return Value::dict(std::move(items), true);
}

}  // namespace slm::text::jinja
