// Python's text helpers behind filters and methods: strip, replace, splitlines, % and str.format.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "text/jinja/builtins.h"
#include "text/unicode.h"

namespace slm::text::jinja {
namespace {

// One conversion of a % format. Flags "-" and "0", width, precision of floats.
std::string convert(char kind, const std::string& options, const Value& value) {
  const bool left = options.find('-') != std::string::npos;
  const size_t digits = options.find_first_not_of("-+ #");
  const bool zero = digits != std::string::npos && options[digits] == '0';
  const size_t dot = options.find('.');
  const auto number = [](const std::string& text) {  // 9999 is refused below
    return text.empty() ? 0 : text.size() > 4 ? 9999 : std::atoi(text.c_str());
  };
  const int width = digits == std::string::npos ? 0 : number(options.substr(digits, dot - digits));
  const int precision = dot == std::string::npos ? -1 : number(options.substr(dot + 1));
  if (options.find_first_of("+ #") != std::string::npos || width > 1000 || precision > 300 ||
      (precision >= 0 && kind != 'f' && kind != 's'))
    unsupported(fmt::format("the conversion \"%{}{}\"", options, kind));
  std::string out;
  switch (kind) {
    case 's':
      out = value.is_undefined() ? "" : to_text(value);
      if (precision >= 0)
        out = to_utf8([&] {
          auto text = to_code_points(out);
          text.resize(std::min(text.size(), static_cast<size_t>(precision)));
          return text;
        }());
      break;
    case 'r':
      out = repr(value);
      break;
    case 'd':
    case 'i':
      if (!value.is_number()) raise(fmt::format("\"%{}\" needs a number, not a {}", kind, value.type_name()));
      if (value.is_float() && !(std::abs(value.as_number()) < 9.2e18)) raise("an integer of more than 64 bits");
      out = std::to_string(value.is_float() ? static_cast<int64_t>(value.as_number()) : value.as_integral());
      break;
    case 'x':
    case 'X':
    case 'o': {
      if (!value.is_integral()) raise(fmt::format("\"%{}\" needs an int, not a {}", kind, value.type_name()));
      const int64_t v = value.as_integral();
      const uint64_t magnitude = v < 0 ? ~static_cast<uint64_t>(v) + 1 : static_cast<uint64_t>(v);
      out = kind == 'x'   ? fmt::format("{:x}", magnitude)
            : kind == 'X' ? fmt::format("{:X}", magnitude)
                          : fmt::format("{:o}", magnitude);
      if (v < 0) out.insert(0, "-");
      break;
    }
    case 'f':
      if (!value.is_number()) raise(fmt::format("\"%f\" needs a number, not a {}", value.type_name()));
      out = fmt::format("{:.{}f}", value.as_number(), precision < 0 ? 6 : precision);
      break;
    default:
      unsupported(fmt::format("the conversion \"%{}\"", kind));
  }
  const auto have = static_cast<int>(count_code_points(out));
  if (have < width) {
    const std::string pad(static_cast<size_t>(width - have), zero && !left && kind != 's' && kind != 'r' ? '0' : ' ');
    if (left) {
      out += pad;
    } else {
      out.insert(pad.front() == '0' && out.front() == '-' ? 1 : 0, pad);
    }
  }
  return out;
}

}  // namespace

std::string percent_format(std::string_view format, const Value& values) {
  const bool is_tuple = values.is_list() && values.as_list().kind == ListKind::kTuple;
  size_t used = 0;
  const auto next = [&]() -> const Value& {
    if (!is_tuple) {
      if (used++ > 0) raise("not enough values for the format");
      return values;
    }
    if (used >= values.as_list().items.size()) raise("not enough values for the format");
    return values.as_list().items[used++];
  };
  std::string out;
  bool named = false;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    if (++i >= format.size()) raise("the format ends within a conversion");
    const Value* value = nullptr;
    if (format[i] == '(') {
      const size_t close = format.find(')', i);
      if (close == std::string_view::npos) raise("the format ends within a conversion");
      if (!values.is_dict()) raise("the format needs a dict");
      value = values.as_dict().find(format.substr(i + 1, close - i - 1));
      if (value == nullptr) raise("the format names a key that the dict lacks");
      named = true;
      i = close + 1;
    }
    std::string options;
    while (i < format.size() && std::string_view("-+ #0123456789.").find(format[i]) != std::string_view::npos)
      options += format[i++];
    if (i >= format.size()) raise("the format ends within a conversion");
    if (format[i] == '%') {
      out += '%';
      continue;
    }
    out += convert(format[i], options, value != nullptr ? *value : next());
    Interpreter::require_text(static_cast<double>(out.size()));
  }
  if (!named && ((is_tuple && used < values.as_list().items.size()) || (!is_tuple && used == 0 && !values.is_dict())))
    raise("too many values for the format");
  return out;
}

std::string brace_format(std::string_view format, const Arguments& arguments) {
  std::string out;
  size_t used = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    if (c != '{' && c != '}') {
      out += c;
      continue;
    }
    if (i + 1 < format.size() && format[i + 1] == c) {
      out += c;
      ++i;
      continue;
    }
    const size_t close = format.find('}', i);
    if (c == '}' || close == std::string_view::npos) raise("\"format\": a brace without its partner");
    const std::string_view field = format.substr(i + 1, close - i - 1);
    const Value* value = nullptr;
    if (field.find_first_of(":!.[{") != std::string_view::npos)
      unsupported("\"format\" with more than a name in braces");
    if (field.empty() || field.find_first_not_of("0123456789") == std::string_view::npos) {
      const size_t n = field.empty() ? used++ : field.size() > 6 ? SIZE_MAX : std::stoul(std::string(field));
      if (n < arguments.positional.size()) value = &arguments.positional[n];
    } else {
      for (const auto& [name, named] : arguments.named)
        if (name == field) value = &named;
    }
    if (value == nullptr) raise("\"format\": a field without its value");
    out += to_text(*value);
    Interpreter::require_text(static_cast<double>(out.size()));
    i = close;
  }
  return out;
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> out;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const auto c = code_point_at(text, i);
    size_t end = i + c.n_bytes;
    const char32_t v = c.value;
    const bool breaks = (v >= 0x0a && v <= 0x0d) || (v >= 0x1c && v <= 0x1e) || v == 0x85 || v == 0x2028 || v == 0x2029;
    if (breaks) {
      if (v == '\r' && end < text.size() && text[end] == '\n') ++end;
      out.emplace_back(text.substr(begin, (keep_ends ? end : i) - begin));
      begin = end;
    }
    i = end;
  }
  if (begin < text.size()) out.emplace_back(text.substr(begin));
  return out;
}

std::string_view strip(std::string_view text, const Value* chars, bool left, bool right) {
  std::vector<char32_t> set;
  if (chars != nullptr && !chars->is_none()) {
    if (!chars->is_string()) raise(fmt::format("\"strip\" needs a str, not a {}", chars->type_name()));
    set = to_code_points(chars->as_string());
  }
  const bool by_space = chars == nullptr || chars->is_none();
  const auto goes = [&](char32_t c) {
    return by_space ? is_space(c) : std::find(set.begin(), set.end(), c) != set.end();
  };
  if (left)
    while (!text.empty()) {
      const auto c = code_point_at(text, 0);
      if (!goes(c.value)) break;
      text.remove_prefix(c.n_bytes);
    }
  if (right)
    while (!text.empty()) {
      size_t at = text.size() - 1;  // of the last character
      while (at > 0 && text.size() - at < 4 && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80) --at;
      auto c = code_point_at(text, at);
      if (at + c.n_bytes != text.size()) c = {0xfffd, 1, false};
      if (!goes(c.value)) break;
      text.remove_suffix(c.valid ? c.n_bytes : 1);
    }
  return text;
}

std::string replace_text(std::string_view text, std::string_view from, std::string_view to, int64_t count) {
  std::string out;
  int64_t n = 0;
  if (from.empty()) {  // before every character and at the end
    for (size_t i = 0; i <= text.size();) {
      if (count < 0 || n < count) out += to, ++n;
      Interpreter::require_text(static_cast<double>(out.size()) + static_cast<double>(to.size()));
      if (i == text.size()) break;
      const size_t step = code_point_at(text, i).n_bytes;
      out += text.substr(i, step);
      i += step;
    }
    return out;
  }
  size_t begin = 0;
  while (count < 0 || n < count) {
    const size_t at = text.find(from, begin);
    if (at == std::string_view::npos) break;
    Interpreter::require_text(static_cast<double>(out.size()) + static_cast<double>(at - begin + to.size()));
    out += text.substr(begin, at - begin);
    out += to;
    begin = at + from.size();
    ++n;
  }
  out += text.substr(begin);
  return out;
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  const auto c = code_point_at(text, 0);
  std::string out;
  append_utf8(out, upper_of(c.value));
  return out + to_lower(text.substr(c.n_bytes));
}

}  // namespace slm::text::jinja
