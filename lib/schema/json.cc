#include "schema/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <span>
#include <vector>

#include "core/file.h"
#include "schema/json_text.h"

namespace slm {

namespace {

// Builds a value as Boost.JSON's own parser does, but reads doubles exactly: its 1.81 may be off by the last bit, and a
// number that isn't what was written would break the digests that manifests are named by.
struct ExactHandler {
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();
  using Text = json::string_view;
  using Code = boost::system::error_code;

  json::value_stack stack;

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) { return true; }
  bool on_object_end(std::size_t n, Code&) { return stack.push_object(n), true; }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t n, Code&) { return stack.push_array(n), true; }
  bool on_key_part(Text s, std::size_t, Code&) { return stack.push_chars(s), true; }
  bool on_key(Text s, std::size_t, Code&) { return stack.push_key(s), true; }
  bool on_string_part(Text s, std::size_t, Code&) { return stack.push_chars(s), true; }
  bool on_string(Text s, std::size_t, Code&) { return stack.push_string(s), true; }
  bool on_number_part(Text, Code&) { return true; }
  bool on_int64(int64_t i, Text, Code&) { return stack.push_int64(i), true; }
  bool on_uint64(uint64_t u, Text, Code&) { return stack.push_uint64(u), true; }
  bool on_double(double rough, Text s, Code&) {
    double exact = 0;
    const auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), exact);
    stack.push_double(ec == std::errc{} && end == s.data() + s.size() ? exact : rough);
    return true;
  }
  bool on_bool(bool b, Code&) { return stack.push_bool(b), true; }
  bool on_null(Code&) { return stack.push_null(), true; }
  bool on_comment_part(Text, Code&) { return true; }
  bool on_comment(Text, Code&) { return true; }
};

}  // namespace

Result<json::value> parse_json(std::string_view text, unsigned max_depth) {
  json::parse_options options;
  options.max_depth = max_depth;
  boost::system::error_code ec;
  json::basic_parser<ExactHandler> parser(options);
  parser.handler().stack.reset();
  const size_t used = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec) {
    for (size_t i = used; i < text.size(); ++i)
      if (text[i] != ' ' && text[i] != '\t' && text[i] != '\n' && text[i] != '\r')
        return fail(ErrorCode::kBadInput, fmt::format("JSON: text after the value at byte {}", i));
    return parser.handler().stack.release();
  }
  return fail(ErrorCode::kBadInput, fmt::format("JSON: {} at byte {} of {}", ec.message(), used, text.size()));
}

Result<json::value> read_json_file(const std::filesystem::path& path) {
  SLM_TRY(const std::string text, read_file(path));
  auto value = parse_json(text);
  if (!value) return fail(value.error().code, fmt::format("{}: {}", path.string(), value.error().message));
  return value;
}

namespace {

void write_canonical(std::string& out, const json::value& value);

void write_canonical(std::string& out, const json::object& object) {
  using Item = const json::key_value_pair*;
  std::array<Item, 16> few;
  std::vector<Item> many;
  if (object.size() > few.size()) many.resize(object.size());
  const std::span<Item> items(many.empty() ? few.data() : many.data(), object.size());
  std::transform(object.begin(), object.end(), items.begin(), [](const auto& item) { return &item; });
  std::sort(items.begin(), items.end(), [](Item a, Item b) { return a->key() < b->key(); });
  out += '{';
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ',';
    append_json_text(out, items[i]->key());
    out += ':';
    write_canonical(out, items[i]->value());
  }
  out += '}';
}

void write_canonical(std::string& out, const json::array& array) {
  out += '[';
  for (size_t i = 0; i < array.size(); ++i) {
    if (i > 0) out += ',';
    write_canonical(out, array[i]);
  }
  out += ']';
}

void write_canonical(std::string& out, const json::value& value) {
  if (const auto* object = value.if_object())
    write_canonical(out, *object);
  else if (const auto* array = value.if_array())
    write_canonical(out, *array);
  else if (const auto* text = value.if_string())
    append_json_text(out, *text);
  else
    out += json::serialize(value);
}

void write_pretty(std::string& out, const json::value& value, int indent) {
  const std::string pad(static_cast<size_t>(indent) * 2, ' ');
  if (const auto* object = value.if_object(); object != nullptr && !object->empty()) {
    out += "{\n";
    size_t i = 0;
    for (const auto& item : *object) {
      out += pad + "  " + json::serialize(item.key()) + ": ";
      write_pretty(out, item.value(), indent + 1);
      out += ++i < object->size() ? ",\n" : "\n";
    }
    out += pad + "}";
  } else if (const auto* array = value.if_array(); array != nullptr && !array->empty()) {
    out += "[\n";
    for (size_t i = 0; i < array->size(); ++i) {
      out += pad + "  ";
      write_pretty(out, (*array)[i], indent + 1);
      out += i + 1 < array->size() ? ",\n" : "\n";
    }
    out += pad + "]";
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

namespace {

template <class Value>
std::string canonical(const Value& value) {
  std::string out;
  write_canonical(out, value);
  return out;
}

}  // namespace

std::string canonical_json(const json::value& value) { return canonical(value); }
std::string canonical_json(const json::array& value) { return canonical(value); }
std::string canonical_json(const json::object& value) { return canonical(value); }

std::string pretty_json(const json::value& value) {
  std::string out;
  write_pretty(out, value, 0);
  out += '\n';
  return out;
}

const json::value* find(const json::object& object, std::string_view key) { return object.if_contains(key); }
const json::value* find(const json::value& value, std::string_view key) {
  const auto* object = value.if_object();
  return object == nullptr ? nullptr : object->if_contains(key);
}

std::string_view get_string(const json::object& object, std::string_view key, std::string_view otherwise) {
  const auto* v = object.if_contains(key);
  if (v == nullptr || !v->is_string()) return otherwise;
  return {v->get_string().data(), v->get_string().size()};
}

std::optional<double> get_number(const json::object& object, std::string_view key) {
  const auto* v = object.if_contains(key);
  if (v == nullptr || !v->is_number()) return std::nullopt;
  return v->to_number<double>();
}

std::optional<int64_t> get_int(const json::object& object, std::string_view key) {
  const auto* v = object.if_contains(key);
  if (v == nullptr || !v->is_number()) return std::nullopt;
  boost::system::error_code ec;
  const auto n = v->to_number<int64_t>(ec);
  if (ec) return std::nullopt;
  return n;
}

std::optional<bool> get_bool(const json::object& object, std::string_view key) {
  const auto* v = object.if_contains(key);
  if (v == nullptr || !v->is_bool()) return std::nullopt;
  return v->get_bool();
}

const json::object* get_object(const json::object& object, std::string_view key) {
  const auto* v = object.if_contains(key);
  return v == nullptr ? nullptr : v->if_object();
}

const json::array* get_array(const json::object& object, std::string_view key) {
  const auto* v = object.if_contains(key);
  return v == nullptr ? nullptr : v->if_array();
}

Result<const json::object*> want_object(const json::value& value, std::string_view what) {
  if (const auto* o = value.if_object()) return o;
  return fail(ErrorCode::kBadInput, fmt::format("{}: not a JSON object", what));
}

namespace {
Error missing(std::string_view key, std::string_view kind, std::string_view what) {
  return {ErrorCode::kBadInput, fmt::format("{}: \"{}\" is missing or not {}", what, key, kind), {}};
}
}  // namespace

Result<std::string> want_string(const json::object& object, std::string_view key, std::string_view what) {
  const auto* v = object.if_contains(key);
  if (v == nullptr || !v->is_string()) return fail(missing(key, "a string", what));
  return std::string(v->get_string());
}

Result<double> want_number(const json::object& object, std::string_view key, std::string_view what) {
  if (auto n = get_number(object, key)) return *n;
  return fail(missing(key, "a number", what));
}

Result<int64_t> want_int(const json::object& object, std::string_view key, std::string_view what) {
  if (auto n = get_int(object, key)) return *n;
  return fail(missing(key, "an integer", what));
}

}  // namespace slm
