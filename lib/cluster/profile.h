// What a task's calls are like: counts, tokens, and the kind told from the answers.
//
// Units: tokens as billed; where the log has none, 4 bytes a token.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "call/call.h"
#include "cluster/artifact.h"
#include "score/kind.h"

namespace slm::cluster {

// What the kind is told from, of one answer.
struct AnswerFacts {
  bool tool = false, json = false, has_truth = false;
  uint32_t n_words = 0;
  uint64_t hash = 0;  // of the text in lower case without white space at the ends
  float overlap = 0;  // share of the answer's distinct words that the request holds
  uint32_t n_in = 0, n_out = 0;
};
AnswerFacts facts_of(const Call& call);

// Sums over the calls of one task; memory is bounded, whatever the number of calls.
class AnswerProfile {
 public:
  void add(const AnswerFacts& facts);
  // tool_call and json: at least half of the answers. label: at most 6 words, and at most 1 distinct answer in 10 calls
  // (no more than 64) covers 90 %. short_text: at most 40 words at the median, and the truth is kept for half of the
  // calls, or half of the words come from the request. open_text: the rest.
  score::TaskKind kind() const;

 private:
  int64_t n_ = 0, n_tool_ = 0, n_json_ = 0, n_truth_ = 0;
  std::map<uint32_t, int64_t> words_;              // length in words, at most 1000 → answers
  std::unordered_map<uint64_t, int64_t> answers_;  // of at most kMaxAnswers distinct; others count as distinct
  double overlap_ = 0;
};

// Tokens of a call in one number a call, and what the sums of a task need.
class TaskTotals {
 public:
  // session: hash of the session.
  void add(const AnswerFacts& facts, uint64_t session, const std::string& model);
  // Fills volume, tokens, percentiles and model of a task; shares are made over all tasks by the caller.
  void fill(TaskInfo& info);

 private:
  int64_t n_calls_ = 0, n_in_ = 0, n_out_ = 0;
  std::vector<uint32_t> tokens_;    // in + out, 4 bytes a call
  std::vector<uint64_t> sessions_;  // compacted whenever it doubles
  size_t compact_at_ = 1024;
  std::map<std::string, int64_t> models_;
};

}  // namespace slm::cluster
