// Names of tasks, from words of their requests: public, so only words that occur in the scrubbed text of at least
// kLeastSessions sessions may stand in one.
//
// Source: class-based TF-IDF, Grootendorst 2022 (BERTopic): tf of a word in a task (share of its words) · ln(1 + A /
// f),
//   A the mean number of words of a task, f the word's frequency over all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace slm::cluster {

inline constexpr size_t kLeastSessions = 20;

// Memory: bounded by the words of the texts, whatever the number of tasks; 200,000 distinct ones at most.
class NameMaker {
 public:
  explicit NameMaker(size_t n_tasks);
  // `text`: of a request, scrubbed; `site`: its call-site label or "". session: hash.
  void add(size_t task, uint64_t session, std::string_view text, std::string_view site);
  // One name a task: the call-site label that nine tenths of its labelled calls share, else up to three words joined by
  // hyphens, else "" (the caller falls back on kind and id). Lower case, a-z 0-9 and hyphens, at most 40 bytes.
  std::vector<std::string> names() const;

 private:
  struct Word {
    std::vector<std::pair<uint32_t, uint32_t>> counts;  // (task, occurrences), by task; those that have it
    std::vector<uint64_t> sessions;                     // distinct, at most kLeastSessions
  };
  struct Sites {
    std::unordered_map<std::string, size_t> counts;
    size_t n = 0, n_calls = 0;
  };
  size_t n_tasks_;
  std::unordered_map<std::string, Word> words_;
  std::unordered_map<std::string, std::vector<uint64_t>> site_sessions_;
  std::vector<Sites> sites_;
};

}  // namespace slm::cluster
