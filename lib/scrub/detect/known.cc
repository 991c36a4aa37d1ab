#include "scrub/detect/known.h"

#include <algorithm>
#include <utility>

#include "scrub/detect/names.h"
#include "scrub/detect/normalise.h"
#include "scrub/detect/validate.h"

namespace slm::scrub {

namespace {

// More values than this in one session aren't a conversation's: a list was pasted; the rest is found where its context
// is.
constexpr size_t kMaxValues = 1000;

// End of the letters and digits that begin at `at`; `at` itself if none do. Above 127 everything is a letter but
// dashes, quotation marks and the like.
size_t word_end(std::string_view text, size_t at) {
  while (at < text.size()) {
    const auto b = static_cast<unsigned char>(text[at]);
    if (b < 0x80) {
      if (!((b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z'))) return at;
      ++at;
      continue;
    }
    size_t next = at;
    const char32_t c = next_char(text, next);
    if ((c >= 0x2000 && c <= 0x206F) || (c >= 0x3000 && c <= 0x303F) || c == 0xA0 || c == 0xAB || c == 0xBB ||
        c == 0xB7)
      return at;
    at = next;
  }
  return at;
}
// Whether a letter or digit begins at `at`, or ends there.
bool joins_word(std::string_view text, size_t at, bool before) {
  if (!before) return at < text.size() && word_end(text, at) > at;
  if (at == 0) return false;
  size_t begin = at - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return word_end(text.substr(0, at), begin) > begin;
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

void KnownValues::add_entry(TypeIndex type, std::string folded, bool part) {
  const auto index = static_cast<uint32_t>(entries_.size());
  const size_t end = word_end(folded, 0);
  if (end > 0) {
    by_first_word_[folded.substr(0, end)].push_back(index);
    first_bytes_[static_cast<unsigned char>(folded[0])] = true;
  } else {
    wordless_.push_back(index);
  }
  entries_.push_back({type, std::move(folded), part});
}

void KnownList::add(TypeIndex type, std::string_view value, bool courtesy) {
  const auto before = [](const KnownValue& a, const std::pair<TypeIndex, std::string_view>& b) {
    return a.type != b.first ? a.type < b.first : std::string_view(a.value) < b.second;
  };
  const auto at = std::lower_bound(values_.begin(), values_.end(), std::pair(type, value), before);
  if (at != values_.end() && at->type == type && at->value == value) {
    at->courtesy = at->courtesy && courtesy;
  } else if (values_.size() < kMaxValues) {
    values_.insert(at, {std::string(value), type, courtesy});
  }
}

KnownValues::KnownValues(const KnownList& list, const std::function<bool(const KnownValue&)>& leave_out) {
  for (const KnownValue& known : list.values())
    if (!leave_out || !leave_out(known)) add(known.type, known.value);
}

bool KnownValues::knows_part_of(std::string_view name) const {
  const auto tokens = name_tokens(name);
  return std::any_of(tokens.begin(), tokens.end(),
                     [&](std::string_view token) { return part_of(fold_case(token)) != nullptr; });
}

void KnownValues::add(TypeIndex type, std::string_view value) {
  if (value.size() < 2 || n_ >= kMaxValues) return;
  if (type == kPhone || type == kCard) {
    const std::string digits = digits_of(value);
    if (digits.size() < 7 || !digits_.emplace(digits, type).second) return;
    if (digits.size() >= 9) number_keys_.emplace(std::string(number_key(digits)), type);
    ++n_;
    return;
  }
  std::string folded = fold_case(value);
  const auto same = [&](const Entry& e) { return e.type == type && !e.part && e.folded == folded; };
  if (std::any_of(entries_.begin(), entries_.end(), same)) return;
  ++n_;
  if (type != kPerson) return add_entry(type, std::move(folded), false);
  // A name of one word is treated as the part that it is.
  const auto tokens = name_tokens(value);
  if (tokens.size() > 1) add_entry(type, std::move(folded), false);
  size_t n_words = 0, nth = 0;
  for (const auto& token : tokens) n_words += is_particle(token) || is_initial(token) ? 0 : 1;
  for (const std::string_view token : tokens) {
    if (is_particle(token) || is_initial(token) || token.size() < 2) continue;
    ++nth;
    const NamePart kind = n_words > 1 && nth == n_words ? NamePart::kFamily : NamePart::kGiven;
    const std::string word = fold_case(token);
    const auto [it, is_new] = parts_.try_emplace(word, Part{kind, is_ordinary_word(word)});
    if (is_new) add_entry(type, word, true);
    if (is_new && kind == NamePart::kGiven) given_.push_back(word);
    if (kind == NamePart::kFamily) it->second.kind = kind;
  }
}

const NamePart* KnownValues::part_of(std::string_view folded_word) const {
  const auto it = parts_.find(folded_word);
  return it == parts_.end() ? nullptr : &it->second.kind;
}

std::string_view KnownValues::given_name_of(std::string_view initial) const {
  std::string_view found;
  for (const std::string& name : given_) {
    if (!name.starts_with(initial) || parts_.find(name)->second.kind != NamePart::kGiven) continue;
    if (!found.empty()) return {};
    found = name;
  }
  return found;
}

void KnownValues::find(std::string_view text, std::vector<Found>& out) const {
  if (n_ == 0) return;
  if (!entries_.empty()) find_words(text, fold_case(text), out);
  if (!digits_.empty()) find_digits(text, out);
}

// Whether a part of a name at this place is one.
bool KnownValues::takes_part(std::string_view text, std::string_view folded, size_t begin, size_t end) const {
  const Part& part = parts_.find(folded.substr(begin, end - begin))->second;
  const bool capital = text[begin] != folded[begin] || static_cast<unsigned char>(text[begin]) >= 0x80;
  // Written small, only what can hardly be another word; an ordinary word only where no sentence begins.
  if (!capital) return !part.ordinary && end - begin >= 4;
  if (part.ordinary && begins_sentence(text, begin)) return false;
  // "MIA" is an airport, "Mia" a passenger.
  return end - begin >= 4 || text[begin + 1] == folded[begin + 1];
}

void KnownValues::find_words(std::string_view text, std::string_view folded, std::vector<Found>& out) const {
  const auto try_entry = [&](uint32_t index, size_t begin) {
    const Entry& entry = entries_[index];
    const size_t end = begin + entry.folded.size();
    if (folded.compare(begin, entry.folded.size(), entry.folded) != 0) return;
    if (joins_word(text, begin, true) || joins_word(text, end, false)) return;
    if (!entry.part || takes_part(text, folded, begin, end)) out.push_back({begin, end, entry.type, true});
  };
  for (size_t at = 0; at < folded.size();) {
    const size_t end = word_end(folded, at);
    if (end == at) {
      next_char(folded, at);
      continue;
    }
    if (first_bytes_[static_cast<unsigned char>(folded[at])])
      if (const auto it = by_first_word_.find(folded.substr(at, end - at)); it != by_first_word_.end())
        for (const uint32_t index : it->second) try_entry(index, at);
    at = end;
  }
  for (const uint32_t index : wordless_)
    for (size_t at = folded.find(entries_[index].folded); at != std::string_view::npos;
         at = folded.find(entries_[index].folded, at + 1))
      try_entry(index, at);
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
        if (!ends || digits.size() < 7 || joins_word(text, at, false)) continue;
        if (const auto it = digits_.find(digits); it != digits_.end()) {
          out.push_back({i, at, it->second, true});
        } else if (digits.size() >= 9) {
          if (const auto key = number_keys_.find(number_key(digits)); key != number_keys_.end())
            out.push_back({i, at, key->second, true});
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
