#include <fmt/format.h>

#include "text/pipeline/pattern.h"

namespace slm::text::pipeline {
namespace {

// The insides of classes as Oniguruma has them; PCRE2's own \s holds U+180E, and its \w no marks.
constexpr std::string_view kSpaces =
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr std::string_view kWords =
    "\\p{L}\\p{Nl}\\p{M}\\p{Nd}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{"
    "1f189}";

// Outside brackets Oniguruma goes by a table for Latin-1, where superscripts and fractions are words too.
constexpr std::string_view kLatinWords = "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

class Translator {
 public:
  explicit Translator(std::string_view in) : in_(in) {}

  Result<std::string> run() {
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        SLM_CHECK(escape());
      } else if (depth_ > 0) {
        SLM_CHECK(in_class(c));
      } else if (c == '[') {
        SLM_CHECK(open_class());
      } else if (c == '(') {
        SLM_CHECK(group());
      } else if (c == '{') {
        SLM_CHECK(interval());
      } else {
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  tl::unexpected<Error> refuse(std::string_view what) const {
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("tokenizer.json: the regular expression {} has {}, which this build doesn't do",
                            in_.substr(0, 400), what));
  }
  void copy(size_t n) {
    out_ += in_.substr(at_, n);
    at_ += n;
  }
  char peek(size_t ahead) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  std::string words() const { return fmt::format("{}{}", kWords, depth_ == 0 ? kLatinWords : ""); }
  // A shorthand class; `inside` may stand between brackets as it is.
  Status shorthand(std::string_view inside, bool negated) {
    at_ += 2;
    if (depth_ == 0) {
      out_ += negated ? "[^" : "[";
      out_ += inside;
      out_ += ']';
    } else if (!negated) {
      out_ += inside;
    } else {
      return refuse("a negated \\w or \\h between brackets");
    }
    return {};
  }

  Status escape() {
    switch (peek(1)) {
      case '\0':
        return refuse("a backslash at its end");
      case 's':
        return shorthand(kSpaces, false);
      case 'S':
        if (depth_ > 0) {
          at_ += 2;
          out_ += "\\S\\x{180e}";
          return {};
        }
        return shorthand(kSpaces, true);
      case 'w':
        return shorthand(words(), false);
      case 'W':
        return shorthand(words(), true);
      case 'h':
        return shorthand("0-9a-fA-F", false);
      case 'H':
        return shorthand("0-9a-fA-F", true);
      case 'v':
        at_ += 2;
        out_ += "\\x0b";
        return {};
      case 'u':
        for (size_t i = 2; i < 6; ++i)
          if (peek(i) == '\0') return refuse("\\u without four digits");
        out_ += fmt::format("\\x{{{}}}", in_.substr(at_ + 2, 4));
        at_ += 6;
        return {};
      case 'b':
        if (depth_ > 0) break;
        at_ += 2;
        out_ += fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", words());
        return {};
      case 'B':
      case 'C':
      case 'E':
      case 'G':
      case 'K':
      case 'M':
      case 'N':
      case 'O':
      case 'Q':
      case 'R':
      case 'X':
      case 'Y':
      case 'c':
      case 'g':
      case 'k':
      case 'y':
        return refuse(fmt::format("\\{}", peek(1)));
      default:
        break;
    }
    copy(2);
    return {};
  }

  Status open_class() {
    depth_ = 1;
    copy(peek(1) == '^' ? 2 : 1);
    if (peek(0) == ']') copy(1);
    return {};
  }

  // Oniguruma's classes nest: [a[bc]] is [abc].
  Status in_class(char c) {
    if (c == '&' && peek(1) == '&') return refuse("&& between brackets");
    if (c == '[' && peek(1) == ':') return refuse("a POSIX class");
    if (c == '[' && peek(1) == '^') return refuse("a negated class between brackets");
    if (c == '[') {
      ++depth_;
      ++at_;
    } else if (c == ']') {
      if (--depth_ == 0) out_ += ']';
      ++at_;
    } else {
      copy(1);
    }
    return {};
  }

  Status group() {
    if (peek(1) == '*') return refuse("(*");
    if (peek(1) != '?') {
      copy(1);
      return {};
    }
    copy(2);
    while (peek(0) == 'i' || peek(0) == 'x' || peek(0) == 'm' || peek(0) == '-') {
      if (peek(0) == 'x') return refuse("the option x");
      out_ += peek(0) == 'm' ? 's' : peek(0);  // Ruby's m lets . match a newline
      ++at_;
    }
    constexpr std::string_view kKnown = ":)=!><";
    if (peek(0) == '\0' || kKnown.find(peek(0)) == std::string_view::npos) return refuse("a group of another kind");
    return {};
  }

  // {n,m} alone means the same in both.
  Status interval() {
    size_t end = at_ + 1;
    bool comma = false;
    while (end < in_.size() && ((in_[end] >= '0' && in_[end] <= '9') || in_[end] == ',')) comma |= in_[end++] == ',';
    if (end >= in_.size() || in_[end] != '}' || end == at_ + 1) {
      copy(1);
      return {};
    }
    if (in_[at_ + 1] == ',') return refuse("an interval without a lower bound");
    const char after = end + 1 < in_.size() ? in_[end + 1] : '\0';
    if (after == '+' || after == '*' || (after == '?' && !comma)) return refuse("a quantifier after an interval");
    copy(end + 1 - at_);
    return {};
  }

  std::string_view in_;
  size_t at_ = 0;
  int depth_ = 0;  // of brackets
  std::string out_;
};

}  // namespace

Result<std::string> translate_regex(std::string_view expression) { return Translator(expression).run(); }

}  // namespace slm::text::pipeline
