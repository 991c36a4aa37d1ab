#include "scrub/replace/text_scrubber.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "scrub/detect/names.h"
#include "scrub/detect/normalise.h"
#include "scrub/replace/json_text.h"

namespace slm::scrub {

namespace {

constexpr int kMaxNesting = 4;  // JSON in a string of JSON in a string …
constexpr size_t kMemoLeast = 64, kMemoBytes = 16 << 20;

std::string placeholder(std::string_view type) {
  std::string out = "[";
  for (const char c : type) out.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
  return out;
}

bool is_number_literal(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

void Counts::add(const Counts& other) {
  by_type.resize(std::max(by_type.size(), other.by_type.size()));
  for (size_t i = 0; i < other.by_type.size(); ++i) by_type[i] += other.by_type[i];
  for (size_t i = 0; i < by_action.size(); ++i) by_action[i] += other.by_action[i];
}

TextScrubber::TextScrubber(const Rules& rules, const Detector& detector, SurrogateKey key, Ledger& ledger)
    : rules_(&rules), detector_(&detector), surrogates_(std::move(key), ledger), ledger_(&ledger) {
  reset_counts();
}

Result<bool> TextScrubber::would_change(std::string_view text, const Scope& scope) {
  const Counts before = counts_;
  SLM_TRY(const ScrubbedText out, scrub(text, {}, scope, {}));
  counts_ = before;
  return out.changed;
}

void TextScrubber::reset_counts() {
  counts_ = Counts{};
  counts_.by_type.resize(rules_->n_types());
  gave_up_ = false;
}

const std::vector<Found>& TextScrubber::detect(std::string_view text, std::string_view label) {
  if (text.size() < kMemoLeast) {
    scratch_.gave_up = false;
    scratch_.found = detector_->find(text, label, &scratch_.gave_up);
    gave_up_ = gave_up_ || scratch_.gave_up;
    return scratch_.found;
  }
  std::string key(label);
  key.push_back('\0');
  key.append(text);
  if (const auto it = memo_.find(key); it != memo_.end()) {
    gave_up_ = gave_up_ || it->second.gave_up;
    return it->second.found;
  }
  if (memo_bytes_ + key.size() > kMemoBytes) {
    memo_.clear();
    memo_bytes_ = 0;
  }
  memo_bytes_ += key.size();
  Scan scan;
  scan.found = detector_->find(text, label, &scan.gave_up);
  gave_up_ = gave_up_ || scan.gave_up;
  return memo_.emplace(std::move(key), std::move(scan)).first->second.found;
}

std::vector<Found> TextScrubber::find(std::string_view text, std::string_view label, const KnownValues* known) {
  std::vector<Found> out = detect(text, label);
  if (known != nullptr && !known->empty()) {
    // What the session already gave away, where nothing else was found; the longest first.
    const Normalised view(text);
    std::vector<Found> again;
    known->find(view.text(), again);
    std::sort(again.begin(), again.end(), [](const Found& a, const Found& b) {
      if (a.end - a.begin != b.end - b.begin) return a.end - a.begin > b.end - b.begin;
      return a.begin < b.begin;
    });
    std::map<size_t, size_t> taken;  // begin → end
    for (const Found& f : out) taken.emplace(f.begin, f.end);
    for (Found f : again) {
      f.begin = view.begin_in_original(f.begin);
      f.end = view.end_in_original(f.end);
      const auto after = taken.lower_bound(f.begin);
      if (after != taken.end() && after->first < f.end) continue;
      if (after != taken.begin() && std::prev(after)->second > f.begin) continue;
      taken.emplace(f.begin, f.end);
      out.push_back(f);
    }
    std::sort(out.begin(), out.end(), [](const Found& a, const Found& b) { return a.begin < b.begin; });
  }
  if (!public_phrases_.empty())
    std::erase_if(out, [&](const Found& f) {
      if (!f.courtesy) return false;
      const std::string_view name = text.substr(f.begin, f.end - f.begin);
      return public_phrases_.contains(fold_case(name)) && (known == nullptr || !known->knows_part_of(name));
    });
  if (!rules_->allowed.empty())
    std::erase_if(out, [&](const Found& f) {
      return rules_->allowed.contains(fold_case(text.substr(f.begin, f.end - f.begin)));
    });
  return out;
}

Result<std::string> TextScrubber::replacement(const Found& found, std::string_view value, const Scope& scope, As as) {
  const std::string_view type = rules_->type_name(found.type);
  Action action = rules_->action(found.type);
  if (as == As::kKey && action == Action::kRemove) action = Action::kMask;
  switch (action) {
    case Action::kSurrogate:
      return surrogates_.make(found.type, type, value, scope);
    case Action::kMask:
      return fmt::format("{}_{}]", placeholder(type),
                         ledger_->number(scope.session, type, canonical_value(found.type, value)));
    case Action::kRemove:
      return std::string();
    case Action::kNone:
      return std::string(value);
  }
  return std::string();
}

Result<ScrubbedText> TextScrubber::scrub_plain(std::string_view text, std::string_view label, const Scope& scope,
                                               const Options& options, As as) {
  ScrubbedText out;
  const std::vector<Found> found = find(text, label, scope.known);
  if (found.empty()) {
    out.text = text;
    if (options.typed) out.typed = text;
    return out;
  }
  size_t at = 0;
  for (const Found& f : found) {
    const std::string_view value = text.substr(f.begin, f.end - f.begin);
    if (as == As::kNumber && (f.begin != 0 || f.end != text.size())) continue;
    // Surrogates are made from the normalised form, so that all spellings of a value share one.
    const Normalised plain(value);
    SLM_TRY(const std::string fresh, replacement(f, plain.text(), scope, as));
    const Action action = rules_->action(f.type);
    ++counts_.by_type[f.type];
    ++counts_.by_action[static_cast<size_t>(action)];
    out.text += text.substr(at, f.begin - at);
    out.text += action == Action::kNone ? std::string(value) : fresh;
    if (options.typed) {
      out.typed += text.substr(at, f.begin - at);
      out.typed += placeholder(rules_->type_name(f.type)) + "]";
    }
    if (options.see != nullptr) {
      const bool whole = options.whole_end != 0;
      (*options.see)(
          {f.type, options.at + (whole ? 0 : f.begin), whole ? options.whole_end : options.at + f.end, value, fresh});
    }
    out.changed = out.changed || action != Action::kNone;
    at = f.end;
  }
  out.text += text.substr(at);
  if (options.typed) out.typed += text.substr(at);
  return out;
}

Result<ScrubbedText> TextScrubber::scrub_json(std::string_view text, const Scope& scope, const Options& options,
                                              int depth, bool& is_json) {
  ScrubbedText out;
  const auto scalars = json_scalars(text);
  is_json = scalars.has_value();
  if (!is_json) return out;
  out.text.reserve(text.size());
  size_t at = 0;
  const auto put = [&](size_t begin, size_t end, std::string_view fresh, std::string_view typed) {
    out.text += text.substr(at, begin - at);
    out.text += fresh;
    if (options.typed) {
      out.typed += text.substr(at, begin - at);
      out.typed += typed;
    }
    at = end;
  };
  for (const JsonScalar& scalar : *scalars) {
    const std::string_view token = text.substr(scalar.begin, scalar.end - scalar.begin);
    if (scalar.is_string) {
      const bool plain = token.find('\\') == std::string_view::npos;
      const std::string unescaped = plain ? std::string() : json_unescape(token);
      const std::string_view value = plain ? token.substr(1, token.size() - 2) : std::string_view(unescaped);
      Options within = options;
      if (options.whole_end == 0) {
        within.at = options.at + scalar.begin + (plain ? 1 : 0);
        within.whole_end = plain ? 0 : options.at + scalar.end;
      }
      SLM_TRY(const ScrubbedText inner, scalar.is_key ? scrub_key(value, scope, within)
                                                      : scrub_any(value, scalar.label, scope, within, depth + 1));
      if (!inner.changed && inner.typed == (options.typed ? value : std::string_view{})) continue;
      put(scalar.begin, scalar.end, inner.changed ? json_escape(inner.text) : std::string(token),
          options.typed ? json_escape(inner.typed) : std::string());
      out.changed = out.changed || inner.changed;
    } else if (token.size() >= 7 && is_number_literal(token)) {
      Options within = options;
      if (options.whole_end == 0) within.at = options.at + scalar.begin;
      SLM_TRY(const ScrubbedText inner, scrub_plain(token, scalar.label, scope, within, As::kNumber));
      if (!inner.changed) continue;
      // Still a number if it can be one; a mask is a string, nothing is null.
      const bool stays = is_number_literal(inner.text) && (inner.text.size() == 1 || inner.text[0] != '0');
      put(scalar.begin, scalar.end,
          stays                ? inner.text
          : inner.text.empty() ? "null"
                               : json_escape(inner.text),
          json_escape(inner.typed));
      out.changed = true;
    }
  }
  put(text.size(), text.size(), {}, {});
  return out;
}

Result<ScrubbedText> TextScrubber::scrub_any(std::string_view text, std::string_view label, const Scope& scope,
                                             const Options& options, int depth) {
  if (depth < kMaxNesting && looks_like_json(text)) {
    bool is_json = false;
    SLM_TRY(ScrubbedText out, scrub_json(text, scope, options, depth, is_json));
    if (is_json) return out;
  }
  return scrub_plain(text, label, scope, options, As::kText);
}

Result<ScrubbedText> TextScrubber::scrub_key(std::string_view key, const Scope& scope, const Options& options) {
  if (find(key, {}, scope.known).empty() || (options.is_code != nullptr && (*options.is_code)(key))) {
    ScrubbedText out;
    out.text = key;
    if (options.typed) out.typed = key;
    return out;
  }
  return scrub_plain(key, {}, scope, options, As::kKey);
}

Result<ScrubbedText> TextScrubber::scrub(std::string_view text, std::string_view label, const Scope& scope,
                                         const Options& options) {
  return scrub_any(text, label, scope, options, 0);
}

void TextScrubber::learn_any(std::string_view text, std::string_view label, KnownList& known, int depth) {
  if (depth < kMaxNesting && looks_like_json(text)) {
    if (const auto scalars = json_scalars(text)) {
      for (const JsonScalar& scalar : *scalars) {
        if (scalar.is_key) continue;
        const std::string_view token = text.substr(scalar.begin, scalar.end - scalar.begin);
        if (scalar.is_string) {
          learn_any(json_unescape(token), scalar.label, known, depth + 1);
        } else if (token.size() >= 7 && is_number_literal(token)) {
          learn_any(token, scalar.label, known, kMaxNesting);
        }
      }
      return;
    }
  }
  for (const Found& f : detect(text, label)) {
    if (!f.by_context) continue;
    const std::string_view value = text.substr(f.begin, f.end - f.begin);
    if (rules_->allowed.contains(fold_case(value))) continue;
    const Normalised plain(value);
    known.add(f.type, plain.text(), f.courtesy);
  }
}

KnownValues TextScrubber::known_values(const KnownList& list) const {
  return KnownValues(list,
                     [&](const KnownValue& v) { return v.courtesy && public_phrases_.contains(fold_case(v.value)); });
}

void TextScrubber::learn(std::string_view text, std::string_view label, KnownList& known) {
  learn_any(text, label, known, 0);
}

}  // namespace slm::scrub
