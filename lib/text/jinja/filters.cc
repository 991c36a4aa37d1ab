// Jinja's built-in filters: `x | NAME`.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/builtins.h"
#include "text/unicode.h"

namespace slm::text::jinja {
namespace {

using I = Interpreter;
using V = Value;
using A = Arguments;

Value text_value(std::string_view text) { return Value::string(std::string(text)); }
Value generator(std::vector<Value> items) { return Value::list(std::move(items), ListKind::kGenerator); }

// ---- text

Value indent(I&, const V& v, const A& a) {
  const ArgReader args("indent", a, {"width", "first", "blank"});
  std::string pad;
  if (args.get(0) != nullptr && args.get(0)->is_string()) {
    pad = args.get(0)->as_string();
  } else {
    const int64_t width = args.integer(0, 4);
    I::require_text(static_cast<double>(width));
    pad.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool blank = args.flag(2, false);
  const auto lines = split_lines(to_text(v) + "\n", false);
  I::require_text(static_cast<double>(lines.size()) * static_cast<double>(pad.size()));
  std::string out = args.flag(1, false) ? pad : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out += '\n';
      if (blank || !lines[i].empty()) out += pad;
    }
    out += lines[i];
  }
  return Value::string(std::move(out));
}

// Upper case at the start of words, which begin after white space, "-", "(", "{", "[" and "<".
Value title(I&, const V& v, const A& a) {
  ArgReader("title", a, {});
  std::string out;
  bool at_start = true;
  for (const char32_t c : to_code_points(to_text(v))) {
    const bool separates = is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    append_utf8(out, separates ? c : at_start ? upper_of(c) : lower_of(c));
    at_start = separates;
  }
  return Value::string(std::move(out));
}

Value trim(I&, const V& v, const A& a) {
  const ArgReader args("trim", a, {"chars"});
  return text_value(strip(to_text(v), args.get(0), true, true));
}

Value replace(I&, const V& v, const A& a) {
  const ArgReader args("replace", a, {"old", "new", "count"});
  const int64_t count = args.get(2) == nullptr || args.get(2)->is_none() ? -1 : args.integer(2, -1);
  return Value::string(replace_text(to_text(v), to_text(args.want(0)), to_text(args.want(1)), count));
}

Value format_filter(I&, const V& v, const A& a) {
  if (!a.named.empty()) {
    if (!a.positional.empty()) raise("\"format\" takes positional or named arguments, not both");
    std::vector<std::pair<Value, Value>> items;
    for (const auto& [name, value] : a.named) items.emplace_back(Value::string(name), value);
    return Value::string(percent_format(to_text(v), Value::dict(std::move(items))));
  }
  return Value::string(percent_format(to_text(v), Value::list(a.positional, ListKind::kTuple)));
}

Value wordcount(I&, const V& v, const A& a) {
  ArgReader("wordcount", a, {});
  int64_t n = 0;
  bool inside = false;
  for (const char32_t c : to_code_points(to_text(v))) {
    const bool word = c == '_' || (c < 0x80 ? (c >= '0' && c <= '9') || is_cased(c) : !is_space(c) && is_printable(c));
    n += word && !inside;
    inside = word;
  }
  return Value::integer(n);
}

Value to_json(I&, const V& v, const A& a) {
  const ArgReader args("tojson", a, {"ensure_ascii", "indent", "separators", "sort_keys"});
  if (v.is_undefined()) raise(v.undefined_reason());
  JsonStyle style;
  style.ensure_ascii = args.flag(0, false);
  if (const Value* indent = args.get(1); indent != nullptr && !indent->is_none()) {
    style.pretty = true;
    style.item_separator = ",";
    if (indent->is_string()) {
      style.indent = indent->as_string();
    } else {
      const int64_t n = args.integer(1, 0);
      I::require_text(static_cast<double>(n) * 1024);
      style.indent.assign(static_cast<size_t>(std::max<int64_t>(n, 0)), ' ');
    }
  }
  if (const Value* separators = args.get(2); separators != nullptr && !separators->is_none()) {
    if (!separators->is_list() || separators->as_list().items.size() != 2)
      raise("\"separators\" of \"tojson\" must be two texts");
    style.item_separator = to_text(separators->as_list().items[0]);
    style.key_separator = to_text(separators->as_list().items[1]);
  }
  style.sort_keys = args.flag(3, false);
  return Value::string(dump_json(v, style));
}

// ---- numbers

// int(text, base) of Python; false if it isn't one.
bool parse_int(std::string_view text, int64_t base, int64_t& out) {
  text = strip(text, nullptr, true, true);
  std::string digits;
  for (const char c : text)
    if (c != '_') digits += c;
  if (digits.empty()) return false;
  char* end = nullptr;
  errno = 0;
  out = std::strtoll(digits.c_str(), &end, static_cast<int>(base));
  return errno == 0 && end == digits.c_str() + digits.size();
}

bool parse_float(std::string_view text, double& out) {
  const std::string trimmed(strip(text, nullptr, true, true));
  if (trimmed.empty() || trimmed.find_first_of("xX") != std::string::npos) return false;
  char* end = nullptr;
  out = std::strtod(trimmed.c_str(), &end);
  return end == trimmed.c_str() + trimmed.size();
}

Value to_int(I&, const V& v, const A& a) {
  const ArgReader args("int", a, {"default", "base"});
  if (v.is_undefined()) raise(v.undefined_reason());
  if (v.is_integral()) return Value::integer(v.as_integral());
  double number = 0;
  bool is_number = false;
  if (v.is_string()) {
    int64_t out = 0;
    if (parse_int(v.as_string(), args.integer(1, 10), out)) return Value::integer(out);
    is_number = parse_float(v.as_string(), number);
  } else if (v.is_float()) {
    number = v.as_number();
    is_number = true;
  }
  if (is_number && std::abs(number) < 9.2e18) return Value::integer(static_cast<int64_t>(number));
  return args.get(0) == nullptr ? Value::integer(0) : *args.get(0);
}

Value to_float(I&, const V& v, const A& a) {
  const ArgReader args("float", a, {"default"});
  if (v.is_undefined()) raise(v.undefined_reason());
  if (v.is_number()) return Value::real(v.as_number());
  double out = 0;
  if (v.is_string() && parse_float(v.as_string(), out)) return Value::real(out);
  return args.get(0) == nullptr ? Value::real(0) : *args.get(0);
}

Value absolute(I& i, const V& v, const A& a) {
  ArgReader("abs", a, {});
  if (v.is_undefined()) raise(v.undefined_reason());
  if (!v.is_number()) raise(fmt::format("a {} has no absolute value", v.type_name()));
  if (v.is_float()) return Value::real(std::abs(v.as_number()));
  return v.as_integral() < 0 ? i.binary("-", Value::integer(0), v) : Value::integer(v.as_integral());
}

Value round(I&, const V& v, const A& a) {
  const ArgReader args("round", a, {"precision", "method"});
  const int64_t precision = args.integer(0, 0);
  const std::string_view method = args.text(1, "common");
  if (v.is_undefined()) raise(v.undefined_reason());
  if (!v.is_number()) raise(fmt::format("a {} can't be rounded", v.type_name()));
  if (precision < 0 || precision > 300) unsupported("\"round\" with a precision outside of 0 to 300");
  if (method == "common") {
    if (v.is_integral()) return Value::integer(v.as_integral());
    // Rounds the exact binary value, ties to even, as Python does.
    return Value::real(std::strtod(fmt::format("{:.{}f}", v.as_number(), precision).c_str(), nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value::real(std::ceil(v.as_number() * scale) / scale);
  if (method == "floor") return Value::real(std::floor(v.as_number() * scale) / scale);
  raise("\"method\" of \"round\" must be common, ceil or floor");
}

// ---- lists and dicts

// What `attribute='a.b.0'` gets from an item.
Value path_of(const I& i, const V& item, const V* path, const V* otherwise = nullptr) {
  if (path == nullptr || path->is_none()) return item;
  if (path->is_integral()) return i.item(item, *path);
  if (!path->is_string()) raise("\"attribute\" must be a str or an int");
  Value at = item;
  const std::string& text = path->as_string();
  for (size_t from = 0; from <= text.size();) {
    const size_t dot = std::min(text.find('.', from), text.size());
    const std::string part = text.substr(from, dot - from);
    const bool digits = !part.empty() && part.size() < 10 &&
                        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    at = i.item(at, digits ? Value::integer(std::stoll(part)) : Value::string(part));
    if (at.is_undefined()) {
      if (otherwise != nullptr)
        at = *otherwise;
      else
        at = Value::undefined(fmt::format("a {} has no attribute '{}'", item.type_name(), text));
    }
    from = dot + 1;
  }
  return at;
}

Value folded(const Value& v, bool case_sensitive) {
  return !case_sensitive && v.is_string() ? Value::string(to_lower(v.as_string())) : v;
}

// Items with the key each is ordered by, in order; stable, also when reversed.
std::vector<Value> sorted(std::vector<std::pair<Value, Value>> keyed, bool reverse) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? less(b.first, a.first) : less(a.first, b.first);
  });
  std::vector<Value> out;
  for (auto& [key, item] : keyed) out.push_back(std::move(item));
  return out;
}

Value sort(I& i, const V& v, const A& a) {
  const ArgReader args("sort", a, {"reverse", "case_sensitive", "attribute"});
  std::vector<std::pair<Value, Value>> keyed;
  std::vector<Value> paths;  // of several attributes, "a,b"
  if (const Value* attribute = args.get(2); attribute != nullptr && attribute->is_string()) {
    const std::string& text = attribute->as_string();
    for (size_t from = 0; from <= text.size();) {
      const size_t comma = std::min(text.find(',', from), text.size());
      paths.push_back(Value::string(text.substr(from, comma - from)));
      from = comma + 1;
    }
  } else if (attribute != nullptr) {
    paths.push_back(*attribute);
  } else {
    paths.push_back(Value::none());
  }
  for (auto& item : i.iterate(v)) {
    std::vector<Value> key;
    for (const auto& path : paths) key.push_back(folded(path_of(i, item, &path), args.flag(1, false)));
    keyed.emplace_back(Value::list(std::move(key)), item);
  }
  return Value::list(sorted(std::move(keyed), args.flag(0, false)));
}

Value dictsort(I&, const V& v, const A& a) {
  const ArgReader args("dictsort", a, {"case_sensitive", "by", "reverse"});
  const std::string_view by = args.text(1, "key");
  if (by != "key" && by != "value") raise("\"by\" of \"dictsort\" must be key or value");
  if (v.is_undefined()) raise(v.undefined_reason());
  if (!v.is_dict()) raise(fmt::format("\"dictsort\" needs a dict, not a {}", v.type_name()));
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, value] : v.as_dict().items)
    keyed.emplace_back(folded(by == "key" ? key : value, args.flag(0, false)),
                       Value::list({key, value}, ListKind::kTuple));
  return Value::list(sorted(std::move(keyed), args.flag(2, false)));
}

Value unique(I& i, const V& v, const A& a) {
  const ArgReader args("unique", a, {"case_sensitive", "attribute"});
  std::vector<Value> out, seen;
  for (auto& item : i.iterate(v)) {
    Value key = folded(path_of(i, item, args.get(1)), args.flag(0, false));
    i.charge(static_cast<int64_t>(seen.size()));
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& s) { return equal(s, key); })) continue;
    seen.push_back(std::move(key));
    out.push_back(std::move(item));
  }
  return generator(std::move(out));
}

template <bool kMax>
Value extreme(I& i, const V& v, const A& a) {
  const ArgReader args(kMax ? "max" : "min", a, {"case_sensitive", "attribute"});
  Value best, best_key;
  bool first = true;
  for (auto& item : i.iterate(v)) {
    Value key = folded(path_of(i, item, args.get(1)), args.flag(0, false));
    if (first || (kMax ? less(best_key, key) : less(key, best_key))) {
      best = std::move(item);
      best_key = std::move(key);
    }
    first = false;
  }
  return first ? Value::undefined("the sequence is empty") : best;
}

Value sum(I& i, const V& v, const A& a) {
  const ArgReader args("sum", a, {"attribute", "start"});
  Value total = args.get(1) == nullptr ? Value::integer(0) : *args.get(1);
  for (const auto& item : i.iterate(v)) total = i.binary("+", total, path_of(i, item, args.get(0)));
  return total;
}

Value join(I& i, const V& v, const A& a) {
  const ArgReader args("join", a, {"d", "attribute"});
  const std::string separator = args.get(0) == nullptr ? "" : to_text(*args.get(0));
  std::string out;
  bool first = true;
  for (const auto& item : i.iterate(v)) {
    const std::string text = to_text(path_of(i, item, args.get(1)));
    if (!first) out += separator;
    first = false;
    I::require_text(static_cast<double>(out.size()) + static_cast<double>(text.size()));
    out += text;
  }
  return Value::string(std::move(out));
}

Value map(I& i, const V& v, const A& a) {
  std::vector<Value> out;
  if (a.positional.empty()) {
    const ArgReader args("map", a, {"attribute", "default"});
    const Value* otherwise = args.get(1) != nullptr && args.get(1)->is_none() ? nullptr : args.get(1);
    args.want(0);
    for (const auto& item : i.iterate(v)) out.push_back(path_of(i, item, args.get(0), otherwise));
  } else {
    if (!a.positional[0].is_string()) raise("\"map\" needs the name of a filter");
    const Arguments rest{{a.positional.begin() + 1, a.positional.end()}, a.named};
    for (const auto& item : i.iterate(v)) out.push_back(i.apply_filter(a.positional[0].as_string(), item, rest));
  }
  return generator(std::move(out));
}

template <bool kKeep, bool kByAttribute>
Value choose(I& i, const V& v, const A& a) {
  const size_t skip = kByAttribute ? 1 : 0;
  if (a.positional.size() < skip) raise("\"selectattr\" and \"rejectattr\" need an attribute");
  const bool has_test = a.positional.size() > skip;
  if (has_test && !a.positional[skip].is_string()) raise("\"select\" and \"reject\" need the name of a test");
  Arguments rest;
  if (has_test)
    rest.positional.assign(a.positional.begin() + static_cast<std::ptrdiff_t>(skip) + 1, a.positional.end());
  rest.named = a.named;
  std::vector<Value> out;
  for (auto& item : i.iterate(v)) {
    const Value looked_at = kByAttribute ? path_of(i, item, &a.positional[0]) : item;
    const bool holds = has_test ? i.apply_test(a.positional[skip].as_string(), looked_at, rest) : looked_at.truthy();
    if (holds == kKeep) out.push_back(std::move(item));
  }
  return generator(std::move(out));
}

Value length(I&, const V& v, const A& a) {
  ArgReader("length", a, {});
  if (v.is_undefined()) return Value::integer(0);
  if (v.is_string()) return Value::integer(static_cast<int64_t>(count_code_points(v.as_string())));
  if (v.is_dict()) return Value::integer(static_cast<int64_t>(v.as_dict().items.size()));
  if (v.is_list() && v.as_list().kind != ListKind::kGenerator)
    return Value::integer(static_cast<int64_t>(v.as_list().items.size()));
  raise(fmt::format("a {} has no length", v.type_name()));
}

Value first(I& i, const V& v, const A& a) {
  ArgReader("first", a, {});
  auto items = i.iterate(v);
  return items.empty() ? Value::undefined("the sequence is empty") : items.front();
}

Value last(I& i, const V& v, const A& a) {
  ArgReader("last", a, {});
  if (v.is_list() && v.as_list().kind == ListKind::kGenerator) raise("\"last\" of a generator (use |list first)");
  auto items = i.iterate(v);
  return items.empty() ? Value::undefined("the sequence is empty") : items.back();
}

Value reverse(I& i, const V& v, const A& a) {
  ArgReader("reverse", a, {});
  auto items = i.iterate(v);
  std::reverse(items.begin(), items.end());
  if (!v.is_string()) return generator(std::move(items));
  std::string out;
  for (const auto& item : items) out += item.as_string();
  return Value::string(std::move(out));
}

Value items(I&, const V& v, const A& a) {
  ArgReader("items", a, {});
  std::vector<Value> out;
  if (!v.is_undefined()) {
    if (!v.is_dict()) raise(fmt::format("\"items\" needs a dict, not a {}", v.type_name()));
    for (const auto& [key, value] : v.as_dict().items) out.push_back(Value::list({key, value}, ListKind::kTuple));
  }
  return generator(std::move(out));
}

Value batch(I& i, const V& v, const A& a) {
  const ArgReader args("batch", a, {"linecount", "fill_with"});
  args.want(0);
  const int64_t n = args.integer(0, 1);
  if (n < 1) raise("\"linecount\" of \"batch\" must be at least 1");
  std::vector<Value> out, row;
  for (auto& item : i.iterate(v)) {
    row.push_back(std::move(item));
    if (static_cast<int64_t>(row.size()) == n) out.push_back(Value::list(std::exchange(row, {})));
  }
  if (!row.empty()) {
    if (args.get(1) != nullptr && !args.get(1)->is_none()) {
      i.charge(n);
      row.resize(static_cast<size_t>(n), *args.get(1));
    }
    out.push_back(Value::list(std::move(row)));
  }
  return generator(std::move(out));
}

Value otherwise(I&, const V& v, const A& a) {
  const ArgReader args("default", a, {"default_value", "boolean"});
  if (!v.is_undefined() && !(args.flag(1, false) && !v.truthy())) return v;
  return args.get(0) == nullptr ? Value::string("") : *args.get(0);
}

struct FilterRow {
  std::string_view name;
  Filter filter;
};
constexpr FilterRow kFilters[] = {
    {"abs", absolute},
    {"batch", batch},
    {"capitalize",
     [](I&, const V& v, const A& a) { return ArgReader("capitalize", a, {}), Value::string(capitalize(to_text(v))); }},
    {"count", length},
    {"d", otherwise},
    {"default", otherwise},
    {"dictsort", dictsort},
    {"first", first},
    {"float", to_float},
    {"format", format_filter},
    {"indent", indent},
    {"int", to_int},
    {"items", items},
    {"join", join},
    {"last", last},
    {"length", length},
    {"list", [](I& i, const V& v, const A& a) { return ArgReader("list", a, {}), Value::list(i.iterate(v)); }},
    {"lower",
     [](I&, const V& v, const A& a) { return ArgReader("lower", a, {}), Value::string(to_lower(to_text(v))); }},
    {"map", map},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reject", choose<false, false>},
    {"rejectattr", choose<false, true>},
    {"replace", replace},
    {"reverse", reverse},
    {"round", round},
    {"safe", [](I&, const V& v, const A& a) { return ArgReader("safe", a, {}), Value::string(to_text(v)); }},
    {"select", choose<true, false>},
    {"selectattr", choose<true, true>},
    {"sort", sort},
    {"string", [](I&, const V& v, const A& a) { return ArgReader("string", a, {}), Value::string(to_text(v)); }},
    {"sum", sum},
    {"title", title},
    {"tojson", to_json},
    {"trim", trim},
    {"unique", unique},
    {"upper",
     [](I&, const V& v, const A& a) { return ArgReader("upper", a, {}), Value::string(to_upper(to_text(v))); }},
    {"wordcount", wordcount},
};

}  // namespace

Filter find_filter(std::string_view name) {
  const auto* row =
      std::find_if(std::begin(kFilters), std::end(kFilters), [&](const auto& r) { return r.name == name; });
  return row == std::end(kFilters) ? nullptr : row->filter;
}

}  // namespace slm::text::jinja
