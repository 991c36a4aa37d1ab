#include "text/jinja/lexer.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

#include "text/unicode.h"

namespace slm::text::jinja {
namespace {

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) { return is_name_start(c) || is_digit(c); }

class Lexer {
 public:
  explicit Lexer(std::string_view source) {
    source_.reserve(source.size());
    for (size_t i = 0; i < source.size(); ++i) {
      if (source[i] == '\r') {
        source_ += '\n';
        if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      } else {
        source_ += source[i];
      }
    }
    if (!source_.empty() && source_.back() == '\n') source_.pop_back();
    text_ = source_;
  }

  std::vector<Token> run() {
    while (pos_ < text_.size()) text_until_tag();
    add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { unsupported(fmt::format("line {}: {}", line_, what)); }

  void add(TokenKind kind, std::string text = {}) { tokens_.push_back(Token{kind, std::move(text), {}, line_}); }
  char peek(size_t ahead = 0) const { return pos_ + ahead < text_.size() ? text_[pos_ + ahead] : '\0'; }
  bool at(std::string_view what) const { return text_.substr(pos_).starts_with(what); }
  void advance(size_t n) {
    for (size_t i = 0; i < n; ++i)
      if (text_[pos_ + i] == '\n') ++line_;
    pos_ += n;
  }
  size_t skip_space(size_t pos) const {
    while (pos < text_.size()) {
      const auto c = code_point_at(text_, pos);
      if (!is_space(c.value)) break;
      pos += c.n_bytes;
    }
    return pos;
  }

  // Takes a closing delimiter such as "%}" with its sign, and the white space after it that goes with it. `trim`: a
  // following newline is taken too. False if it isn't here.
  bool close(std::string_view delimiter, bool trim) {
    size_t end = pos_;
    const char sign = peek();
    if (sign == '-' || (sign == '+' && trim)) ++end;
    if (!text_.substr(end).starts_with(delimiter)) return false;
    end += delimiter.size();
    if (sign == '-') {
      end = skip_space(end);
    } else if (trim && sign != '+' && end < text_.size() && text_[end] == '\n') {
      ++end;
    }
    line_start_ = text_[end - 1] == '\n';
    advance(end - pos_);
    return true;
  }

  // Text before a tag that begins with `sign`, as whitespace control leaves it.
  void add_text(std::string_view text, char sign, bool is_output) {
    std::string_view kept = text;
    if (sign == '-') {
      size_t end = 0;  // after the last character that isn't space
      for (size_t i = 0; i < kept.size();) {
        const auto c = code_point_at(kept, i);
        i += c.n_bytes;
        if (!is_space(c.value)) end = i;
      }
      kept = kept.substr(0, end);
    } else if (sign != '+' && !is_output) {
      const size_t newline = kept.rfind('\n');
      const size_t from = newline == std::string_view::npos ? 0 : newline + 1;
      if (from > 0 || line_start_) {
        bool blank = from < kept.size();
        for (size_t i = from; i < kept.size() && blank;) {
          const auto c = code_point_at(kept, i);
          blank = is_space(c.value);
          i += c.n_bytes;
        }
        if (blank) kept = kept.substr(0, from);
      }
    }
    if (!kept.empty()) add(TokenKind::kText, std::string(kept));
  }

  static char sign_of(std::string_view after_delimiter) {
    const char c = after_delimiter.empty() ? '\0' : after_delimiter.front();
    return c == '-' || c == '+' ? c : '\0';
  }

  void text_until_tag() {
    size_t tag = pos_;
    while (true) {
      tag = text_.find('{', tag);
      if (tag == std::string_view::npos) {
        add(TokenKind::kText, std::string(text_.substr(pos_)));
        pos_ = text_.size();
        return;
      }
      const char next = tag + 1 < text_.size() ? text_[tag + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') break;
      ++tag;
    }
    const char next = text_[tag + 1];
    const char sign = sign_of(text_.substr(tag + 2));
    add_text(text_.substr(pos_, tag - pos_), sign, next == '{');
    advance(tag - pos_);
    if (next == '%' && raw_block(sign)) return;
    advance(sign == '\0' ? 2 : 3);
    if (next == '#') {
      comment();
    } else if (next == '{') {
      add(TokenKind::kOutputBegin);
      inside("}}", TokenKind::kOutputEnd);
    } else {
      add(TokenKind::kBlockBegin);
      inside("%}", TokenKind::kBlockEnd);
    }
  }

  void comment() {
    while (pos_ < text_.size()) {
      if (close("#}", true)) return;
      advance(1);
    }
    fail("a comment isn't closed");
  }

  // {% raw %}…{% endraw %} at the present position; false if this is another block.
  bool raw_block(char sign) {
    size_t p = skip_space(pos_ + (sign == '\0' ? 2 : 3));
    if (!text_.substr(p).starts_with("raw")) return false;
    p = skip_space(p + 3);
    bool strip = false;
    if (p < text_.size() && text_[p] == '-') {
      strip = true;
      ++p;
    }
    if (!text_.substr(p).starts_with("%}")) return false;
    p += 2;
    if (strip) p = skip_space(p);
    line_start_ = text_[p - 1] == '\n';
    advance(p - pos_);
    for (size_t tag = text_.find("{%", pos_); tag != std::string_view::npos; tag = text_.find("{%", tag + 2)) {
      const char end_sign = sign_of(text_.substr(tag + 2));
      const size_t word = skip_space(tag + (end_sign == '\0' ? 2 : 3));
      if (!text_.substr(word).starts_with("endraw")) continue;
      const size_t end = skip_space(word + 6);
      const char close_sign = sign_of(text_.substr(end));
      if (!text_.substr(end + (close_sign == '\0' ? 0 : 1)).starts_with("%}")) continue;
      add_text(text_.substr(pos_, tag - pos_), end_sign, false);
      advance(end - pos_);
      close("%}", true);
      return true;
    }
    fail("a raw block isn't closed");
  }

  void inside(std::string_view delimiter, TokenKind end_kind) {
    std::string open;  // brackets not yet closed
    while (true) {
      const size_t next = skip_space(pos_);
      advance(next - pos_);
      if (pos_ >= text_.size()) fail(fmt::format("\"{}\" is missing", delimiter));
      if (open.empty()) {
        const int line = line_;
        if (close(delimiter, delimiter == "%}")) {
          tokens_.push_back(Token{end_kind, {}, {}, line});
          return;
        }
      }
      const char c = peek();
      if (is_name_start(c)) {
        size_t end = pos_;
        while (end < text_.size() && is_name_char(text_[end])) ++end;
        add(TokenKind::kName, std::string(text_.substr(pos_, end - pos_)));
        advance(end - pos_);
      } else if (is_digit(c)) {
        number();
      } else if (c == '"' || c == '\'') {
        string(c);
      } else {
        op(open);
      }
    }
  }

  void op(std::string& open) {
    for (const std::string_view known : {"//", "**", "==", "!=", ">=", "<="}) {
      if (!at(known)) continue;
      add(TokenKind::kOperator, std::string(known));
      advance(2);
      return;
    }
    const char c = peek();
    if (std::string_view("+-*/%~[](){}=<>.:|,;").find(c) == std::string_view::npos || c == '\0')
      fail(fmt::format("unexpected character (byte 0x{:02x})", static_cast<uint8_t>(c)));
    if (c == '(' || c == '[' || c == '{') {
      open += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) fail(fmt::format("unexpected '{}'", c));
      open.pop_back();
    }
    add(TokenKind::kOperator, std::string(1, c));
    advance(1);
  }

  void number() {
    std::string digits;
    size_t end = pos_;
    int base = 10;
    if (text_[end] == '0' && end + 2 < text_.size()) {
      const char kind = static_cast<char>(text_[end + 1] | 0x20);
      base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
      if (base != 10) end += 2;
    }
    const auto take_digits = [&](bool hex) {
      for (; end < text_.size(); ++end) {
        const char c = text_[end];
        if (c == '_') continue;
        if (!is_digit(c) && !(hex && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))) break;
        digits += c;
      }
    };
    take_digits(base == 16);
    bool is_float = false;
    if (base == 10) {
      const auto digit_at = [&](size_t i) { return i < text_.size() && is_digit(text_[i]); };
      if (end < text_.size() && text_[end] == '.' && digit_at(end + 1)) {
        // In x.0.1 the dots are subscripts, so a number right after a dot takes no fraction.
        if (tokens_.empty() || tokens_.back().kind != TokenKind::kOperator || tokens_.back().text != ".") {
          is_float = true;
          digits += '.';
          ++end;
          take_digits(false);
        }
      }
      if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
        const size_t sign = end + 1 < text_.size() && (text_[end + 1] == '+' || text_[end + 1] == '-') ? 1 : 0;
        if (digit_at(end + 1 + sign)) {
          is_float = true;
          digits += text_.substr(end, 1 + sign);
          end += 1 + sign;
          take_digits(false);
        }
      }
    }
    Token token{TokenKind::kNumber, digits, {}, line_};
    if (is_float) {
      token.number = Value::real(std::strtod(digits.c_str(), nullptr));
    } else {
      int64_t v = 0;
      const auto [stop, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), v, base);
      if (ec != std::errc{} || stop != digits.data() + digits.size()) fail("a number that isn't one of 64 bits");
      token.number = Value::integer(v);
    }
    tokens_.push_back(std::move(token));
    advance(end - pos_);
  }

  void string(char quote) {
    std::string out;
    const int line = line_;
    size_t p = pos_ + 1;
    while (true) {
      if (p >= text_.size()) fail("a string isn't closed");
      const char c = text_[p];
      if (c == quote) break;
      if (c != '\\') {
        out += c;
        ++p;
        continue;
      }
      if (p + 1 >= text_.size()) fail("a string isn't closed");
      p = escape(p + 1, out);
    }
    tokens_.push_back(Token{TokenKind::kString, std::move(out), {}, line});
    advance(p + 1 - pos_);
  }

  // The escape whose letter is at p; returns the position after it.
  size_t escape(size_t p, std::string& out) const {
    const char c = text_[p];
    static constexpr std::string_view kLetters = "\\'\"abfnrtv";
    static constexpr std::string_view kMeant = "\\'\"\a\b\f\n\r\t\v";
    if (const size_t i = kLetters.find(c); i != std::string_view::npos) {
      out += kMeant[i];
      return p + 1;
    }
    if (c == '\n') return p + 1;
    if (c >= '0' && c <= '7') {
      uint32_t v = 0;
      size_t n = 0;
      for (; n < 3 && p + n < text_.size() && text_[p + n] >= '0' && text_[p + n] <= '7'; ++n)
        v = v * 8 + static_cast<uint32_t>(text_[p + n] - '0');
      append_utf8(out, v);
      return p + n;
    }
    const size_t n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n > 0) {
      uint32_t v = 0;
      const std::string_view digits = text_.substr(p + 1, n);
      const auto [stop, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), v, 16);
      if (digits.size() != n || ec != std::errc{} || stop != digits.data() + n || v > 0x10ffff)
        fail(fmt::format("a \\{} escape without its {} hexadecimal digits", c, n));
      append_utf8(out, v);
      return p + 1 + n;
    }
    if (c == 'N') fail("\\N escapes aren't known here");
    out += '\\';
    return p;  // an unknown escape stands for itself
  }

  std::string source_;
  std::string_view text_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_start_ = true;  // the last tag took the newline after it, or there was none yet
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace slm::text::jinja
