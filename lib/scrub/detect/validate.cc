#include "scrub/detect/validate.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

namespace slm::scrub {

namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool upper(char c) { return c >= 'A' && c <= 'Z'; }
bool letter(char c) { return lower(c) || upper(c); }
char to_upper(char c) { return lower(c) ? static_cast<char>(c - 32) : c; }

std::string lower_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (upper(c)) c = static_cast<char>(c + 32);
  return out;
}

// Whether one of these words stands in the text as a whole word. Requires: lower case.
template <size_t N>
bool has_word(std::string_view text, const std::array<std::string_view, N>& words) {
  const std::string folded = lower_ascii(text);
  for (const std::string_view word : words) {
    for (size_t at = folded.find(word); at != std::string::npos; at = folded.find(word, at + 1)) {
      const size_t end = at + word.size();
      const bool left = at == 0 || !(letter(folded[at - 1]) || digit(folded[at - 1]));
      const bool right = end == folded.size() || !letter(folded[end]) ||
                         (folded[end] == 's' && (end + 1 == folded.size() || !letter(folded[end + 1])));
      if (left && right) return true;
    }
  }
  return false;
}

struct Run {
  size_t begin, end;
  size_t size() const { return end - begin; }
};
std::vector<Run> digit_runs(std::string_view text, size_t begin, size_t end) {
  std::vector<Run> runs;
  for (size_t i = begin; i < end;) {
    if (!digit(text[i])) {
      ++i;
      continue;
    }
    const size_t from = i;
    while (i < end && digit(text[i])) ++i;
    runs.push_back({from, i});
  }
  return runs;
}

int number(std::string_view digits, size_t n) {
  int v = 0;
  for (size_t i = 0; i < n && i < digits.size(); ++i) v = v * 10 + (digits[i] - '0');
  return v;
}

// Issuer prefixes and the lengths that they use.
bool card_brand(std::string_view d) {
  const size_t n = d.size();
  const int p1 = number(d, 1), p2 = number(d, 2), p3 = number(d, 3), p4 = number(d, 4);
  if (p1 == 4) return n == 13 || n == 16 || n == 19;
  if ((p2 >= 51 && p2 <= 55) || (p4 >= 2221 && p4 <= 2720)) return n == 16;
  if (p2 == 34 || p2 == 37) return n == 15;
  if (p4 == 6011 || p2 == 65 || (p3 >= 644 && p3 <= 649)) return n >= 16 && n <= 19;
  if (p4 >= 3528 && p4 <= 3589) return n >= 16 && n <= 19;
  if ((p3 >= 300 && p3 <= 305) || p3 == 309 || p2 == 36 || p2 == 38 || p2 == 39) return n >= 14 && n <= 19;
  if (p4 == 2131 || p4 == 1800) return n == 15;
  if (p2 == 62 || p2 == 81) return n >= 16 && n <= 19;
  if (p4 >= 2200 && p4 <= 2204) return n >= 16 && n <= 19;
  if (p2 == 50 || (p2 >= 56 && p2 <= 69)) return n >= 12 && n <= 19;
  return false;
}

bool date_like(std::string_view text) {
  const auto runs = digit_runs(text, 0, text.size());
  if (runs.size() < 3) return false;
  const auto value = [&](size_t i) { return number(text.substr(runs[i].begin), runs[i].size()); };
  const auto year = [&](size_t i) { return runs[i].size() == 4 && value(i) >= 1900 && value(i) <= 2100; };
  const auto small = [&](size_t i, int most) { return runs[i].size() <= 2 && value(i) >= 1 && value(i) <= most; };
  if (year(0) && small(1, 12) && small(2, 31)) return true;
  return year(2) && small(0, 31) && small(1, 31);
}

// Words that say that a number is something else than a telephone number.
constexpr std::array<std::string_view, 36> kOtherNumbers = {
    "order",   "invoice",  "ticket",  "case",  "tracking", "account",      "ref",   "reference", "id",
    "booking", "sku",      "serial",  "zip",   "postcode", "code",         "pin",   "total",     "amount",
    "parcel",  "shipment", "receipt", "claim", "policy",   "confirmation", "item",  "article",   "version",
    "year",    "date",     "model",   "imei",  "card",     "minutes",      "hours", "days",      "batch"};

}  // namespace

std::string digits_of(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (digit(c)) out.push_back(c);
  return out;
}

bool luhn_ok(std::string_view digits) {
  int sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    int v = digits[digits.size() - 1 - i] - '0';
    if (i % 2 == 1) v = v * 2 > 9 ? v * 2 - 9 : v * 2;
    sum += v;
  }
  return !digits.empty() && sum % 10 == 0;
}

char luhn_digit(std::string_view digits) {
  std::string with(digits);
  with.push_back('0');
  for (char c = '0'; c <= '9'; ++c) {
    with.back() = c;
    if (luhn_ok(with)) return c;
  }
  return '0';
}

int iban_length(std::string_view country) {
  struct RowOf {
    const char* country;
    int length;
  };
  static constexpr RowOf kRows[] = {
      {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22}, {"BH", 22},
      {"BI", 27}, {"BR", 29}, {"BY", 28}, {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24}, {"DE", 22}, {"DJ", 27},
      {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18}, {"FK", 18}, {"FO", 18}, {"FR", 27},
      {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27}, {"GT", 28}, {"HN", 28}, {"HR", 21}, {"HU", 28},
      {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26}, {"IT", 27}, {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28},
      {"LC", 32}, {"LI", 21}, {"LT", 20}, {"LU", 20}, {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24}, {"ME", 22},
      {"MK", 19}, {"MN", 20}, {"MR", 27}, {"MT", 31}, {"MU", 30}, {"NI", 28}, {"NL", 18}, {"NO", 15}, {"OM", 23},
      {"PK", 24}, {"PL", 28}, {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"RU", 33}, {"SA", 24},
      {"SC", 31}, {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"SO", 23}, {"ST", 25}, {"SV", 28},
      {"TL", 23}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}, {"YE", 30}};
  for (const RowOf& row : kRows)
    if (country == row.country) return row.length;
  return 0;
}

int iban_remainder(std::string_view iban) {
  if (iban.size() < 5) return 0;
  int rest = 0;
  const std::string turned = std::string(iban.substr(4)) + std::string(iban.substr(0, 4));
  for (const char c : turned) {
    if (digit(c)) {
      rest = (rest * 10 + (c - '0')) % 97;
    } else if (upper(c)) {
      rest = (rest * 100 + (c - 'A' + 10)) % 97;
    } else {
      return 0;
    }
  }
  return rest;
}

double entropy_bits(std::string_view text) {
  std::array<int, 256> count{};
  for (const unsigned char c : text) ++count[c];
  double bits = 0;
  for (const int n : count) {
    if (n == 0) continue;
    const double p = static_cast<double>(n) / static_cast<double>(text.size());
    bits -= p * std::log2(p);
  }
  return bits;
}

bool valid_email(Candidate& c) {
  const std::string_view v = c.value();
  const size_t at = v.find('@');
  if (at == std::string_view::npos || at == 0) return false;
  // An automatic sender is nobody.
  static constexpr std::array<std::string_view, 6> kNobody = {"noreply",      "no-reply", "donotreply",
                                                              "do-not-reply", "no_reply", "mailer-daemon"};
  const std::string local = lower_ascii(v.substr(0, at));
  return std::find(kNobody.begin(), kNobody.end(), local) == kNobody.end() && v.find("..") == std::string_view::npos;
}

namespace {
bool find_card(Candidate& c, bool any_issuer) {
  const auto runs = digit_runs(c.text, c.begin, c.end);
  // Any neighbouring groups that make up a card: other numbers may stand before or after it.
  for (size_t first = 0; first < runs.size(); ++first) {
    if (first > 0 && c.text[runs[first].begin - 1] == '.') continue;  // the fraction of a number
    std::string digits;
    for (size_t last = first; last < runs.size() && digits.size() < 19; ++last) {
      digits += c.text.substr(runs[last].begin, runs[last].size());
      if (last > first && runs[last].size() < 2 && runs[first].size() > 1) break;
      if (digits.size() < 12 || digits.size() > 19 || !luhn_ok(digits)) continue;
      if (!any_issuer && !card_brand(digits)) continue;
      if (digits.find_first_not_of(digits[0]) == std::string::npos) continue;
      c.begin = runs[first].begin;
      c.end = runs[last].end;
      return true;
    }
  }
  return false;
}
}  // namespace

bool valid_card(Candidate& c) { return find_card(c, false); }
bool valid_card_after_word(Candidate& c) {
  return (c.begin == 0 || !letter(c.text[c.begin - 1])) && find_card(c, true);
}

bool valid_iban(Candidate& c) {
  std::string plain;
  std::string country = {to_upper(c.text[c.begin]), to_upper(c.text[c.begin + 1])};
  const auto length = static_cast<size_t>(iban_length(country));
  if (length == 0) return false;
  for (size_t i = c.begin; i < c.end; ++i) {
    if (c.text[i] == ' ' || c.text[i] == '-') continue;
    plain.push_back(to_upper(c.text[i]));
    if (plain.size() < length) continue;
    const bool goes_on = i + 1 < c.text.size() && (letter(c.text[i + 1]) || digit(c.text[i + 1]));
    if (goes_on || iban_remainder(plain) != 1) return false;
    c.end = i + 1;
    return true;
  }
  return false;
}

bool valid_ipv4(Candidate& c) {
  const std::string text(c.value());
  in_addr address{};
  if (inet_pton(AF_INET, text.c_str(), &address) != 1) return false;
  const uint32_t ip = ntohl(address.s_addr);
  // This host, nobody, everybody, net masks: no one's address.
  if (ip >> 24 == 0 || ip >> 24 == 127 || ip >> 8 == 0xFFFFFF) return false;
  const size_t from = c.begin > 16 ? c.begin - 16 : 0;
  static constexpr std::array<std::string_view, 7> kVersions = {"version", "ver",      "release", "build",
                                                                "section", "firmware", "v"};
  return !has_word(c.text.substr(from, c.begin - from), kVersions);
}

bool valid_ipv6(Candidate& c) {
  // The pattern takes every run of hexadecimal digits and colons; a sentence's full stop or colon may end it.
  while (c.end > c.begin &&
         (c.text[c.end - 1] == '.' || (c.text[c.end - 1] == ':' && (c.end - c.begin < 2 || c.text[c.end - 2] != ':'))))
    --c.end;
  const std::string text(c.value());
  in6_addr address{};
  if (inet_pton(AF_INET6, text.c_str(), &address) != 1) return false;
  const auto groups = std::count(text.begin(), text.end(), ':');
  if (groups < 3 && std::none_of(text.begin(), text.end(), digit)) return false;  // "a::b" is code
  const in6_addr loopback = IN6ADDR_LOOPBACK_INIT, any = IN6ADDR_ANY_INIT;
  return std::memcmp(&address, &loopback, sizeof address) != 0 && std::memcmp(&address, &any, sizeof address) != 0;
}

namespace {

// Cuts groups off the end until at most `most` digits remain; how many there are then. An extension is kept.
size_t fit_digits(Candidate& c, size_t most) {
  size_t ext = c.begin;
  while (ext < c.end && !letter(c.text[ext])) ++ext;
  auto runs = digit_runs(c.text, c.begin, ext);
  size_t n = 0;
  for (const Run& run : runs) n += run.size();
  if (n > most) {
    while (!runs.empty() && n > most) {
      n -= runs.back().size();
      runs.pop_back();
    }
    c.end = runs.empty() ? c.begin : runs.back().end;
    if (c.end < c.text.size() && c.text[c.end] == ')') ++c.end;
  }
  return n;
}

}  // namespace

bool valid_phone_international(Candidate& c) {
  const size_t n = fit_digits(c, 15);
  if (c.text[c.begin] == '+' || c.text[c.begin] == '(') return n >= 8;
  const std::string_view v = c.value();  // 00…: needs to look written for people
  return n >= 10 && v.find_first_of(" -./(") != std::string_view::npos;
}

bool valid_phone_national(Candidate& c) {
  const std::string digits = digits_of(c.value().substr(0, c.value().find_first_of("xeXE")));
  return digits.size() >= 9 && digits.size() <= 12 && digits.find_first_not_of(digits[0]) != std::string::npos &&
         !date_like(c.value());
}

bool valid_phone_after_word(Candidate& c) {
  if (c.begin > 0 && (letter(c.text[c.begin - 1]) || digit(c.text[c.begin - 1]))) return false;  // "GG5064825"
  if (has_word(c.text.substr(c.word_begin, c.begin - c.word_begin), kOtherNumbers)) return false;
  const size_t before = c.word_begin > 12 ? c.word_begin - 12 : 0;
  if (has_word(c.text.substr(before, c.word_begin - before), std::array<std::string_view, 2>{"model", "sim"}))
    return false;
  const size_t n = fit_digits(c, 15);
  if (n < 7 || date_like(c.value())) return false;
  // A price or a number that goes on is none.
  const char after = c.end < c.text.size() ? c.text[c.end] : ' ';
  return after != '%' && !letter(after);
}

bool valid_key(Candidate& c) {
  const std::string_view v = c.value();
  const bool has_digit = std::any_of(v.begin(), v.end(), digit);
  const bool mixed = std::any_of(v.begin(), v.end(), lower) && std::any_of(v.begin(), v.end(), upper);
  return (has_digit || mixed) && entropy_bits(v) >= 3.0;
}

bool valid_url_parameter(Candidate& c) {
  // Back over the rest of the parameter's name to what introduces it.
  size_t at = c.word_begin;
  for (int n = 0; n < 40 && at > 0; ++n) {
    const char b = c.text[at - 1];
    if (b == '?' || b == '&') return true;
    if (b == ';') return at >= 5 && c.text.substr(at - 5, 5) == "&amp;";
    if (!letter(b) && !digit(b) && b != '_' && b != '-' && b != '.') return false;
    --at;
  }
  return false;
}

}  // namespace slm::scrub
