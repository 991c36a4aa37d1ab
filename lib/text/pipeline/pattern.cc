#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pipeline/pattern.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <array>

#include "text/unicode.h"

namespace slm::text::pipeline {
namespace {

constexpr size_t kMaxContentBytes = 1 << 10;
constexpr size_t kMaxRegexBytes = 1 << 16;
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;

}  // namespace

struct Pattern::Compiled {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  Compiled() = default;
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }

  // Finds the next match from `from` on; false if there is none, or finding it costs more than the bound.
  bool next(pcre2_match_data* data, std::string_view text, size_t from, Stretch& match) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int rc = pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, data, context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
      rc = pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, context);
    if (rc < 0) return false;
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
    if (bounds[0] > bounds[1] || bounds[1] > text.size() || bounds[0] < from) return false;
    match = {bounds[0], bounds[1], true};
    return true;
  }
};

Result<Pattern> Pattern::regex(std::string_view expression) {
  if (expression.size() > kMaxRegexBytes)
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("tokenizer.json: a regular expression of {} bytes, the bound is {}", expression.size(),
                            kMaxRegexBytes));
  SLM_TRY(const std::string translated, translate_regex(expression));
  auto compiled = std::make_shared<Compiled>();
  int error = 0;
  PCRE2_SIZE at = 0;
  // Ruby's ^ and $ stand at every line.
  compiled->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr);
  if (compiled->code == nullptr) {
    std::array<PCRE2_UCHAR, 256> why{};
    pcre2_get_error_message(error, why.data(), why.size());
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("tokenizer.json: the regular expression {} can't be compiled: {}",
                            expression.substr(0, 400), reinterpret_cast<const char*>(why.data())));
  }
  pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE);  // without it the interpreter does the same
  compiled->context = pcre2_match_context_create(nullptr);
  if (compiled->context == nullptr) return fail(ErrorCode::kOutOfMemory, "no memory for a regular expression");
  pcre2_set_match_limit(compiled->context, kMatchLimit);
  pcre2_set_heap_limit(compiled->context, kHeapLimitKib);
  Pattern pattern;
  pattern.compiled_ = std::move(compiled);
  return pattern;
}

Pattern Pattern::literal(std::string text) {
  Pattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

Pattern Pattern::characters(CharTest test) {
  Pattern pattern;
  pattern.test_ = test;
  return pattern;
}

Result<Pattern> Pattern::read(const Part& part, std::string_view key) {
  const auto* value = slm::find(*part.object, key);
  const auto* object = value == nullptr ? nullptr : value->if_object();
  if (object != nullptr && object->size() == 1) {
    const auto& [kind, text] = *object->begin();
    if (kind == "Regex" && text.is_string()) return regex(text.get_string());
    if (kind == "String" && text.is_string()) {
      if (text.get_string().empty())
        return fail(ErrorCode::kUnsupportedModel, fmt::format("tokenizer.json: {}: an empty pattern", part.where));
      return literal(std::string(text.get_string()));
    }
  }
  return fail(ErrorCode::kBadInput,
              fmt::format("tokenizer.json: {}: \"{}\" is neither a String nor a Regex", part.where, key));
}

bool Pattern::matches_empty() const {
  uint32_t can = 0;
  return compiled_ != nullptr && pcre2_pattern_info(compiled_->code, PCRE2_INFO_MATCHEMPTY, &can) == 0 && can != 0;
}

Result<Pattern> Pattern::read_replaced(const Part& part) {
  SLM_TRY(Pattern pattern, read(part, "pattern"));
  if (pattern.matches_empty())
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("tokenizer.json: {}: its pattern can match nothing", part.where));
  SLM_TRY(const std::string content, text_field(part, "content"));
  if (content.size() > kMaxContentBytes)
    return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: {}: a content of {} bytes, the bound is {}",
                                                  part.where, content.size(), kMaxContentBytes));
  return pattern;
}

void Pattern::find(std::string_view text, std::vector<Stretch>& out) const {
  size_t done = 0;
  const auto add = [&](size_t begin, size_t end) {
    if (done != begin) out.push_back({done, begin, false});
    out.push_back({begin, end, true});
    done = end;
  };
  if (test_ != nullptr) {
    for (size_t i = 0; i < text.size();) {
      const auto c = code_point_at(text, i);
      if (test_(c.value)) add(i, i + c.n_bytes);
      i += c.n_bytes;
    }
  } else if (compiled_ != nullptr) {
    pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
    Stretch match;
    size_t last_end = std::string_view::npos;  // of the last match: an empty one right after it doesn't count
    for (size_t from = 0; data != nullptr && from <= text.size() && compiled_->next(data, text, from, match);) {
      if (match.begin == match.end && match.end == last_end) {
        from += from < text.size() ? code_point_at(text, from).n_bytes : 1;
        continue;
      }
      if (!text.empty()) add(match.begin, match.end);
      from = last_end = match.end;
    }
    pcre2_match_data_free(data);
  } else {
    for (size_t i = text.find(literal_); i != std::string_view::npos; i = text.find(literal_, i + literal_.size()))
      add(i, i + literal_.size());
  }
  if (done != text.size()) out.push_back({done, text.size(), false});
}

std::string Pattern::replace(std::string_view text, std::string_view content) const {
  std::vector<Stretch> stretches;
  find(text, stretches);
  std::string out;
  out.reserve(text.size());
  for (const auto& s : stretches) out += s.matched ? content : text.substr(s.begin, s.end - s.begin);
  return out;
}

void apply_behaviour(Behaviour behaviour, bool invert, std::vector<Stretch>& stretches) {
  if (invert)
    for (auto& s : stretches) s.matched = !s.matched;
  std::vector<Stretch> out;
  out.reserve(stretches.size());
  bool before = false;  // whether the stretch before matched
  const bool backwards = behaviour == Behaviour::kMergedWithNext;
  if (backwards) std::reverse(stretches.begin(), stretches.end());
  for (const auto& s : stretches) {
    bool merge = false;
    switch (behaviour) {
      case Behaviour::kRemoved:
        if (s.matched) continue;
        break;
      case Behaviour::kIsolated:
        break;
      case Behaviour::kMergedWithPrevious:
      case Behaviour::kMergedWithNext:
        merge = s.matched && !before;
        break;
      case Behaviour::kContiguous:
        merge = s.matched == before;
        break;
    }
    before = s.matched;
    if (!merge || out.empty()) {
      out.push_back(s);
    } else if (backwards) {
      out.back().begin = s.begin;
    } else {
      out.back().end = s.end;
    }
  }
  if (backwards) std::reverse(out.begin(), out.end());
  std::erase_if(out, [](const Stretch& s) { return s.begin == s.end; });
  stretches = std::move(out);
}

Result<Behaviour> read_behaviour(const Part& part, std::string_view key, Behaviour otherwise) {
  if (slm::find(*part.object, key) == nullptr) return otherwise;
  SLM_TRY(const std::string name, text_field(part, key));
  static constexpr std::pair<std::string_view, Behaviour> kNames[] = {
      {"Removed", Behaviour::kRemoved},
      {"Isolated", Behaviour::kIsolated},
      {"MergedWithPrevious", Behaviour::kMergedWithPrevious},
      {"MergedWithNext", Behaviour::kMergedWithNext},
      {"Contiguous", Behaviour::kContiguous},
  };
  for (const auto& [known, behaviour] : kNames)
    if (name == known) return behaviour;
  return fail(ErrorCode::kUnsupportedModel,
              fmt::format("tokenizer.json: {} has the {} {}; this build knows Removed, Isolated, MergedWithPrevious, "
                          "MergedWithNext, Contiguous",
                          part.where, key, name.substr(0, 64)));
}

}  // namespace slm::text::pipeline
