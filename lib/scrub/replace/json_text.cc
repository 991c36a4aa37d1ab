#include "scrub/replace/json_text.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "scrub/detect/normalise.h"

namespace slm::scrub {

namespace {

constexpr int kMaxDepth = 64;

// Keys that only a person's record has.
constexpr std::array<std::string_view, 30> kPersonKeys = {
    "email",      "e mail",   "email address", "phone",      "phone number", "mobile",   "telephone",   "dob",
    "birth date", "birthday", "date of birth", "first name", "last name",    "surname",  "given name",  "family name",
    "gender",     "age",      "address",       "street",     "ssn",          "passport", "customer id", "user id",
    "contact",    "title",    "loyalty tier",  "membership", "iban",         "employer"};
// Keys that say little without the object they are in.
constexpr std::array<std::string_view, 8> kThinKeys = {"name",  "full", "first", "last",
                                                       "value", "text", "label", "display name"};

template <size_t N>
bool among(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

struct Member {
  size_t scalar;    // index of the scalar, or npos
  std::string key;  // words
};

class Walker {
 public:
  explicit Walker(std::string_view text) : text_(text) {}

  std::optional<std::vector<JsonScalar>> run() {
    skip_space();
    if (at_ >= text_.size() || (text_[at_] != '{' && text_[at_] != '[')) return std::nullopt;
    if (!value("", "", 0)) return std::nullopt;
    skip_space();
    if (at_ != text_.size()) return std::nullopt;
    return std::move(scalars_);
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool word(std::string_view w) {
    if (text_.substr(at_, w.size()) != w) return false;
    at_ += w.size();
    return true;
  }
  bool digits() {
    const size_t from = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ > from;
  }
  bool number() {
    if (at_ < text_.size() && text_[at_] == '-') ++at_;
    if (at_ < text_.size() && text_[at_] == '0') {
      ++at_;
    } else if (!digits()) {
      return false;
    }
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      if (!digits()) return false;
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      if (!digits()) return false;
    }
    return true;
  }
  bool string() {
    if (at_ >= text_.size() || text_[at_] != '"') return false;
    for (++at_; at_ < text_.size(); ++at_) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c < 0x20) return false;
      if (c != '\\') continue;
      ++at_;
      if (at_ >= text_.size()) return false;
      if (text_[at_] == 'u') {
        for (int k = 0; k < 4; ++k) {
          ++at_;
          if (at_ >= text_.size() ||
              std::string_view("0123456789abcdefABCDEF").find(text_[at_]) == std::string_view::npos)
            return false;
        }
      } else if (std::string_view("\"\\/bfnrt").find(text_[at_]) == std::string_view::npos) {
        return false;
      }
    }
    return false;
  }

  // key: words of the nearest key; owner: words of the key of the object that it is in.
  bool value(const std::string& key, const std::string& owner, int depth) {
    skip_space();
    if (at_ >= text_.size() || depth > kMaxDepth) return false;
    const size_t begin = at_;
    switch (text_[at_]) {
      case '{':
        return object(key, depth);
      case '[':
        return array(key, owner, depth);
      case '"':
        if (!string()) return false;
        scalars_.push_back({begin, at_, true, false, label_of(key, owner)});
        return true;
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        if (!number()) return false;
        scalars_.push_back({begin, at_, false, false, label_of(key, owner)});
        return true;
    }
  }

  bool array(const std::string& key, const std::string& owner, int depth) {
    ++at_;
    if (take(']')) return true;
    // Elements of "passengers" are each a passenger.
    const std::string one = key.size() > 3 && key.back() == 's' ? key.substr(0, key.size() - 1) : key;
    do {
      if (!value(one, owner, depth + 1)) return false;
    } while (take(','));
    return take(']');
  }

  bool object(const std::string& own_key, int depth) {
    ++at_;
    if (take('}')) return true;
    std::vector<Member> members;
    bool person = false;
    do {
      skip_space();
      const size_t begin = at_;
      if (!string()) return false;
      scalars_.push_back({begin, at_, true, true, {}});
      // A key longer than this is data, not a label.
      std::string key = at_ - begin > 66 ? std::string() : key_words(json_unescape(text_.substr(begin, at_ - begin)));
      if (!take(':')) return false;
      person = person || among(kPersonKeys, key);
      const size_t first = scalars_.size();
      if (!value(key, own_key, depth + 1)) return false;
      const bool one = scalars_.size() == first + 1;
      members.push_back({one ? first : std::string::npos, std::move(key)});
    } while (take(','));
    if (!take('}')) return false;
    // "name" alone: a person's where the record is one, a thing's where other keys stand beside it.
    for (const Member& m : members) {
      if (m.key != "name" || m.scalar == std::string::npos || scalars_[m.scalar].label != "name") continue;
      scalars_[m.scalar].label = person ? "full name" : members.size() == 1 ? "name" : "";
    }
    return true;
  }

  static std::string label_of(const std::string& key, const std::string& owner) {
    if (!among(kThinKeys, key) || owner.empty() || among(kThinKeys, owner))
      return key == "first" || key == "last" ? key + " name" : key;
    if (key == "first" || key == "last" || key == "full") return key + " name";
    return owner + " " + key;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<JsonScalar> scalars_;
};

void append_unescaped(std::string& out, std::string_view token, size_t& at) {
  const auto hex4 = [&](size_t from) {
    uint32_t v = 0;
    for (size_t k = 0; k < 4; ++k) {
      const char c = token[from + k];
      v = v << 4 | static_cast<uint32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return v;
  };
  const char c = token[at + 1];
  at += 2;
  switch (c) {
    case 'b':
      out.push_back('\b');
      return;
    case 'f':
      out.push_back('\f');
      return;
    case 'n':
      out.push_back('\n');
      return;
    case 'r':
      out.push_back('\r');
      return;
    case 't':
      out.push_back('\t');
      return;
    case 'u': {
      char32_t code = hex4(at);
      at += 4;
      if (code >= 0xD800 && code < 0xDC00 && token.substr(at, 2) == "\\u") {
        const uint32_t low = hex4(at + 2);
        if (low >= 0xDC00 && low < 0xE000) {
          code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
          at += 6;
        }
      }
      append_utf8(out, code >= 0xD800 && code < 0xE000 ? 0xFFFD : code);
      return;
    }
    default:
      out.push_back(c);
  }
}

}  // namespace

bool looks_like_json(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || (text[first] != '{' && text[first] != '[')) return false;
  const size_t last = text.find_last_not_of(" \t\r\n");
  return text[last] == (text[first] == '{' ? '}' : ']');
}

std::optional<std::vector<JsonScalar>> json_scalars(std::string_view text) { return Walker(text).run(); }

std::string json_unescape(std::string_view token) {
  std::string out;
  out.reserve(token.size());
  const size_t end = token.size() - 1;
  for (size_t at = 1; at < end;) {
    if (token[at] != '\\') {
      out.push_back(token[at++]);
    } else {
      append_unescaped(out, token.substr(0, end), at);
    }
  }
  return out;
}

std::string json_escape(std::string_view value) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : value) {
    const auto b = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (b < 0x20) {
          out += "\\u00";
          out.push_back(kHex[b >> 4]);
          out.push_back(kHex[b & 15]);
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
  return out;
}

std::string key_words(std::string_view key) {
  std::string out;
  for (size_t i = 0; i < key.size(); ++i) {
    const char c = key[i];
    const bool upper = c >= 'A' && c <= 'Z';
    if (c == '_' || c == '-' || c == '.' || c == ' ' || c == '/') {
      if (!out.empty() && out.back() != ' ') out.push_back(' ');
      continue;
    }
    const bool after_lower =
        i > 0 && ((key[i - 1] >= 'a' && key[i - 1] <= 'z') || (key[i - 1] >= '0' && key[i - 1] <= '9'));
    if (upper && after_lower && out.back() != ' ') out.push_back(' ');
    out.push_back(upper ? static_cast<char>(c + 32) : c);
  }
  return out;
}

}  // namespace slm::scrub
