// Values as text: str(), repr() and json.dumps() of Python.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja/value.h"
#include "text/unicode.h"

namespace slm::text::jinja {
namespace {

std::string string_repr(std::string_view text) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t i = 0; i < text.size();) {
    const auto c = code_point_at(text, i);
    i += c.n_bytes;
    if (c.value == static_cast<char32_t>(quote) || c.value == '\\') {
      out += '\\';
      out += static_cast<char>(c.value);
    } else if (c.value == '\n') {
      out += "\\n";
    } else if (c.value == '\r') {
      out += "\\r";
    } else if (c.value == '\t') {
      out += "\\t";
    } else if (is_printable(c.value)) {
      append_utf8(out, c.value);
    } else if (c.value < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c.value));
    } else if (c.value < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c.value));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<uint32_t>(c.value));
    }
  }
  out += quote;
  return out;
}

void append_items(std::string& out, const std::vector<Value>& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    out += repr(items[i]);
  }
}

std::string list_repr(const ListObject& list) {
  std::string out;
  switch (list.kind) {
    case ListKind::kTuple:
      out += '(';
      append_items(out, list.items);
      out += list.items.size() == 1 ? ",)" : ")";
      return out;
    case ListKind::kList:
      out += '[';
      append_items(out, list.items);
      out += ']';
      return out;
    case ListKind::kGenerator:
      unsupported("printing a generator (append |list)");
    case ListKind::kView:
      break;
  }
  unsupported("printing a view of a dict (append |list)");
}

void append_json_string(std::string& out, std::string_view text, bool ensure_ascii) {
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const auto c = code_point_at(text, i);
    i += c.n_bytes;
    switch (c.value) {
      case '"':
        out += "\\\"";
        continue;
      case '\\':
        out += "\\\\";
        continue;
      case '\n':
        out += "\\n";
        continue;
      case '\r':
        out += "\\r";
        continue;
      case '\t':
        out += "\\t";
        continue;
      case '\f':
        out += "\\f";
        continue;
      case '\b':
        out += "\\b";
        continue;
      default:
        break;
    }
    const auto v = static_cast<uint32_t>(c.value);
    if (v < 0x20 || (ensure_ascii && v >= 0x7f && v < 0x10000)) {
      if (v == 0x7f) {
        out += '\x7f';
      } else {
        out += fmt::format("\\u{:04x}", v);
      }
    } else if (ensure_ascii && v >= 0x10000) {
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + ((v - 0x10000) >> 10), 0xdc00 + ((v - 0x10000) & 0x3ff));
    } else {
      append_utf8(out, c.value);
    }
  }
  out += '"';
}

std::string json_number(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "Infinity" : "-Infinity";
  return float_repr(v);
}

std::string json_key(const Value& key) {
  if (key.is_string()) return key.as_string();
  if (key.is_none()) return "null";
  if (key.is_bool()) return key.as_bool() ? "true" : "false";
  if (key.is_int()) return std::to_string(key.as_integral());
  if (key.is_float()) return json_number(key.as_number());
  raise(fmt::format("tojson: a {} can't be a key", key.type_name()));
}

void append_json(std::string& out, const Value& value, const JsonStyle& style, int level) {
  const auto new_line = [&](int at) {
    if (!style.pretty) return;
    out += '\n';
    for (int i = 0; i < at; ++i) out += style.indent;
  };
  if (value.is_none()) {
    out += "null";
  } else if (value.is_bool()) {
    out += value.as_bool() ? "true" : "false";
  } else if (value.is_int()) {
    out += std::to_string(value.as_integral());
  } else if (value.is_float()) {
    out += json_number(value.as_number());
  } else if (value.is_string()) {
    append_json_string(out, value.as_string(), style.ensure_ascii);
  } else if (value.is_list() && (value.as_list().kind == ListKind::kList || value.as_list().kind == ListKind::kTuple)) {
    const auto& items = value.as_list().items;
    out += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style.item_separator;
      new_line(level + 1);
      append_json(out, items[i], style, level + 1);
    }
    if (!items.empty()) new_line(level);
    out += ']';
  } else if (value.is_dict()) {
    auto items = value.as_dict().items;
    if (style.sort_keys)
      std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) { return less(a.first, b.first); });
    out += '{';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style.item_separator;
      new_line(level + 1);
      append_json_string(out, json_key(items[i].first), style.ensure_ascii);
      out += style.key_separator;
      append_json(out, items[i].second, style, level + 1);
    }
    if (!items.empty()) new_line(level);
    out += '}';
  } else {
    raise(fmt::format("tojson: a {} has no JSON form", value.type_name()));
  }
}

}  // namespace

// Shortest digits that read back the same, as a fraction for exponents from -4 to 15 (Python's repr of a float).
std::string float_repr(double v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v > 0 ? "inf" : "-inf";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<size_t>(end - buffer));  // -d.ddde+XX
  std::string out;
  if (text.front() == '-') {
    out += '-';
    text.remove_prefix(1);
  }
  const size_t e = text.find('e');
  std::string digits;
  for (const char c : text.substr(0, e))
    if (c != '.') digits += c;
  int exponent = 0;
  const char* exponent_text = text.data() + e + 1 + (text[e + 1] == '+' ? 1 : 0);
  std::from_chars(exponent_text, text.data() + text.size(), exponent);
  const int n = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (n > 1) out += '.' + digits.substr(1);
    return out + fmt::format("e{}{:02d}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (n <= exponent + 1) return out + digits + std::string(static_cast<size_t>(exponent + 1 - n), '0') + ".0";
  return out + digits.substr(0, static_cast<size_t>(exponent + 1)) + '.' +
         digits.substr(static_cast<size_t>(exponent + 1));
}

std::string repr(const Value& value) {
  if (value.is_string()) return string_repr(value.as_string());
  if (value.is_undefined()) return "Undefined";
  return to_text(value);
}

std::string to_text(const Value& value) {
  if (value.is_undefined()) return {};
  if (value.is_none()) return "None";
  if (value.is_bool()) return value.as_bool() ? "True" : "False";
  if (value.is_int()) return std::to_string(value.as_integral());
  if (value.is_float()) return float_repr(value.as_number());
  if (value.is_string()) return value.as_string();
  if (value.is_list()) return list_repr(value.as_list());
  if (value.is_dict()) {
    std::string out = "{";
    for (const auto& [key, item] : value.as_dict().items) {
      if (out.size() > 1) out += ", ";
      out += repr(key) + ": " + repr(item);
    }
    return out + "}";
  }
  unsupported(fmt::format("printing a {}", value.type_name()));
}

std::string dump_json(const Value& value, const JsonStyle& style) {
  std::string out;
  append_json(out, value, style, 0);
  return out;
}

}  // namespace slm::text::jinja
