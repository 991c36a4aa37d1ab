// Methods of str, list, dict and loop, and the global functions.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "text/jinja/builtins.h"
#include "text/unicode.h"

namespace slm::text::jinja {
namespace {

using I = Interpreter;
using V = Value;
using A = Arguments;

Value text_value(std::string_view text) { return Value::string(std::string(text)); }
Value text_list(std::vector<std::string> parts) {
  std::vector<Value> out;
  for (auto& part : parts) out.push_back(Value::string(std::move(part)));
  return Value::list(std::move(out));
}

// ---- str

template <bool kLeft, bool kRight>
Value strip_method(I&, const V& v, const A& a) {
  const ArgReader args("strip", a, {"chars"});
  const Value* chars = args.get(0) != nullptr && args.get(0)->is_none() ? nullptr : args.get(0);
  return text_value(strip(v.as_string(), chars, kLeft, kRight));
}

// Cuts at runs of white space, at most `limit` times; from_right makes the last cuts. What isn't cut keeps its spaces.
std::vector<std::string> split_space(std::string_view text, int64_t limit, bool from_right) {
  std::vector<std::string> out;
  std::string_view rest = strip(text, nullptr, !from_right, from_right);
  while (!rest.empty()) {
    if (limit >= 0 && static_cast<int64_t>(out.size()) == limit) {
      out.emplace_back(rest);
      break;
    }
    size_t begin = 0, end = 0;  // the next white space in rest
    bool found = false;
    for (size_t i = 0; i < rest.size();) {
      const auto c = code_point_at(rest, i);
      if (is_space(c.value)) {
        if (!found || from_right) begin = i, end = i + c.n_bytes;
        found = true;
        if (!from_right) break;
      }
      i += c.n_bytes;
    }
    if (!found) {
      out.emplace_back(rest);
      break;
    }
    out.emplace_back(from_right ? rest.substr(end) : rest.substr(0, begin));
    rest = strip(from_right ? rest.substr(0, begin) : rest.substr(end), nullptr, !from_right, from_right);
  }
  if (from_right) std::reverse(out.begin(), out.end());
  return out;
}

template <bool kFromRight>
Value split_method(I& i, const V& v, const A& a) {
  const ArgReader args(kFromRight ? "rsplit" : "split", a, {"sep", "maxsplit"});
  const int64_t limit = args.integer(1, -1);
  const std::string_view text = v.as_string();
  i.charge(static_cast<int64_t>(text.size() / 16));
  if (args.get(0) == nullptr || args.get(0)->is_none()) {
    if (kFromRight && limit < 0) return text_list(split_space(text, limit, false));
    return text_list(split_space(text, limit, kFromRight));
  }
  const std::string_view separator = args.text(0, "");
  if (separator.empty()) raise("\"split\" by an empty separator");
  std::vector<std::string> out;
  std::string_view rest = text;
  while (limit < 0 || static_cast<int64_t>(out.size()) < limit) {
    const size_t at = kFromRight ? rest.rfind(separator) : rest.find(separator);
    if (at == std::string_view::npos) break;
    if (kFromRight) {
      out.emplace_back(rest.substr(at + separator.size()));
      rest = rest.substr(0, at);
    } else {
      out.emplace_back(rest.substr(0, at));
      rest = rest.substr(at + separator.size());
    }
  }
  out.emplace_back(rest);
  if (kFromRight) std::reverse(out.begin(), out.end());
  return text_list(std::move(out));
}

template <bool kFromRight>
Value partition(I&, const V& v, const A& a) {
  const ArgReader args("partition", a, {"sep"});
  args.want(0);
  const std::string_view text = v.as_string(), separator = args.text(0, "");
  if (separator.empty()) raise("\"partition\" by an empty separator");
  const size_t at = kFromRight ? text.rfind(separator) : text.find(separator);
  std::vector<Value> out;
  if (at == std::string_view::npos) {
    out = kFromRight ? std::vector{text_value(""), text_value(""), v} : std::vector{v, text_value(""), text_value("")};
  } else {
    out = {text_value(text.substr(0, at)), text_value(separator), text_value(text.substr(at + separator.size()))};
  }
  return Value::list(std::move(out), ListKind::kTuple);
}

template <bool kStart>
Value has_affix(I& i, const V& v, const A& a) {
  const ArgReader args(kStart ? "startswith" : "endswith", a, {"prefix"});
  const auto holds = [&](const Value& affix) {
    if (!affix.is_string()) raise(fmt::format("startswith and endswith need a str, not a {}", affix.type_name()));
    const std::string_view text = v.as_string();
    return kStart ? text.starts_with(affix.as_string()) : text.ends_with(affix.as_string());
  };
  const Value& affix = args.want(0);
  if (!affix.is_list()) return Value::boolean(holds(affix));
  const auto items = i.iterate(affix);
  return Value::boolean(std::any_of(items.begin(), items.end(), holds));
}

template <bool kStart>
Value remove_affix(I&, const V& v, const A& a) {
  const ArgReader args(kStart ? "removeprefix" : "removesuffix", a, {"affix"});
  args.want(0);
  std::string_view text = v.as_string();
  const std::string_view affix = args.text(0, "");
  if (kStart ? text.starts_with(affix) : text.ends_with(affix))
    text = kStart ? text.substr(affix.size()) : text.substr(0, text.size() - affix.size());
  return text_value(text);
}

template <bool kFromRight, bool kRaise>
Value find_method_of(I&, const V& v, const A& a) {
  const ArgReader args("find", a, {"sub"});
  args.want(0);
  const std::string_view text = v.as_string(), sub = args.text(0, "");
  const size_t at = kFromRight ? text.rfind(sub) : text.find(sub);
  if (at != std::string_view::npos) return Value::integer(static_cast<int64_t>(count_code_points(text.substr(0, at))));
  if (kRaise) raise("the text isn't found");
  return Value::integer(-1);
}

Value count_text(I&, const V& v, const A& a) {
  const ArgReader args("count", a, {"sub"});
  args.want(0);
  const std::string_view text = v.as_string(), sub = args.text(0, "");
  if (sub.empty()) return Value::integer(static_cast<int64_t>(count_code_points(text)) + 1);
  int64_t n = 0;
  for (size_t at = text.find(sub); at != std::string_view::npos; at = text.find(sub, at + sub.size())) ++n;
  return Value::integer(n);
}

Value join_method(I& i, const V& v, const A& a) {
  const ArgReader args("join", a, {"iterable"});
  std::string out;
  bool first = true;
  for (const auto& item : i.iterate(args.want(0))) {
    if (!item.is_string()) raise(fmt::format("\"join\" needs texts, not a {}", item.type_name()));
    I::require_text(static_cast<double>(out.size()) +
                    static_cast<double>(v.as_string().size() + item.as_string().size()));
    if (!first) out += v.as_string();
    first = false;
    out += item.as_string();
  }
  return Value::string(std::move(out));
}

Value title_method(I&, const V& v, const A& a) {
  ArgReader("title", a, {});
  std::string out;
  bool after_letter = false;
  for (const char32_t c : to_code_points(v.as_string())) {
    append_utf8(out, after_letter ? lower_of(c) : upper_of(c));
    after_letter = is_cased(c);
  }
  return Value::string(std::move(out));
}

Value replace_method(I&, const V& v, const A& a) {
  const ArgReader args("replace", a, {"old", "new", "count"});
  args.want(1);
  return Value::string(replace_text(v.as_string(), args.text(0, ""), args.text(1, ""), args.integer(2, -1)));
}

Value split_lines_method(I&, const V& v, const A& a) {
  const ArgReader args("splitlines", a, {"keepends"});
  return text_list(split_lines(v.as_string(), args.flag(0, false)));
}

template <bool kLeft, bool kRight>
Value justify(I&, const V& v, const A& a) {
  const ArgReader args("ljust, rjust and center", a, {"width", "fillchar"});
  args.want(0);
  const auto have = static_cast<int64_t>(count_code_points(v.as_string()));
  const int64_t missing = std::max<int64_t>(args.integer(0, 0) - have, 0);
  const std::string_view fill = args.text(1, " ");
  if (count_code_points(fill) != 1) raise("\"fillchar\" must be one character");
  I::require_text(static_cast<double>(missing) * static_cast<double>(fill.size()));
  // center puts the odd one on the left when the width is odd, as Python does.
  const int64_t left = kLeft && kRight ? missing / 2 + (missing & args.integer(0, 0) & 1) : kLeft ? missing : 0;
  std::string out;
  for (int64_t n = 0; n < left; ++n) out += fill;
  out += v.as_string();
  for (int64_t n = left; n < missing; ++n) out += fill;
  return Value::string(std::move(out));
}

Value zfill(I&, const V& v, const A& a) {
  const ArgReader args("zfill", a, {"width"});
  args.want(0);
  const std::string& text = v.as_string();
  const int64_t missing = std::max<int64_t>(args.integer(0, 0) - static_cast<int64_t>(count_code_points(text)), 0);
  I::require_text(static_cast<double>(missing));
  const size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  return Value::string(text.substr(0, sign) + std::string(static_cast<size_t>(missing), '0') + text.substr(sign));
}

// Every character is one of a kind, and there is at least one.
template <bool (*kIs)(char32_t)>
Value all_are(I&, const V& v, const A& a) {
  ArgReader("isdigit and its like", a, {});
  const auto text = to_code_points(v.as_string());
  return Value::boolean(!text.empty() && std::all_of(text.begin(), text.end(), kIs));
}
bool is_ascii_digit(char32_t c) { return c >= '0' && c <= '9'; }
// Letters without case (such as CJK) are printable and outside of ASCII, general punctuation and symbols.
bool is_letter(char32_t c) {
  if (is_cased(c)) return true;
  return c >= 0xaa && is_printable(c) && (c < 0x2000 || c > 0x2bff) && !(c >= 0x3000 && c <= 0x303f) && c < 0x1f000 &&
         c != 0xd7 && c != 0xf7 && !(c >= 0xab && c <= 0xb4) && !(c >= 0xb6 && c <= 0xb9) && !(c >= 0xbb && c <= 0xbf);
}
bool is_letter_or_digit(char32_t c) { return is_letter(c) || is_ascii_digit(c); }

template <bool kUpper>
Value has_case(I& i, const V& v, const A& a) {
  ArgReader(kUpper ? "isupper" : "islower", a, {});
  return Value::boolean(i.apply_test(kUpper ? "upper" : "lower", v, {}));
}

// ---- list, dict, loop

Value index_of(I&, const V& v, const A& a) {
  const ArgReader args("index", a, {"value"});
  const auto& items = v.as_list().items;
  for (size_t n = 0; n < items.size(); ++n)
    if (equal(items[n], args.want(0))) return Value::integer(static_cast<int64_t>(n));
  raise("\"index\": the value isn't in the list");
}

Value count_items(I&, const V& v, const A& a) {
  const ArgReader args("count", a, {"value"});
  const auto& items = v.as_list().items;
  return Value::integer(std::count_if(items.begin(), items.end(), [&](const V& x) { return equal(x, args.want(0)); }));
}

template <bool kKeys, bool kValues>
Value view(I&, const V& v, const A& a) {
  ArgReader("keys, values and items", a, {});
  std::vector<Value> out;
  for (const auto& [key, value] : v.as_dict().items)
    out.push_back(kKeys && kValues ? Value::list({key, value}, ListKind::kTuple) : kKeys ? key : value);
  return Value::list(std::move(out), ListKind::kView);
}

Value get(I&, const V& v, const A& a) {
  const ArgReader args("get", a, {"key", "default"});
  if (const Value* found = v.as_dict().find(args.want(0))) return *found;
  return args.get(1) == nullptr ? Value::none() : *args.get(1);
}

Value itself(I&, const V& v, const A& a) { return ArgReader("copy", a, {}), v; }

Value cycle(I&, const V& v, const A& a) {
  if (a.positional.empty()) raise("\"cycle\" without items");
  return a.positional[v.as_loop().index % a.positional.size()];
}

Value changed(I&, const V& v, const A& a) {
  LoopState& loop = v.as_loop();
  Value now = Value::list(a.positional, ListKind::kTuple);
  if (loop.has_changed && equal(loop.last_changed, now)) return Value::boolean(false);
  loop.has_changed = true;
  loop.last_changed = std::move(now);
  return Value::boolean(true);
}

// ---- globals

Value range(I& i, const V&, const A& a) {
  const ArgReader args("range", a, {"start", "stop", "step"});
  args.want(0);
  const bool one = args.get(1) == nullptr;
  const int64_t start = one ? 0 : args.integer(0, 0), stop = one ? args.integer(0, 0) : args.integer(1, 0);
  const int64_t step = args.integer(2, 1);
  if (step == 0) raise("range: the step is zero");
  std::vector<Value> out;
  for (int64_t at = start; step > 0 ? at < stop : at > stop;) {
    out.push_back(Value::integer(at));
    if (out.size() > 100000) raise("range: more than 100000 items");
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  i.charge(static_cast<int64_t>(out.size()));
  return Value::list(std::move(out));
}

std::vector<std::pair<Value, Value>> pairs_of(std::string_view callee, const A& a) {
  std::vector<std::pair<Value, Value>> out;
  if (a.positional.size() > 1) raise(fmt::format("\"{}\" takes one positional argument", callee));
  if (a.positional.size() == 1) {
    if (!a.positional[0].is_dict()) unsupported(fmt::format("\"{}\" of anything but a dict", callee));
    out = a.positional[0].as_dict().items;
  }
  for (const auto& [name, value] : a.named) out.emplace_back(Value::string(name), value);
  return out;
}

Value make_dict(I&, const V&, const A& a) { return Value::dict(pairs_of("dict", a)); }

Value make_namespace(I&, const V&, const A& a) {
  auto object = std::make_shared<NamespaceObject>();
  for (auto& [key, value] : pairs_of("namespace", a)) object->set(to_text(key), std::move(value));
  return Value(Value::Data(std::move(object)));
}

// As Python's datetime.now().strftime, which knows no time zone; UTC, so that the same call renders the same
// everywhere.
Value strftime_now(I& i, const V&, const A& a) {
  const ArgReader args("strftime_now", a, {"format"});
  const std::string given(args.text(0, ""));
  if (given.size() > 200) raise("\"format\" of \"strftime_now\" has more than 200 bytes");
  const int64_t now = i.now_ms();
  // What Python itself writes: microseconds, and nothing for the zone.
  std::string format;
  for (size_t at = 0; at < given.size(); ++at) {
    const char kind = given[at] == '%' && at + 1 < given.size() ? given[at + 1] : '\0';
    if (kind == '\0') {
      format += given[at];
      continue;
    }
    ++at;
    if (kind == 'f') {
      format += fmt::format("{:06}", (now % 1000 + 1000) % 1000 * 1000);
    } else if (kind != 'z' && kind != 'Z') {
      format += '%';
      format += kind;
    }
  }
  const auto seconds = static_cast<time_t>(now >= 0 ? now / 1000 : (now - 999) / 1000);
  struct tm when {};
  if (gmtime_r(&seconds, &when) == nullptr) raise("\"strftime_now\": the time is out of range");
  char buffer[4096];
  return text_value({buffer, strftime(buffer, sizeof buffer, format.c_str(), &when)});
}

[[noreturn]] Value raise_exception(I&, const V&, const A&) { raise("the template refuses these messages"); }

struct Row {
  std::string_view name;
  Filter method;
};

constexpr Row kStringMethods[] = {
    {"capitalize", [](I&, const V& v,
                      const A& a) { return ArgReader("capitalize", a, {}), Value::string(capitalize(v.as_string())); }},
    {"casefold",
     [](I&, const V& v, const A& a) {
       return ArgReader("casefold", a, {}), Value::string(replace_text(to_lower(v.as_string()), "ß", "ss", -1));
     }},
    {"center", justify<true, true>},
    {"count", count_text},
    {"endswith", has_affix<false>},
    {"find", find_method_of<false, false>},
    {"format", [](I&, const V& v, const A& a) { return Value::string(brace_format(v.as_string(), a)); }},
    {"index", find_method_of<false, true>},
    {"isalnum", all_are<is_letter_or_digit>},
    {"isalpha", all_are<is_letter>},
    {"isdecimal", all_are<is_ascii_digit>},
    {"isdigit", all_are<is_ascii_digit>},
    {"islower", has_case<false>},
    {"isnumeric", all_are<is_ascii_digit>},
    {"isspace", all_are<is_space>},
    {"isupper", has_case<true>},
    {"join", join_method},
    {"ljust", justify<false, true>},
    {"lower",
     [](I&, const V& v, const A& a) { return ArgReader("lower", a, {}), Value::string(to_lower(v.as_string())); }},
    {"lstrip", strip_method<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<true>},
    {"removesuffix", remove_affix<false>},
    {"replace", replace_method},
    {"rfind", find_method_of<true, false>},
    {"rindex", find_method_of<true, true>},
    {"rjust", justify<true, false>},
    {"rpartition", partition<true>},
    {"rsplit", split_method<true>},
    {"rstrip", strip_method<false, true>},
    {"split", split_method<false>},
    {"splitlines", split_lines_method},
    {"startswith", has_affix<true>},
    {"strip", strip_method<true, true>},
    {"title", title_method},
    {"upper",
     [](I&, const V& v, const A& a) { return ArgReader("upper", a, {}), Value::string(to_upper(v.as_string())); }},
    {"zfill", zfill},
};
constexpr Row kListMethods[] = {{"count", count_items}, {"index", index_of}};
constexpr Row kDictMethods[] = {{"copy", itself},
                                {"get", get},
                                {"items", view<true, true>},
                                {"keys", view<true, false>},
                                {"values", view<false, true>}};
constexpr Row kLoopMethods[] = {{"changed", changed}, {"cycle", cycle}};
constexpr Row kGlobals[] = {{"dict", make_dict},
                            {"namespace", make_namespace},
                            {"raise_exception", raise_exception},
                            {"range", range},
                            {"strftime_now", strftime_now}};

template <size_t N>
Filter find_row(const Row (&rows)[N], std::string_view name) {
  const auto* row = std::find_if(std::begin(rows), std::end(rows), [&](const Row& r) { return r.name == name; });
  return row == std::end(rows) ? nullptr : row->method;
}

struct GlobalFunction final : Callable {
  explicit GlobalFunction(Filter f) : function(f) {}
  Value call(Interpreter& interpreter, const Arguments& arguments) const override {
    return function(interpreter, {}, arguments);
  }
  Filter function;
};

}  // namespace

Filter find_method(const Value& object, std::string_view name) {
  if (object.is_string()) return find_row(kStringMethods, name);
  if (object.is_dict()) return find_row(kDictMethods, name);
  if (object.is_loop()) return find_row(kLoopMethods, name);
  if (object.is_list() && (object.as_list().kind == ListKind::kList || object.as_list().kind == ListKind::kTuple))
    return find_row(kListMethods, name);
  return nullptr;
}

bool is_mutator(const Value& object, std::string_view name) {
  static constexpr std::string_view kList[] = {"append", "clear",  "extend",  "insert",
                                               "pop",    "remove", "reverse", "sort"};
  static constexpr std::string_view kDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  if (object.is_dict()) return std::find(std::begin(kDict), std::end(kDict), name) != std::end(kDict);
  return object.is_list() && object.as_list().kind == ListKind::kList &&
         std::find(std::begin(kList), std::end(kList), name) != std::end(kList);
}

Value find_global(std::string_view name) {
  const Filter function = find_row(kGlobals, name);
  return function == nullptr ? Value() : Value(std::make_shared<const GlobalFunction>(function));
}

}  // namespace slm::text::jinja
