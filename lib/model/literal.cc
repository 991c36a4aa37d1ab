#include "model/literal.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"

namespace slm::model {
namespace {

constexpr int kMaxNesting = 64;

class LiteralReader {
 public:
  LiteralReader(std::string_view text, size_t at) : text_(text), at_(at) {}
  size_t at() const { return at_; }
  std::optional<json::value> value(int depth) {
    if (depth > kMaxNesting) return std::nullopt;
    skip_space();
    if (at_ >= text_.size()) return std::nullopt;
    switch (text_[at_]) {
      case '{':
        return object(depth);
      case '[':
        return list(']', depth);
      case '(':
        return list(')', depth);
      case '"':
      case '\'':
        return string();
      default:
        return word_or_number();
    }
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
      ++at_;
  }
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::optional<json::value> object(int depth) {
    ++at_;
    json::object out;
    if (take('}')) return out;
    do {
      skip_space();
      if (at_ < text_.size() && text_[at_] == '}' && !out.empty()) break;  // a comma before the end
      if (at_ >= text_.size() || (text_[at_] != '"' && text_[at_] != '\'')) return std::nullopt;
      const auto key = string();
      if (!key || !take(':')) return std::nullopt;
      auto item = value(depth + 1);
      if (!item) return std::nullopt;
      out[key->get_string()] = std::move(*item);
    } while (take(','));
    if (!take('}')) return std::nullopt;
    return out;
  }
  std::optional<json::value> list(char close, int depth) {
    ++at_;
    json::array out;
    if (take(close)) return out;
    do {
      skip_space();
      if (at_ < text_.size() && text_[at_] == close && !out.empty()) break;
      auto item = value(depth + 1);
      if (!item) return std::nullopt;
      out.push_back(std::move(*item));
    } while (take(','));
    if (!take(close)) return std::nullopt;
    return out;
  }
  std::optional<json::value> word_or_number() {
    size_t end = at_;
    while (end < text_.size() &&
           ((text_[end] >= '0' && text_[end] <= '9') || (text_[end] >= 'a' && text_[end] <= 'z') ||
            (text_[end] >= 'A' && text_[end] <= 'Z') || text_[end] == '+' || text_[end] == '-' || text_[end] == '.'))
      ++end;
    const std::string_view word = text_.substr(at_, end - at_);
    if (word.empty()) return std::nullopt;
    at_ = end;
    if (word == "true" || word == "True") return json::value(true);
    if (word == "false" || word == "False") return json::value(false);
    if (word == "null" || word == "None") return json::value(nullptr);
    auto number = parse_json(word);
    if (!number || !number->is_number()) return std::nullopt;
    return std::move(*number);
  }
  std::optional<uint32_t> hex(size_t n_digits) {
    if (text_.size() - at_ < n_digits) return std::nullopt;
    uint32_t out = 0;
    for (size_t i = 0; i < n_digits; ++i) {
      const char c = text_[at_++];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return std::nullopt;
      out = out * 16 + static_cast<uint32_t>(digit);
    }
    return out;
  }
  std::optional<json::value> string() {
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == quote) return json::value(json::string(out));
      if (c != '\\') {
        out += c;
        continue;
      }
      if (at_ >= text_.size()) return std::nullopt;
      const char escaped = text_[at_++];
      constexpr std::string_view kFrom = "\\\"'/nrtbfav", kTo = "\\\"'/\n\r\t\b\f\a\v";
      if (const size_t which = kFrom.find(escaped); which != std::string_view::npos) {
        out += kTo[which];
      } else if (escaped == 'x' || escaped == 'u' || escaped == 'U') {
        auto code = hex(escaped == 'x' ? 2 : escaped == 'u' ? 4 : 8);
        if (!code) return std::nullopt;
        if (*code >= 0xd800 && *code < 0xdc00) {  // a pair of surrogates is one character
          if (text_.substr(at_, 2) != "\\u") return std::nullopt;
          at_ += 2;
          const auto low = hex(4);
          if (!low || *low < 0xdc00 || *low > 0xdfff) return std::nullopt;
          code = 0x10000 + ((*code - 0xd800) << 10) + (*low - 0xdc00);
        }
        if (*code > 0x10ffff || (*code >= 0xdc00 && *code < 0xe000)) return std::nullopt;
        append_utf8(out, static_cast<char32_t>(*code));
      } else if (escaped == '\n') {
      } else {
        out += '\\';
        out += escaped;
      }
    }
    return std::nullopt;
  }

  std::string_view text_;
  size_t at_;
};

}  // namespace

std::optional<json::value> read_literal(std::string_view text, size_t& at) {
  LiteralReader reader(text, at);
  auto out = reader.value(0);
  if (out) at = reader.at();
  return out;
}

std::optional<json::value> whole_literal(std::string_view text) {
  size_t at = 0;
  auto out = read_literal(text, at);
  if (!out || text.find_first_not_of(" \t\r\n", at) != std::string_view::npos) return std::nullopt;
  return out;
}

size_t json_extent(std::string_view text, size_t at) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = at; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return i + 1;
    }
    if (depth == 0) break;  // no bracket at `at`
  }
  return std::string_view::npos;
}

std::string python_text(const json::value& value) {
  if (value.is_null()) return "None";
  if (value.is_bool()) return value.get_bool() ? "True" : "False";
  if (const auto* text = value.if_string()) {
    const bool quotes = text->find('\'') != json::string::npos && text->find('"') == json::string::npos;
    const char quote = quotes ? '"' : '\'';
    std::string out(1, quote);
    for (const char c : *text) {
      if (c == quote || c == '\\') {
        out += '\\';
        out += c;
      } else if (c == '\n' || c == '\r' || c == '\t') {
        out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
      } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      } else {
        out += c;
      }
    }
    return out + quote;
  }
  std::string out;
  if (const auto* list = value.if_array()) {
    for (const auto& item : *list) out += (out.empty() ? "" : ", ") + python_text(item);
    return '[' + out + ']';
  }
  if (const auto* object = value.if_object()) {
    for (const auto& [key, item] : *object)
      out += (out.empty() ? "" : ", ") + python_text(json::string(key)) + ": " + python_text(item);
    return '{' + out + '}';
  }
  return json::serialize(value);
}

}  // namespace slm::model
