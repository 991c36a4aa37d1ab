#include "cluster/names.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

namespace slm::cluster {

namespace {

constexpr size_t kMaxWords = 200'000;  // distinct ones looked at; later ones are rare
constexpr size_t kMaxNameBytes = 40;
constexpr size_t kWordsInName = 3;

// Words that say nothing about a task.
constexpr std::array<std::string_view, 120> kStopWords = {
    "the",    "and",    "for",     "you",       "your",      "are",    "was",     "were",    "with",     "that",
    "this",   "these",  "those",   "from",      "have",      "has",    "had",     "not",     "but",      "can",
    "could",  "would",  "should",  "will",      "shall",     "may",    "might",   "must",    "our",      "out",
    "its",    "his",    "her",     "him",       "she",       "they",   "them",    "their",   "there",    "then",
    "than",   "what",   "when",    "where",     "which",     "who",    "whom",    "why",     "how",      "all",
    "any",    "both",   "each",    "few",       "more",      "most",   "other",   "some",    "such",     "only",
    "own",    "same",   "too",     "very",      "just",      "also",   "about",   "into",    "over",     "under",
    "again",  "once",   "here",    "does",      "did",       "doing",  "been",    "being",   "because",  "until",
    "while",  "during", "before",  "after",     "above",     "below",  "between", "please",  "thanks",   "thank",
    "hello",  "dear",   "regards", "like",      "want",      "need",   "get",     "got",     "one",      "two",
    "use",    "using",  "used",    "user",      "assistant", "system", "tool",    "message", "messages", "text",
    "answer", "reply",  "given",   "following", "make",      "let",    "per",     "yes",     "now",      "hey"};

bool is_stop_word(std::string_view word) {
  static const std::set<std::string_view> kSet(kStopWords.begin(), kStopWords.end());
  return kSet.contains(word);
}

void remember(std::vector<uint64_t>& sessions, uint64_t session) {
  if (sessions.size() < kLeastSessions && std::find(sessions.begin(), sessions.end(), session) == sessions.end())
    sessions.push_back(session);
}

// Words of ASCII letters, lower case, three letters or more; a word with a digit or other letters isn't one. A word
// with an underscore (a tool's name) is taken with it.
template <class Visit>
void visit_words(std::string_view text, Visit&& visit) {
  std::string word;
  bool ordinary = true;
  const auto end_word = [&] {
    if (ordinary && word.size() >= 3 && word.size() <= 24 && !is_stop_word(word)) visit(word);
    word.clear();
    ordinary = true;
  };
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z')
      word += static_cast<char>(c - 'A' + 'a');
    else if ((c >= 'a' && c <= 'z') || (c == '_' && !word.empty()))
      word += c;
    else if ((c >= '0' && c <= '9') || (static_cast<uint8_t>(c) & 0x80) != 0)
      ordinary = false, word += '0';
    else
      end_word();
  }
  end_word();
}

// a-z, 0-9, hyphens; "" if nothing is left.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 256)) {
    const char lowered = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if ((lowered >= 'a' && lowered <= 'z') || (lowered >= '0' && lowered <= '9'))
      out += lowered;
    else if (!out.empty() && out.back() != '-')
      out += '-';
  }
  out.resize(std::min(out.size(), kMaxNameBytes));
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out;
}

}  // namespace

NameMaker::NameMaker(size_t n_tasks) : n_tasks_(n_tasks), sites_(n_tasks) {}

void NameMaker::add(size_t task, uint64_t session, std::string_view text, std::string_view site) {
  visit_words(text, [&](const std::string& word) {
    auto at = words_.find(word);
    if (at == words_.end()) {
      if (words_.size() >= kMaxWords) return;
      at = words_.try_emplace(word).first;
    }
    auto& counts = at->second.counts;
    const auto index = static_cast<uint32_t>(task);
    auto count = std::lower_bound(counts.begin(), counts.end(), std::pair{index, uint32_t{0}});
    if (count == counts.end() || count->first != index) count = counts.insert(count, {index, 0});
    ++count->second;
    remember(at->second.sessions, session);
  });
  auto& sites = sites_[task];
  ++sites.n_calls;
  if (!site.empty()) {
    ++sites.n;
    ++sites.counts[std::string(site)];
    remember(site_sessions_[std::string(site)], session);
  }
}

std::vector<std::string> NameMaker::names() const {
  std::vector<double> n_words(n_tasks_, 0);
  double total = 0;
  for (const auto& [word, entry] : words_)
    for (const auto& [task, n] : entry.counts) n_words[task] += n, total += n;
  const double average = n_tasks_ > 0 ? total / static_cast<double>(n_tasks_) : 0;
  std::vector<std::vector<std::pair<double, std::string_view>>> best(n_tasks_);
  for (const auto& [word, entry] : words_) {
    if (entry.sessions.size() < kLeastSessions) continue;
    double frequency = 0;
    for (const auto& [task, n] : entry.counts) frequency += n;
    for (const auto& [task, n] : entry.counts)
      best[task].emplace_back(n / n_words[task] * std::log(1 + average / frequency), word);
  }
  std::vector<std::string> out(n_tasks_);
  for (size_t t = 0; t < n_tasks_; ++t) {
    const auto& sites = sites_[t];
    for (const auto& [site, n] : sites.counts)
      if (10 * n >= 9 * sites.n && 4 * sites.n >= sites.n_calls && site_sessions_.at(site).size() >= kLeastSessions)
        out[t] = plain(site);
    if (!out[t].empty()) continue;
    std::sort(best[t].begin(), best[t].end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    for (size_t i = 0, used = 0; i < best[t].size() && used < kWordsInName; ++i) {
      const auto word = plain(best[t][i].second);
      if (word.empty() || out[t].size() + 1 + word.size() > kMaxNameBytes) continue;
      if (!out[t].empty()) out[t] += '-';
      out[t] += word;
      ++used;
    }
  }
  return out;
}

}  // namespace slm::cluster
