// Names that belong to the instructions, not to a customer: capitalised words of system prompts that many sessions
// share word for word ("You act for customers of Brindlewick"). Without them the desk's own name, found after "Kind
// regards,", would become another one in every session.
//
// A prompt counts once at least kMinSessions sessions hold the very same text; a prompt filled in for one customer
// doesn't. Units: about 100 bytes a distinct prompt. Threads: one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "call/call.h"

namespace slm::scrub {

class PublicWords {
 public:
  static constexpr size_t kMinSessions = 20;
  void add(const CallBody& body, uint32_t session);
  // Folded.
  const std::unordered_set<std::string>& words() const { return words_; }

 private:
  void take_words(std::string_view prompt);
  std::unordered_map<uint64_t, std::vector<uint32_t>> sessions_;  // by hash of the prompt; at most kMinSessions each
  std::unordered_set<std::string> words_;
};

}  // namespace slm::scrub
