// Names that belong to the instructions, not to a customer: runs of capitalised words, as they stand in system prompts
// that many sessions share word for word ("You act for customers of Brindlewick"). Without them the desk's own name,
// found after "Kind regards,", would become another one in every session.
//
// A prompt counts once at least kMinSessions sessions hold the very same text; a prompt filled in for one customer
// doesn't. Only the whole run counts: of an example "Dear Mary Johnson," neither "Mary" nor "Johnson" is public.
// Units: about 100 bytes a distinct prompt, of at most 200,000.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "call/call.h"

namespace slm::scrub {

class PublicPhrases {
 public:
  static constexpr size_t kMinSessions = 20;
  void add(const CallBody& body, uint32_t session);
  // Folded, words parted by one space.
  const std::unordered_set<std::string>& phrases() const { return phrases_; }

 private:
  void take_phrases(std::string_view prompt);
  std::unordered_map<uint64_t, std::vector<uint32_t>> sessions_;  // by hash of the prompt; at most kMinSessions each
  std::unordered_set<std::string> phrases_;
};

// Runs of capitalised words in a text, in the form of phrases(). Words that no name has ("Dear", "Team") part them.
std::vector<std::string> capitalised_runs(std::string_view text);

}  // namespace slm::scrub
