#include "scrub/replace/surrogate.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "core/hash.h"
#include "scrub/detect/names.h"
#include "scrub/detect/normalise.h"
#include "scrub/detect/validate.h"

namespace slm::scrub {

namespace {

// After this many tries a collision is let stand: the pool is nearly used up (762 documentation addresses).
constexpr int kMaxAttempts = 200;

// Invented names are a head and a tail; none is meant to be anyone's.
constexpr std::array<std::string_view, 48> kGivenHeads = {
    "Al",  "Ar",  "Bel", "Bri", "Cal",  "Cor", "Da",  "Del", "Dor", "El",  "Em",  "Fa",  "Fen", "Fli", "Gal", "Ger",
    "Hal", "Hes", "Il",  "Is",  "Jar",  "Jo",  "Kal", "Ke",  "Kir", "La",  "Len", "Lor", "Mar", "Mel", "Mir", "Na",
    "Nel", "Ni",  "Or",  "Pel", "Quen", "Ra",  "Ro",  "Sel", "Sil", "Tal", "Ter", "Tha", "Ul",  "Val", "Vi",  "Wen"};
constexpr std::array<std::string_view, 32> kGivenTails = {"dan", "dara", "dell", "dra", "fin", "ga",   "lan",  "lena",
                                                          "lia", "lin",  "lis",  "lo",  "man", "mina", "mir",  "mo",
                                                          "na",  "nan",  "nell", "nor", "ra",  "ric",  "rin",  "rona",
                                                          "san", "sha",  "sten", "tan", "tia", "tor",  "vara", "vin"};
constexpr std::array<std::string_view, 56> kFamilyHeads = {
    "Ald",  "Amb",  "Bar",  "Bex",  "Birn", "Bran", "Brel", "Cald", "Carr", "Chel",  "Clay",  "Cren", "Dal",  "Darn",
    "Dray", "Eld",  "Elm",  "Fal",  "Farn", "Fell", "Gar",  "Glen", "Gor",  "Grims", "Hald",  "Harl", "Hask", "Holl",
    "Ing",  "Kel",  "Kern", "Kirk", "Lang", "Lark", "Lind", "Lod",  "Mar",  "Mel",   "Mor",   "Nor",  "Oak",  "Orm",
    "Pem",  "Penn", "Quar", "Rad",  "Ros",  "Row",  "Sed",  "Shel", "Stan", "Tarr",  "Thorn", "Ul",   "Wal",  "Wex"};
constexpr std::array<std::string_view, 40> kFamilyTails = {
    "ard",  "aster", "beck", "berg",  "borne",   "brook", "by",    "combe", "croft", "dale",
    "den",  "don",   "dyke", "ell",   "ett",     "field", "fleet", "gate",  "grave", "ham",
    "holm", "ick",   "ing",  "kin",   "land",    "ley",   "low",   "man",   "mere",  "moor",
    "more", "ner",   "shaw", "stead", "thwaite", "ton",   "vale",  "well",  "wick",  "worth"};

bool digit(char c) { return c >= '0' && c <= '9'; }
bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool upper(char c) { return c >= 'A' && c <= 'Z'; }
char to_upper(char c) { return lower(c) ? static_cast<char>(c - 32) : c; }

std::string upper_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = to_upper(c);
  return out;
}

// The new word in the case of the old one.
std::string like_case(std::string fresh, std::string_view old) {
  const bool any_lower = std::any_of(old.begin(), old.end(), lower);
  const bool any_upper = std::any_of(old.begin(), old.end(), upper);
  if (!any_upper && any_lower) return fold_case(fresh);
  if (!any_lower && any_upper && old.size() > 1) return upper_ascii(fresh);
  return fresh;
}

}  // namespace

// Uniform numbers from the 32 key bytes and, beyond them, SHA-256 in counter mode over them.
class SurrogateMaker::Stream {
 public:
  explicit Stream(const Digest& seed) : seed_(seed), block_(seed) {}
  uint8_t byte() {
    if (at_ == block_.size()) {
      Bytes input(seed_.begin(), seed_.end());
      put_u32(input, ++counter_);
      block_ = sha256(input);
      at_ = 0;
    }
    return block_[at_++];
  }
  uint32_t below(uint32_t bound) {
    uint32_t v = 0;
    for (int i = 0; i < 4; ++i) v = v << 8 | byte();
    return static_cast<uint32_t>((uint64_t{v} * bound) >> 32);
  }
  char digit_char() { return static_cast<char>('0' + below(10)); }
  template <size_t N>
  std::string_view pick(const std::array<std::string_view, N>& pool) {
    return pool[below(N)];
  }

 private:
  Digest seed_, block_;
  size_t at_ = 0;
  uint32_t counter_ = 0;
};

namespace {

// Every letter and digit by another of its kind; hexadecimal stays hexadecimal.
template <class Stream>
std::string same_shape(std::string_view value, size_t n_kept, Stream& stream) {
  const std::string_view rest = value.substr(n_kept);
  const bool hex = std::all_of(rest.begin(), rest.end(), [](char c) {
    return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '-' || c == ':';
  });
  const uint32_t n_letters = hex ? 6 : 26;
  std::string out(value.substr(0, n_kept));
  for (size_t at = 0; at < rest.size();) {
    const char c = rest[at];
    if (static_cast<unsigned char>(c) >= 0x80) {
      next_char(rest, at);
      out.push_back(static_cast<char>('a' + stream.below(26)));
      continue;
    }
    ++at;
    if (digit(c)) {
      out.push_back(stream.digit_char());
    } else if (lower(c)) {
      out.push_back(static_cast<char>('a' + stream.below(n_letters)));
    } else if (upper(c)) {
      out.push_back(static_cast<char>('A' + stream.below(n_letters)));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// Puts new digits where the old ones stood.
std::string put_digits(std::string_view shape, std::string_view digits) {
  std::string out(shape);
  size_t at = 0;
  for (char& c : out)
    if (digit(c) && at < digits.size()) c = digits[at++];
  return out;
}

template <class Stream>
std::string phone(std::string_view value, Stream& stream) {
  // An extension is a number of its own; all its digits are new as well.
  const size_t ext = value.find_first_of("xeXE");
  const std::string old = digits_of(value.substr(0, ext));
  const size_t n = old.size();
  // Digits are made from the right, so that +1 212 … and 212 … agree where they overlap.
  std::string fresh(n, '0');
  for (size_t i = 0; i < n; ++i) {
    char c = stream.digit_char();
    if ((i == 6 || i == 9) && c < '2')
      c = static_cast<char>(c + 2);  // an area or exchange code never begins with 0 or 1
    fresh[n - 1 - i] = c;
  }
  size_t n_kept = n > 10 ? n - 10 : 0;
  if (n_kept == 0 && value.find('+') != std::string_view::npos) n_kept = 2;
  if (n_kept == 0 && old[0] == '0') n_kept = 1;
  for (size_t i = 0; i < std::min(n_kept, n); ++i) fresh[i] = old[i];
  if (fresh[0] == '0' && old[0] != '0') fresh[0] = '3';
  std::string out = put_digits(value.substr(0, ext), fresh);
  if (ext != std::string_view::npos)
    out += same_shape(value.substr(ext), std::min<size_t>(3, value.substr(ext).find_first_of("0123456789")), stream);
  return out;
}

template <class Stream>
std::string card(std::string_view value, Stream& stream) {
  const std::string old = digits_of(value);
  // Issuer digits: enough of them that the brand stays.
  const size_t n_kept = old[0] == '4' ? 1 : old[0] == '5' || old.starts_with("34") || old.starts_with("37") ? 2 : 4;
  std::string fresh = old.substr(0, std::min(n_kept, old.size() - 1));
  while (fresh.size() + 1 < old.size()) fresh.push_back(stream.digit_char());
  fresh.push_back(luhn_digit(fresh));
  return put_digits(value, fresh);
}

template <class Stream>
std::string iban(std::string_view value, Stream& stream) {
  std::string plain;
  for (const char c : value)
    if (c != ' ' && c != '-') plain.push_back(to_upper(c));
  std::string fresh = plain.substr(0, 2) + "00";
  for (const char c : plain.substr(4))
    fresh.push_back(digit(c) ? stream.digit_char() : static_cast<char>('A' + stream.below(26)));
  const int check = 98 - iban_remainder(fresh);
  fresh[2] = static_cast<char>('0' + check / 10);
  fresh[3] = static_cast<char>('0' + check % 10);
  const bool small = std::any_of(value.begin(), value.end(), lower);
  std::string out;
  size_t at = 0;
  for (const char c : value) out.push_back(c == ' ' || c == '-' ? c : fresh[at++]);
  return small ? fold_case(out) : out;
}

template <class Stream>
std::string ip(std::string_view value, Stream& stream) {
  if (value.find(':') == std::string_view::npos) {
    static constexpr std::array<std::string_view, 3> kNets = {"192.0.2.", "198.51.100.", "203.0.113."};
    const std::string_view net = stream.pick(kNets);
    return fmt::format("{}{}", net, 1 + stream.below(254));
  }
  const uint32_t a = stream.below(65536), b = stream.below(65536), c = 1 + stream.below(65535);
  return fmt::format("2001:db8:{:x}:{:x}::{:x}", a, b, c);
}

// How much of a key is its prefix.
size_t key_prefix(TypeIndex type, std::string_view value) {
  if (type == kJwt) return 3;
  for (const std::string_view prefix : {"sk-ant-api03-", "sk-ant-admin01-",
                                        "sk-ant-",       "sk-proj-",
                                        "sk-svcacct-",   "sk-admin-",
                                        "sk-or-v1-",     "sk-",
                                        "hf_",           "gsk_",
                                        "r8_",           "pplx-",
                                        "xai-",          "nvapi-",
                                        "AKIA",          "ASIA",
                                        "AROA",          "AIDA",
                                        "ABIA",          "ACCA",
                                        "AIza",          "ya29.",
                                        "GOCSPX-",       "ghp_",
                                        "gho_",          "ghu_",
                                        "ghs_",          "ghr_",
                                        "github_pat_",   "glpat-",
                                        "dop_v1_",       "shpat_",
                                        "npm_",          "pypi-",
                                        "dckr_pat_",     "xoxa-",
                                        "xoxb-",         "xoxp-",
                                        "xoxr-",         "xoxs-",
                                        "xapp-",         "sk_live_",
                                        "sk_test_",      "rk_live_",
                                        "rk_test_",      "whsec_",
                                        "ops_",          "fw_",
                                        "csk-"})
    if (value.starts_with(prefix)) return prefix.size();
  return 0;
}

template <class Stream>
std::string jwt(std::string_view value, Stream& stream) {
  std::string out = same_shape(value, 3, stream);
  // Each JSON part still begins like one.
  for (size_t at = value.find(".eyJ"); at != std::string_view::npos; at = value.find(".eyJ", at + 1))
    out.replace(at, 4, ".eyJ");
  return out;
}

template <class Stream>
std::string pem(std::string_view value, Stream& stream) {
  std::string out;
  for (size_t at = 0; at < value.size();) {
    const size_t dashes = value.find("-----", at);
    const size_t end = std::min(dashes, value.size());
    // An escaped line break stays one.
    for (size_t i = at; i < end;) {
      if (value[i] == '\\' && i + 1 < end) {
        out += value.substr(i, 2);
        i += 2;
        continue;
      }
      const size_t stop = std::min(value.find('\\', i), end);
      out += same_shape(value.substr(i, stop - i), 0, stream);
      i = stop;
    }
    if (dashes == std::string_view::npos) break;
    const size_t close = value.find("-----", dashes + 5);
    const size_t next = close == std::string_view::npos ? value.size() : close + 5;
    out += value.substr(dashes, next - dashes);
    at = next;
  }
  return out;
}

}  // namespace

std::string canonical_value(TypeIndex type, std::string_view value) {
  switch (type) {
    case kPhone:
      return std::string(number_key(digits_of(value.substr(0, value.find_first_of("xeXE")))));
    case kCard:
      return digits_of(value);
    case kIban: {
      std::string out;
      for (const char c : value)
        if (c != ' ' && c != '-') out.push_back(to_upper(c));
      return out;
    }
    case kEmail:
    case kIp:
    case kPerson:
      return fold_case(value);
    default:
      return std::string(value);
  }
}

Result<SurrogateMaker::Stream> SurrogateMaker::stream(std::string_view kind, std::string_view value, const Scope& scope,
                                                      int attempt) const {
  Bytes input;
  put_field(input, as_bytes(scope.session));
  put_field(input, as_bytes(kind));
  put_field(input, as_bytes(value));
  put_u32(input, static_cast<uint32_t>(attempt));
  SLM_TRY(const Digest digest, key_(as_text(input)));
  return Stream(digest);
}

Result<std::string> SurrogateMaker::claim(std::string_view kind, std::string_view value, const Scope& scope,
                                          const std::function<std::string(Stream&)>& make_one) {
  std::string fresh;
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    SLM_TRY(Stream numbers, stream(kind, value, scope, attempt));
    fresh = make_one(numbers);
    if (fold_case(fresh) == fold_case(value)) continue;  // itself
    if (ledger_->claim(scope.session, kind, fold_case(fresh), value)) break;
  }
  return fresh;
}

Result<std::string> SurrogateMaker::make(TypeIndex type, std::string_view type_name, std::string_view value,
                                         const Scope& scope) {
  if (type == kPerson) return person(value, scope);
  if (type == kEmail && value.find('@') != std::string_view::npos) return email(value, scope);
  const std::string canonical = canonical_value(type, value);
  std::string shaped;
  SLM_TRY(const std::string key, claim(type_name, canonical, scope, [&](Stream& s) {
            switch (type) {
              case kPhone:
                shaped = phone(value, s);
                break;
              case kCard:
                shaped = card(value, s);
                break;
              case kIban:
                shaped = iban(value, s);
                break;
              case kIp:
                shaped = ip(value, s);
                break;
              case kJwt:
                shaped = jwt(value, s);
                break;
              case kPrivateKey:
                shaped = pem(value, s);
                break;
              default:
                shaped = same_shape(value, key_prefix(type, value), s);
            }
            return canonical_value(type, shaped);
          }));
  (void)key;
  return shaped;
}

Result<std::string> SurrogateMaker::name_word(std::string_view word, NamePart part, const Scope& scope) {
  const std::string folded = fold_case(word);
  const std::string_view kind = part == NamePart::kFamily ? "person/family" : "person/given";
  SLM_TRY(const std::string fresh, claim(kind, folded, scope, [&](Stream& s) {
            const bool family = part == NamePart::kFamily;
            const std::string_view head = family ? s.pick(kFamilyHeads) : s.pick(kGivenHeads);
            const std::string_view tail = family ? s.pick(kFamilyTails) : s.pick(kGivenTails);
            return std::string(head) + std::string(tail);
          }));
  return like_case(fresh, word);
}

Result<std::string> SurrogateMaker::person(std::string_view value, const Scope& scope) {
  const auto tokens = name_tokens(value);
  size_t n_words = 0, nth = 0;
  for (const std::string_view token : tokens) n_words += is_particle(token) || is_initial(token) ? 0 : 1;
  std::string out;
  size_t from = 0;
  for (const std::string_view token : tokens) {
    const auto begin = static_cast<size_t>(token.data() - value.data());
    out += value.substr(from, begin - from);
    from = begin + token.size();
    if (is_particle(token)) {
      out += token;
      continue;
    }
    if (is_initial(token)) {
      // The initial of the name that it stands for, where the session tells which.
      const std::string folded = fold_case(token.substr(0, 1));
      const std::string_view full = scope.known != nullptr ? scope.known->given_name_of(folded) : std::string_view{};
      SLM_TRY(const std::string fresh,
              name_word(full.empty() ? std::string_view(folded) : full, NamePart::kGiven, scope));
      for (size_t at = 0; at < token.size();) {
        const size_t was = at;
        next_char(token, at);
        out += token.substr(was, at - was) == "." ? std::string(".") : upper_ascii(fresh.substr(0, 1));
      }
      continue;
    }
    ++nth;
    NamePart part = n_words > 1 && nth == n_words ? NamePart::kFamily : NamePart::kGiven;
    // A hyphenated word is two of its kind.
    for (size_t at = 0; at <= token.size();) {
      const size_t hyphen = std::min(token.find('-', at), token.size());
      const std::string_view piece = token.substr(at, hyphen - at);
      if (scope.known != nullptr)
        if (const NamePart* known = scope.known->part_of(fold_case(token))) part = *known;
      if (!piece.empty()) {
        SLM_TRY(const std::string fresh, name_word(piece, part, scope));
        out += fresh;
      }
      if (hyphen < token.size()) out.push_back('-');
      at = hyphen + 1;
    }
  }
  out += value.substr(from);
  return out;
}

Result<std::string> SurrogateMaker::email(std::string_view value, const Scope& scope) {
  const size_t at_sign = value.find('@');
  const std::string_view local = value.substr(0, at_sign), domain = value.substr(at_sign + 1);
  SLM_TRY(const std::string host, claim("email/domain", fold_case(domain), scope, [&](Stream& s) {
            return fold_case(std::string(s.pick(kFamilyHeads)) + std::string(s.pick(kFamilyTails))) + ".example";
          }));
  // A word of the local part that is a part of a name in this session becomes what that name became.
  std::vector<std::pair<std::string, std::string>> named;
  std::string word;
  const std::string folded = fold_case(local) + ".";
  for (const char c : folded) {
    if (lower(c)) {
      word.push_back(c);
      continue;
    }
    const NamePart* part = scope.known != nullptr && !word.empty() ? scope.known->part_of(word) : nullptr;
    if (part != nullptr) {
      SLM_TRY(const std::string fresh, name_word(word, *part, scope));
      named.emplace_back(word, fold_case(fresh));
    }
    word.clear();
  }
  return claim("email", fold_case(value), scope, [&](Stream& s) {
    std::string out;
    size_t i = 0;
    while (i < local.size()) {
      const auto b = static_cast<unsigned char>(local[i]);
      if (digit(local[i])) {
        out.push_back(s.digit_char());
        ++i;
      } else if (lower(local[i]) || upper(local[i]) || b >= 0x80) {
        size_t end = i;
        while (end < local.size() &&
               (lower(local[end]) || upper(local[end]) || static_cast<unsigned char>(local[end]) >= 0x80))
          ++end;
        const std::string old = fold_case(local.substr(i, end - i));
        const auto known = std::find_if(named.begin(), named.end(), [&](const auto& n) { return n.first == old; });
        if (known != named.end()) {
          out += known->second;
        } else if (end - i <= 2) {
          for (size_t k = i; k < end; ++k) out.push_back(static_cast<char>('a' + s.below(26)));
        } else {
          out += fold_case(s.pick(kGivenHeads)) + std::string(s.pick(kGivenTails));
        }
        i = end;
      } else {
        out.push_back(local[i++]);
      }
    }
    return out + "@" + host;
  });
}

}  // namespace slm::scrub
