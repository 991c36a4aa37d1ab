#include "cluster/profile.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "core/hash.h"

namespace slm::cluster {

namespace {

constexpr size_t kMaxAnswers = 4096;
constexpr size_t kMaxModels = 64;
constexpr int64_t kBytesPerToken = 4;

bool is_word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (static_cast<uint8_t>(c) & 0x80) != 0;
}
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

template <class Visit>
void visit_words(std::string_view text, Visit&& visit) {
  size_t pos = 0;
  while (pos < text.size()) {
    while (pos < text.size() && !is_word_byte(text[pos])) ++pos;
    uint64_t hash = fnv1a("");
    const size_t begin = pos;
    while (pos < text.size() && is_word_byte(text[pos])) {
      const char c = lower(text[pos++]);
      hash = fnv1a(std::string_view(&c, 1), hash);
    }
    if (pos > begin) visit(hash);
  }
}

size_t bytes_of(const json::array& messages) {
  size_t n = 0;
  for (const auto& message : messages)
    if (const auto* object = message.if_object()) n += content_text(*object).size() + 8;
  return n;
}

uint32_t clamp_tokens(int64_t n) { return static_cast<uint32_t>(std::clamp<int64_t>(n, 0, UINT32_MAX / 2)); }

}  // namespace

AnswerFacts facts_of(const Call& call) {
  AnswerFacts out;
  out.has_truth = !call.body.truth.is_null();
  const auto* answer = answer_of(call.body);
  std::string text;
  if (answer != nullptr) {
    out.tool = !first_tool(*answer).empty();
    text = content_text(*answer);
  }
  std::string_view trimmed = text;
  while (!trimmed.empty() && static_cast<uint8_t>(trimmed.front()) <= ' ') trimmed.remove_prefix(1);
  while (!trimmed.empty() && static_cast<uint8_t>(trimmed.back()) <= ' ') trimmed.remove_suffix(1);
  if (!out.tool && !trimmed.empty() && (trimmed.front() == '{' || trimmed.front() == '['))
    out.json = parse_json(trimmed).has_value();
  std::string lowered(trimmed);
  for (char& c : lowered) c = lower(c);
  out.hash = fnv1a(lowered);
  std::unordered_set<uint64_t> words;
  visit_words(lowered, [&](uint64_t hash) { words.insert(hash), ++out.n_words; });
  if (!words.empty() && !out.tool) {
    std::unordered_set<uint64_t> asked;
    for (const auto& message : call.body.messages)
      if (const auto* object = message.if_object())
        visit_words(content_text(*object), [&](uint64_t hash) { asked.insert(hash); });
    size_t shared = 0;
    for (const auto word : words) shared += asked.count(word);
    out.overlap = static_cast<float>(shared) / static_cast<float>(words.size());
  }
  const auto& usage = call.meta.usage;
  out.n_in =
      clamp_tokens(usage.n_in ? *usage.n_in : static_cast<int64_t>(bytes_of(call.body.messages)) / kBytesPerToken);
  int64_t n_out_bytes = static_cast<int64_t>(text.size());
  if (out.tool && answer != nullptr)
    if (const auto* calls = get_array(*answer, "tool_calls"))
      n_out_bytes += static_cast<int64_t>(canonical_json(*calls).size());
  out.n_out = clamp_tokens(usage.n_out ? *usage.n_out : (n_out_bytes + kBytesPerToken - 1) / kBytesPerToken);
  return out;
}

void AnswerProfile::add(const AnswerFacts& facts) {
  ++n_;
  n_tool_ += facts.tool;
  n_json_ += facts.json;
  n_truth_ += facts.has_truth;
  if (facts.tool) return;
  ++words_[std::min<uint32_t>(facts.n_words, 1000)];
  overlap_ += facts.overlap;
  if (const auto at = answers_.find(facts.hash); at != answers_.end())
    ++at->second;
  else if (answers_.size() < kMaxAnswers)
    answers_.emplace(facts.hash, 1);
}

score::TaskKind AnswerProfile::kind() const {
  if (n_ == 0) return score::TaskKind::kOpenText;
  if (2 * n_tool_ >= n_) return score::TaskKind::kToolCall;
  if (2 * n_json_ >= n_) return score::TaskKind::kJson;
  const int64_t n_text = n_ - n_tool_;
  const auto quantile = [&](double q) {
    int64_t seen = 0;
    for (const auto& [length, n] : words_)
      if (static_cast<double>(seen += n) >= q * static_cast<double>(n_text)) return length;
    return uint32_t{1000};
  };
  std::vector<int64_t> counts;
  for (const auto& [hash, n] : answers_) counts.push_back(n);
  std::sort(counts.rbegin(), counts.rend());
  const size_t n_labels = std::clamp<size_t>(static_cast<size_t>(n_text) / 10, 2, 64);
  int64_t covered = 0;
  for (size_t i = 0; i < std::min(n_labels, counts.size()); ++i) covered += counts[i];
  // Two or three calls with as many answers cover everything and show nothing: some answer must come back.
  const bool repeats = !counts.empty() && (counts.front() > 1 || n_text == 1);
  if (quantile(0.9) <= 6 && repeats && 10 * covered >= 9 * n_text) return score::TaskKind::kLabel;
  const bool follows = 2 * n_truth_ >= n_ || overlap_ >= 0.5 * static_cast<double>(n_text);
  return quantile(0.5) <= 40 && follows ? score::TaskKind::kShortText : score::TaskKind::kOpenText;
}

void TaskTotals::add(const AnswerFacts& facts, uint64_t session, const std::string& model) {
  ++n_calls_;
  n_in_ += facts.n_in;
  n_out_ += facts.n_out;
  tokens_.push_back(facts.n_in + facts.n_out);
  sessions_.push_back(session);
  if (sessions_.size() >= compact_at_) {
    std::sort(sessions_.begin(), sessions_.end());
    sessions_.erase(std::unique(sessions_.begin(), sessions_.end()), sessions_.end());
    compact_at_ = std::max<size_t>(1024, 2 * sessions_.size());
  }
  if (const auto at = models_.find(model); at != models_.end())
    ++at->second;
  else if (models_.size() < kMaxModels)
    models_.emplace(model, 1);
}

void TaskTotals::fill(TaskInfo& info) {
  info.n_calls = n_calls_;
  info.n_in_tokens = n_in_;
  info.n_out_tokens = n_out_;
  std::sort(sessions_.begin(), sessions_.end());
  info.n_sessions = std::unique(sessions_.begin(), sessions_.end()) - sessions_.begin();
  std::sort(tokens_.begin(), tokens_.end());
  // Nearest rank.
  const auto percentile = [&](size_t percent) -> int64_t {
    if (tokens_.empty()) return 0;
    const size_t rank = (tokens_.size() * percent + 99) / 100;
    return tokens_[std::max<size_t>(rank, 1) - 1];
  };
  info.p50_tokens = percentile(50);
  info.p99_tokens = percentile(99);
  int64_t most = 0;
  for (const auto& [model, n] : models_)
    if (n > most) info.model = model, most = n;
}

}  // namespace slm::cluster
