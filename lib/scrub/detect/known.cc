#include "scrub/detect/known.h"

#include <algorithm>

#include "scrub/detect/names.h"
#include "scrub/detect/normalise.h"
#include "scrub/detect/validate.h"

namespace slm::scrub {

namespace {

// More values than this in one session aren't a conversation's: a list was pasted; the rest is found where its context
// is.
constexpr size_t kMaxWhole = 256;

bool is_word_byte(unsigned char c) {
  return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
// Bytes above 127 may be punctuation (a dash, a quotation mark): only letters and digits make a word longer.
bool joins_word(std::string_view text, size_t at, bool before) {
  if (before) {
    if (at == 0) return false;
    size_t begin = at - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    at = begin;
  }
  if (at >= text.size() || !is_word_byte(static_cast<unsigned char>(text[at]))) return false;
  if (static_cast<unsigned char>(text[at]) < 0x80) return true;
  const char32_t c = next_char(text, at);
  return !((c >= 0x2000 && c <= 0x206F) || (c >= 0x3000 && c <= 0x303F) || c == 0xAB || c == 0xBB || c == 0xB7);
}

bool begins_sentence(std::string_view text, size_t at) {
  while (at > 0 && (text[at - 1] == ' ' || text[at - 1] == '\t' || text[at - 1] == '"' || text[at - 1] == '\'')) --at;
  return at == 0 || std::string_view(".!?:\n\r").find(text[at - 1]) != std::string_view::npos;
}

bool digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::string_view number_key(std::string_view digits) {
  return digits.size() > 10 ? digits.substr(digits.size() - 10) : digits;
}

void KnownValues::add(TypeIndex type, std::string_view value) {
  if (value.size() < 2 || whole_.size() >= kMaxWhole) return;
  const bool digits = type == kPhone || type == kCard;
  std::string folded = digits ? digits_of(value) : fold_case(value);
  if (folded.empty()) return;
  const auto same = [&](const Whole& w) { return w.type == type && w.folded == folded; };
  if (std::any_of(whole_.begin(), whole_.end(), same)) return;
  whole_.push_back({type, std::move(folded), digits});
  has_digits_ = has_digits_ || digits;
  if (type != kPerson) return;
  const auto tokens = name_tokens(value);
  size_t n_words = 0;
  for (const auto& token : tokens) n_words += is_particle(token) || is_initial(token) ? 0 : 1;
  size_t nth = 0;
  for (const std::string_view token : tokens) {
    if (is_particle(token) || is_initial(token) || token.size() < 2) continue;
    ++nth;
    const NamePart kind = n_words > 1 && nth == n_words ? NamePart::kFamily : NamePart::kGiven;
    std::string word = fold_case(token);
    const auto known = std::find_if(parts_.begin(), parts_.end(), [&](const Part& p) { return p.folded == word; });
    if (known == parts_.end()) {
      parts_.push_back({word, kind, is_ordinary_word(word)});
    } else if (kind == NamePart::kFamily) {
      known->kind = kind;
    }
  }
}

const NamePart* KnownValues::part_of(std::string_view folded_word) const {
  for (const Part& part : parts_)
    if (part.folded == folded_word) return &part.kind;
  return nullptr;
}

std::string_view KnownValues::given_name_of(std::string_view initial) const {
  std::string_view found;
  for (const Part& part : parts_) {
    if (part.kind != NamePart::kGiven || !part.folded.starts_with(initial)) continue;
    if (!found.empty()) return {};
    found = part.folded;
  }
  return found;
}

void KnownValues::find(std::string_view text, std::vector<Found>& out) const {
  if (whole_.empty()) return;
  find_words(text, fold_case(text), out);
  if (has_digits_) find_digits(text, out);
}

void KnownValues::find_words(std::string_view text, std::string_view folded, std::vector<Found>& out) const {
  for (const Whole& whole : whole_) {
    if (whole.digits) continue;
    for (size_t at = folded.find(whole.folded); at != std::string_view::npos; at = folded.find(whole.folded, at + 1)) {
      const size_t end = at + whole.folded.size();
      if (joins_word(text, at, true) || joins_word(text, end, false)) continue;
      // A name of one word is treated as the part that it is.
      if (whole.type == kPerson && whole.folded.find(' ') == std::string::npos) continue;
      out.push_back({at, end, whole.type, true});
    }
  }
  for (const Part& part : parts_) {
    for (size_t at = folded.find(part.folded); at != std::string_view::npos; at = folded.find(part.folded, at + 1)) {
      const size_t end = at + part.folded.size();
      if (joins_word(text, at, true) || joins_word(text, end, false)) continue;
      const bool capital = text[at] != folded[at] || static_cast<unsigned char>(text[at]) >= 0x80;
      // Written small, only what can hardly be another word; an ordinary word only where no sentence begins.
      if (!capital && (part.ordinary || part.folded.size() < 4)) continue;
      if (capital && part.ordinary && begins_sentence(text, at)) continue;
      // "MIA" is an airport, "Mia" a passenger.
      const bool all_capitals = capital && end - at >= 2 && text[at + 1] != folded[at + 1];
      if (all_capitals && part.folded.size() < 4) continue;
      out.push_back({at, end, kPerson, true});
    }
  }
}

void KnownValues::find_digits(std::string_view text, std::vector<Found>& out) const {
  // Every run of digits with single separators between; a known number may be a stretch of its groups.
  for (size_t i = 0; i < text.size(); ++i) {
    if (!digit(text[i])) continue;
    if (i > 0 && (digit(text[i - 1]) || joins_word(text, i, true))) continue;
    std::string digits;
    size_t at = i;
    while (at < text.size() && digits.size() <= 19) {
      if (digit(text[at])) {
        digits.push_back(text[at++]);
        const bool ends = at == text.size() || !digit(text[at]);
        if (!ends || digits.size() < 7) continue;
        for (const Whole& whole : whole_) {
          const bool same =
              whole.digits && (whole.folded == digits || (std::min(whole.folded.size(), digits.size()) >= 9 &&
                                                          number_key(whole.folded) == number_key(digits)));
          if (same && !joins_word(text, at, false)) out.push_back({i, at, whole.type, true});
        }
      } else if (std::string_view(" -./()").find(text[at]) != std::string_view::npos && at + 1 < text.size() &&
                 (digit(text[at + 1]) || std::string_view(" ()").find(text[at + 1]) != std::string_view::npos)) {
        ++at;
      } else {
        break;
      }
    }
  }
}

}  // namespace slm::scrub
