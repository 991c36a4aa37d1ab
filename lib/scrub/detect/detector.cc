#include "scrub/detect/detector.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <utility>

#include "scrub/detect/keywords.h"
#include "scrub/detect/names.h"
#include "scrub/detect/normalise.h"
#include "scrub/detect/pattern.h"
#include "scrub/detect/table.h"

namespace slm::scrub {

namespace {

constexpr size_t kContextBytes = 60;

struct Row {
  TypeIndex type = 0;
  Run run = Run::kSearch;
  Pattern pattern;
  Validator check = nullptr;
  bool by_context = false, courtesy = false;
  int min_tokens = 1;
  Need need = Need::kNothing;
  uint32_t n_needed = 0;
  bool has_words = false;
  std::vector<std::string> context;  // folded
};

// What the text holds, as far as rows ask for it.
struct Profile {
  uint32_t digits = 0, dots = 0, colons = 0, countries = 0;
  uint32_t of(Need need) const {
    switch (need) {
      case Need::kNothing:
        return ~uint32_t{0};
      case Need::kDigits:
        return digits;
      case Need::kDots:
        return dots;
      case Need::kColons:
        return colons;
      case Need::kCountry:
        return countries;
    }
    return 0;
  }
};

enum Class : uint8_t { kOther, kDigit, kLetter, kHexLetter, kDot, kColon };
constexpr std::array<uint8_t, 256> kClasses = [] {
  std::array<uint8_t, 256> out{};
  for (int c = '0'; c <= '9'; ++c) out[c] = kDigit;
  for (int c = 'a'; c <= 'z'; ++c) out[c] = out[c - 32] = c <= 'f' ? kHexLetter : kLetter;
  out['.'] = kDot;
  out[':'] = kColon;
  return out;
}();

bool is_letter(uint8_t k) { return k == kLetter || k == kHexLetter; }
bool is_hex(uint8_t k) { return k == kDigit || k == kHexLetter; }

Profile profile_of(std::string_view text) {
  Profile p;
  uint32_t digits = 0;
  const size_t n = text.size();
  const auto kind = [&](size_t i) { return i < n ? kClasses[static_cast<unsigned char>(text[i])] : uint8_t{kOther}; };
  for (size_t i = 0; i < n; ++i) {
    const uint8_t k = kClasses[static_cast<unsigned char>(text[i])];
    if (k == kDigit) {
      ++digits;
      p.digits = std::max(p.digits, digits);
      if (i >= 2 && digits == 1 && is_letter(kind(i - 1)) && is_letter(kind(i - 2)) && kind(i + 1) == kDigit &&
          (i == 2 || (!is_letter(kind(i - 3)) && kind(i - 3) != kDigit)))
        ++p.countries;
    } else if (k == kLetter || k == kHexLetter) {
      digits = 0;
    } else if (k == kDot && i > 0) {
      if (kind(i - 1) == kDigit && kind(i + 1) == kDigit) ++p.dots;
    } else if (k == kColon) {
      const bool left = i == 0 || is_hex(kind(i - 1)) || kind(i - 1) == kColon;
      if ((left && is_hex(kind(i + 1))) || kind(i + 1) == kColon) ++p.colons;
    }
  }
  return p;
}

bool word_char(char c) {
  const auto k = kClasses[static_cast<unsigned char>(c)];
  return k == kDigit || is_letter(k) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

std::vector<std::string> split_words(std::string_view words) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= words.size();) {
    const size_t bar = std::min(words.find('|', at), words.size());
    if (bar > at) out.emplace_back(words.substr(at, bar - at));
    at = bar + 1;
  }
  return out;
}

// "phone_number" → "phone number", "phone_number", "phone-number", "phonenumber".
std::vector<std::string> spellings(const std::string& word) {
  if (word.find('_') == std::string::npos) return {word};
  std::vector<std::string> out;
  for (const std::string_view join : {" ", "_", "-", ""}) {
    std::string one;
    for (const char c : word) {
      if (c == '_') {
        one += join;
      } else {
        one.push_back(c);
      }
    }
    out.push_back(std::move(one));
  }
  return out;
}

struct Match {
  size_t row = 0, begin = 0, end = 0;
};

}  // namespace

struct Detector::Impl {
  std::vector<Row> rows;
  Keywords words;
  std::vector<std::vector<uint32_t>> rows_of;  // by word
  std::vector<uint32_t> word_length;
  mutable int64_t n_over_limit = 0;
  // Scratch, so that a text costs no allocation.
  mutable std::vector<char> seen;
  mutable std::vector<std::vector<std::pair<size_t, size_t>>> hits;  // by row: word begin, end
  mutable std::vector<uint32_t> touched;

  void try_row(const Row& row, size_t index, std::string_view text, std::vector<Match>& out) const;
  bool accept(const Row& row, std::string_view text, size_t word_begin, Pattern::Match& match) const;
  std::vector<Found> find(std::string_view text, std::string_view label, bool* gave_up) const;
};

namespace {

struct WordTable {
  std::vector<std::string> words;
  std::vector<std::vector<uint32_t>> rows_of;
  void add(const std::string& word, uint32_t row) {
    const std::string folded = fold_case(word);
    const auto at = static_cast<size_t>(std::find(words.begin(), words.end(), folded) - words.begin());
    if (at == words.size()) {
      words.push_back(folded);
      rows_of.emplace_back();
    }
    if (rows_of[at].empty() || rows_of[at].back() != row) rows_of[at].push_back(row);
  }
};

}  // namespace

Detector::Detector(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Detector::Detector(Detector&&) noexcept = default;
Detector& Detector::operator=(Detector&&) noexcept = default;
Detector::~Detector() = default;

Result<Detector> Detector::create(const std::vector<UserRule>& rules, const std::vector<bool>& built_in) {
  auto impl = std::make_unique<Impl>();
  WordTable table;
  // The user's rules come first: where one overlaps a built-in detector, it wins.
  for (size_t i = 0; i < rules.size(); ++i) {
    const UserRule& rule = rules[i];
    auto pattern = Pattern::compile(rule.pattern, {.ignore_case = rule.ignore_case});
    if (!pattern) {
      return fail(ErrorCode::kBadInput, fmt::format("rule '{}': {}", rule.name, pattern.error().message));
    }
    Row row{.type = static_cast<TypeIndex>(kNumBuiltinTypes + i), .pattern = std::move(*pattern)};
    row.has_words = !rule.keywords.empty();
    row.by_context = !rule.context.empty();
    for (const std::string& word : rule.context) row.context.push_back(fold_case(word));
    const auto index = static_cast<uint32_t>(impl->rows.size());
    impl->rows.push_back(std::move(row));
    for (const std::string& word : rule.keywords) table.add(word, index);
  }
  for (const DetectorRow& source : builtin_detectors()) {
    if (!built_in[source.type]) continue;
    const bool anchored = source.run != Run::kSearch;
    SLM_TRY(Pattern pattern, Pattern::compile(source.pattern, {.anchored = anchored}));
    Row row{.type = source.type, .run = source.run, .pattern = std::move(pattern), .check = source.check};
    row.by_context = source.by_context;
    row.courtesy = source.courtesy;
    row.min_tokens = source.min_tokens;
    row.need = source.need;
    row.n_needed = source.n_needed;
    row.has_words = source.words[0] != '\0';
    const auto index = static_cast<uint32_t>(impl->rows.size());
    impl->rows.push_back(std::move(row));
    for (const std::string& word : split_words(source.words)) {
      if (source.run != Run::kAfterWord) {
        table.add(word, index);
      } else {
        for (const std::string& spelling : spellings(word)) table.add(spelling, index);
      }
    }
  }
  impl->words = Keywords(table.words, true);
  impl->rows_of = std::move(table.rows_of);
  for (const std::string& word : table.words) impl->word_length.push_back(static_cast<uint32_t>(word.size()));
  impl->hits.resize(impl->rows.size());
  impl->seen.resize(impl->rows.size());
  return Detector(std::move(impl));
}

bool Detector::Impl::accept(const Row& row, std::string_view text, size_t word_begin, Pattern::Match& match) const {
  if (match.value_end <= match.value_begin) return false;
  if (!row.context.empty()) {
    const size_t from = match.value_begin > kContextBytes ? match.value_begin - kContextBytes : 0;
    const std::string before = fold_case(text.substr(from, match.value_begin - from));
    if (std::none_of(row.context.begin(), row.context.end(),
                     [&](const std::string& word) { return before.find(word) != std::string::npos; }))
      return false;
  }
  if (row.check == nullptr) return true;
  Candidate candidate{text, word_begin, match.value_begin, match.value_end, row.min_tokens};
  if (!row.check(candidate) || candidate.end <= candidate.begin) return false;
  match.value_begin = candidate.begin;
  match.value_end = candidate.end;
  return true;
}

void Detector::Impl::try_row(const Row& row, size_t index, std::string_view text, std::vector<Match>& out) const {
  bool over = false;
  Pattern::Match match;
  if (row.run == Run::kSearch) {
    for (size_t at = 0; row.pattern.find(text, at, match, over);) {
      const size_t whole_end = match.end;
      const bool taken = accept(row, text, match.begin, match);
      if (taken) out.push_back({index, match.value_begin, match.value_end});
      // A long match that isn't taken may have cut a value at its end.
      const size_t skipped = whole_end > match.begin + 200 ? whole_end - 40 : whole_end;
      at = std::max(taken ? match.value_end : skipped, match.begin + 1);
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
    }
  } else {
    for (const auto& [word_begin, word_end] : hits[index]) {
      const size_t from = row.run == Run::kAtWord ? word_begin : word_end;
      if (row.pattern.find(text, from, match, over) && accept(row, text, word_begin, match))
        out.push_back({index, match.value_begin, match.value_end});
    }
  }
  n_over_limit += over ? 1 : 0;
}

std::vector<Found> Detector::Impl::find(std::string_view original, std::string_view label, bool* gave_up) const {
  // A label is put before the text and taken off the offsets again.
  std::string labelled;
  size_t n_label = 0;
  std::string_view input = original;
  if (!label.empty()) {
    labelled.reserve(label.size() + 2 + original.size());
    labelled.append(label).append(": ").append(original);
    n_label = label.size() + 2;
    input = labelled;
  }
  const Normalised view(input);
  const std::string_view text = view.text();

  words.each(text, [&](uint32_t word, size_t end) {
    const size_t begin = end - word_length[word];
    for (const uint32_t r : rows_of[word]) {
      const Row& row = rows[r];
      if (row.run == Run::kAfterWord && ((begin > 0 && word_char(text[begin - 1])) ||
                                         (end < text.size() && word_char(text[end]) && word_char(text[end - 1]))))
        continue;
      if (!seen[r]) {
        seen[r] = 1;
        touched.push_back(r);
      }
      if (row.run != Run::kSearch) hits[r].emplace_back(begin, end);
    }
  });
  const Profile profile = profile_of(text);
  const int64_t n_before = n_over_limit;
  std::vector<Match> matches;
  for (size_t r = 0; r < rows.size(); ++r) {
    const Row& row = rows[r];
    if ((row.has_words && !seen[r]) || profile.of(row.need) < row.n_needed) continue;
    try_row(row, r, text, matches);
  }
  for (const uint32_t r : touched) {
    seen[r] = 0;
    hits[r].clear();
  }
  touched.clear();
  if (gave_up != nullptr && n_over_limit > n_before) *gave_up = true;

  // The earlier row wins; within one row the longer match.
  std::sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) {
    if (a.row != b.row) return a.row < b.row;
    if (a.end - a.begin != b.end - b.begin) return a.end - a.begin > b.end - b.begin;
    return a.begin < b.begin;
  });
  std::map<size_t, Match> chosen;  // by begin
  for (const Match& m : matches) {
    const auto after = chosen.lower_bound(m.begin);
    if (after != chosen.end() && after->first < m.end) continue;
    if (after != chosen.begin() && std::prev(after)->second.end > m.begin) continue;
    chosen.emplace(m.begin, m);
  }
  std::vector<Found> out;
  for (const auto& [at, m] : chosen) {
    const size_t begin = view.begin_in_original(m.begin), end = view.end_in_original(m.end);
    if (begin < n_label || end <= begin) continue;
    out.push_back({begin - n_label, end - n_label, rows[m.row].type, rows[m.row].by_context, rows[m.row].courtesy});
  }
  return out;
}

std::vector<Found> Detector::find(std::string_view text, std::string_view label, bool* gave_up) const {
  return impl_->find(text, label, gave_up);
}
int64_t Detector::n_over_limit() const { return impl_->n_over_limit; }

}  // namespace slm::scrub
