#include "score/tool_check.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

namespace slm::score {
namespace {

struct Call {
  std::string name;
  json::object arguments;
};

// The calls of a message; nothing where one of them has no name or its arguments aren't an object.
std::optional<std::vector<Call>> calls_of(const json::object& message) {
  std::vector<Call> out;
  const json::array* list = get_array(message, "tool_calls");
  if (!list) return out;
  for (const auto& item : *list) {
    const json::object* function = item.is_object() ? get_object(item.get_object(), "function") : nullptr;
    if (!function || get_string(*function, "name").empty()) return std::nullopt;
    Call call;
    call.name = std::string(get_string(*function, "name"));
    if (const json::object* arguments = get_object(*function, "arguments")) {
      call.arguments = *arguments;
    } else {
      auto parsed = parse_json(get_string(*function, "arguments", "{}"));
      if (!parsed || !parsed->is_object()) return std::nullopt;
      call.arguments = std::move(parsed->get_object());
    }
    out.push_back(std::move(call));
  }
  return out;
}

std::string with_underscores(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '.', '_');
  return out;
}

// The definition's inner object: {name, parameters}.
const json::object* find_function(const json::array& functions, std::string_view name) {
  for (const auto& item : functions) {
    const json::object* function = item.if_object();
    if (!function) continue;
    if (const json::object* inner = get_object(*function, "function")) function = inner;
    if (with_underscores(get_string(*function, "name")) == with_underscores(name)) return function;
  }
  return nullptr;
}

bool type_fits(const json::value& value, std::string_view type) {
  if (type == "string") return value.is_string();
  if (type == "integer") return value.is_int64() || value.is_uint64();
  if (type == "float" || type == "number") return value.is_number();
  if (type == "boolean") return value.is_bool();
  if (type == "array" || type == "tuple") return value.is_array();
  if (type == "dict" || type == "object") return value.is_object();
  return true;
}

bool same_sort(const json::value& a, const json::value& b) {
  if (a.is_number() && b.is_number()) return a.is_double() == b.is_double();
  return a.kind() == b.kind();
}

bool is_text(const json::value& value, std::string_view text) {
  return value.is_string() && std::string_view(value.get_string()) == text;
}

// May be left out: "" is among the accepted values.
bool is_optional(const json::value& accepted) {
  const json::array* values = accepted.if_array();
  return values && std::any_of(values->begin(), values->end(), [](const json::value& v) { return is_text(v, ""); });
}

std::string plain(std::string_view text) {
  constexpr std::string_view kLeftOut = " ,./-_*^";
  std::string out;
  for (char c : text) {
    if (kLeftOut.find(c) != std::string_view::npos) continue;
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    out += c == '\'' ? '"' : c;
  }
  return out;
}

bool value_passes(const json::value& value, const json::value& accepted);

bool any_passes(const json::value& value, const json::value& accepted) {
  const json::array* values = accepted.if_array();
  if (!values) return value_passes(value, accepted);
  return std::any_of(values->begin(), values->end(), [&](const json::value& v) { return value_passes(value, v); });
}

bool object_passes(const json::object& value, const json::object& accepted) {
  for (const auto& field : value) {
    const json::value* wanted = accepted.if_contains(field.key());
    if (!wanted || !any_passes(field.value(), *wanted)) return false;
  }
  return std::all_of(accepted.begin(), accepted.end(),
                     [&](const auto& field) { return value.contains(field.key()) || is_optional(field.value()); });
}

bool value_passes(const json::value& value, const json::value& accepted) {
  if (value.is_string() && accepted.is_string())
    return plain(std::string_view(value.get_string())) == plain(std::string_view(accepted.get_string()));
  if (value.is_number() && accepted.is_number()) return value.to_number<double>() == accepted.to_number<double>();
  if (value.is_object() && accepted.is_object()) return object_passes(value.get_object(), accepted.get_object());
  if (value.is_array() && accepted.is_array()) {
    const json::array &a = value.get_array(), &b = accepted.get_array();
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), value_passes);
  }
  return value == accepted;
}

ToolCheck check_parameter(std::string_view name, const json::value& value, const json::object& schema,
                          const json::value& accepted) {
  const json::array* values = accepted.if_array();
  const bool shown = values && std::any_of(values->begin(), values->end(), [&](const json::value& v) {
                       return !is_text(v, "") && same_sort(v, value);
                     });
  if (!shown && !type_fits(value, get_string(schema, "type"))) return {ToolFault::kWrongType, std::string(name)};
  if (value.is_array()) {
    const json::object* items = get_object(schema, "items");
    const std::string_view item_type = items ? get_string(*items, "type") : std::string_view();
    for (const auto& item : value.get_array())
      if (!shown && !type_fits(item, item_type)) return {ToolFault::kWrongType, std::string(name)};
  }
  if (!any_passes(value, accepted)) return {ToolFault::kWrongValue, std::string(name)};
  return {};
}

ToolCheck check_call(const json::array& functions, const json::object& accepted, const Call& call) {
  if (accepted.empty()) return {ToolFault::kWrongName, call.name};
  const std::string_view name = accepted.begin()->key();
  if (with_underscores(name) != with_underscores(call.name)) return {ToolFault::kWrongName, call.name};
  const json::object* function = find_function(functions, name);
  if (!function) return {ToolFault::kWrongName, call.name};
  const json::object* wanted = accepted.begin()->value().if_object();
  const json::object* parameters = get_object(*function, "parameters");
  const json::object* properties = parameters ? get_object(*parameters, "properties") : nullptr;
  const json::array* required = parameters ? get_array(*parameters, "required") : nullptr;
  if (required)
    for (const auto& item : *required)
      if (item.is_string() && !call.arguments.contains(item.get_string()))
        return {ToolFault::kMissingRequired, std::string(item.get_string())};
  for (const auto& argument : call.arguments) {
    const json::object* schema = properties ? get_object(*properties, argument.key()) : nullptr;
    const json::value* values = wanted ? wanted->if_contains(argument.key()) : nullptr;
    if (!schema || !values) return {ToolFault::kUnexpectedParameter, std::string(argument.key())};
    if (ToolCheck check = check_parameter(argument.key(), argument.value(), *schema, *values); !check.ok())
      return check;
  }
  if (wanted)
    for (const auto& field : *wanted)
      if (!call.arguments.contains(field.key()) && !is_optional(field.value()))
        return {ToolFault::kMissingOptional, std::string(field.key())};
  return {};
}

// Kuhn's augmenting paths: can every call be given an accepted one of its own?
bool all_paired(const std::vector<std::vector<bool>>& passes) {
  const size_t n = passes.size();
  std::vector<size_t> owner(n, n);  // accepted → call
  for (size_t call = 0; call < n; ++call) {
    std::vector<bool> tried(n);
    const std::function<bool(size_t)> place = [&](size_t c) {
      for (size_t a = 0; a < n; ++a) {
        if (!passes[c][a] || tried[a]) continue;
        tried[a] = true;
        if (owner[a] == n || place(owner[a])) {
          owner[a] = c;
          return true;
        }
      }
      return false;
    };
    if (!place(call)) return false;
  }
  return true;
}

}  // namespace

std::string_view fault_name(ToolFault fault) {
  switch (fault) {
    case ToolFault::kNone:
      return "none";
    case ToolFault::kWrongCount:
      return "wrong_count";
    case ToolFault::kWrongName:
      return "wrong_name";
    case ToolFault::kMissingRequired:
      return "missing_required";
    case ToolFault::kUnexpectedParameter:
      return "unexpected_parameter";
    case ToolFault::kWrongType:
      return "wrong_type";
    case ToolFault::kWrongValue:
      return "wrong_value";
    case ToolFault::kMissingOptional:
      return "missing_optional";
    case ToolFault::kNoMatch:
      return "no_match";
  }
  return "none";
}

ToolCheck check_tool_calls(const json::array& functions, const json::array& accepted, const json::object& answer) {
  const auto calls = calls_of(answer);
  if (!calls || calls->size() != accepted.size()) return {ToolFault::kWrongCount, ""};
  static const json::object kNothing;
  const auto wanted = [&](size_t i) -> const json::object& {
    return accepted[i].is_object() ? accepted[i].get_object() : kNothing;
  };
  if (calls->size() == 1) return check_call(functions, wanted(0), calls->front());
  std::vector<std::vector<bool>> passes(calls->size(), std::vector<bool>(calls->size()));
  for (size_t c = 0; c < calls->size(); ++c)
    for (size_t a = 0; a < accepted.size(); ++a) passes[c][a] = check_call(functions, wanted(a), (*calls)[c]).ok();
  return all_paired(passes) ? ToolCheck() : ToolCheck{ToolFault::kNoMatch, ""};
}

}  // namespace slm::score
