#include "schema/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/file.h"

namespace slm {

Result<json::value> parse_json(std::string_view text, unsigned max_depth) {
  json::parse_options options;
  options.max_depth = max_depth;
  boost::system::error_code ec;
  json::stream_parser parser({}, options);
  const size_t used = parser.write_some(text.data(), text.size(), ec);
  if (!ec) {
    for (size_t i = used; i < text.size() && !ec; ++i)
      if (text[i] != ' ' && text[i] != '\t' && text[i] != '\n' && text[i] != '\r')
        return fail(ErrorCode::kBadInput, fmt::format("JSON: text after the value at byte {}", i));
    parser.finish(ec);
  }
  if (ec) return fail(ErrorCode::kBadInput, fmt::format("JSON: {} at byte {} of {}", ec.message(), used, text.size()));
  return parser.release();
}

Result<json::value> read_json_file(const std::filesystem::path& path) {
  SLM_TRY(const std::string text, read_file(path));
  auto value = parse_json(text);
  if (!value) return fail(value.error().code, fmt::format("{}: {}", path.string(), value.error().message));
  return value;
}

namespace {

void write_canonical(std::string& out, const json::value& value) {
  if (const auto* object = value.if_object()) {
    std::vector<const json::key_value_pair*> items;
    items.reserve(object->size());
    for (const auto& item : *object) items.push_back(&item);
    std::sort(items.begin(), items.end(), [](auto* a, auto* b) { return a->key() < b->key(); });
    out += '{';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += ',';
      out += json::serialize(items[i]->key());
      out += ':';
      write_canonical(out, items[i]->value());
    }
    out += '}';
  } else if (const auto* array = value.if_array()) {
    out += '[';
    for (size_t i = 0; i < array->size(); ++i) {
      if (i > 0) out += ',';
      write_canonical(out, (*array)[i]);
    }
    out += ']';
  } else {
    out += json::serialize(value);
  }
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

std::string canonical_json(const json::value& value) {
  std::string out;
  write_canonical(out, value);
  return out;
}

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
