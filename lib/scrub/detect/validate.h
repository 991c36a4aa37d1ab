// What a regular expression can't say: check digits, ranges, country lengths, how random a key looks, what kind of
// number the words before it announce.
//
// A validator may shrink or cut the candidate to the part that is the value.
// Requires: begin ≤ end ≤ text.size().
// Threads: pure.
// Source: ISO/IEC 7812-1 annex B (Luhn), ISO 13616 and its registry (IBAN lengths), ISO/IEC 7064 (mod 97),
//   E.164 (15 digits), RFC 4291 (IPv6 text).
#pragma once

#include <string>
#include <string_view>

namespace slm::scrub {

struct Candidate {
  std::string_view text;      // normalised
  size_t word_begin = 0;      // where the keyword or the match begins that led here
  size_t begin = 0, end = 0;  // the value
  int min_tokens = 1;         // person: how many words a name needs here
  std::string_view value() const { return text.substr(begin, end - begin); }
};
using Validator = bool (*)(Candidate&);

bool valid_email(Candidate& c);
bool valid_card(Candidate& c);
bool valid_card_after_word(Candidate& c);  // any issuer's
bool valid_iban(Candidate& c);
bool valid_ipv4(Candidate& c);
bool valid_ipv6(Candidate& c);
bool valid_phone_international(Candidate& c);
bool valid_phone_national(Candidate& c);  // formatted so that nothing else looks like it
bool valid_phone_after_word(Candidate& c);
bool valid_key(Candidate& c);  // random enough for a secret
bool valid_url_parameter(Candidate& c);

// Digits of a text, nothing else.
std::string digits_of(std::string_view text);
bool luhn_ok(std::string_view digits);
char luhn_digit(std::string_view digits_without_check);
// Length of an account number of that country ("DE" → 22); 0 if the country has none.
int iban_length(std::string_view country);
// Remainder mod 97 of an IBAN without separators, upper case, rearranged as ISO 13616 says. 1 = valid.
int iban_remainder(std::string_view iban);
// Bits per character, from the characters' frequencies.
double entropy_bits(std::string_view text);

}  // namespace slm::scrub
