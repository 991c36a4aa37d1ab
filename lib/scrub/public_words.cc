#include "scrub/public_words.h"

#include <algorithm>

#include "core/hash.h"
#include "scrub/detect/names.h"

namespace slm::scrub {

namespace {

// More distinct prompts than this are filled-in ones.
constexpr size_t kMaxPrompts = 200'000;

bool word_byte(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80 || c == '\'' ||
         c == '-';
}

}  // namespace

void PublicWords::take_words(std::string_view prompt) {
  for (size_t at = 0; at < prompt.size();) {
    size_t end = at;
    while (end < prompt.size() && word_byte(static_cast<unsigned char>(prompt[end]))) ++end;
    if (end - at >= 2 && ((prompt[at] >= 'A' && prompt[at] <= 'Z') || static_cast<unsigned char>(prompt[at]) >= 0x80))
      words_.insert(fold_case(prompt.substr(at, end - at)));
    at = end + 1;
  }
}

void PublicWords::add(const CallBody& body, uint32_t session) {
  for (const json::value& item : body.messages) {
    const json::object* message = item.if_object();
    if (message == nullptr) continue;
    const std::string_view role = get_string(*message, "role");
    if (role != "system" && role != "developer") continue;
    const std::string prompt = content_text(*message);
    const uint64_t hash = fnv1a(prompt);
    const auto known = sessions_.find(hash);
    if (known == sessions_.end()) {
      if (sessions_.size() < kMaxPrompts) sessions_[hash] = {session};
      continue;
    }
    auto& list = known->second;
    if (list.size() >= kMinSessions || std::find(list.begin(), list.end(), session) != list.end()) continue;
    list.push_back(session);
    if (list.size() == kMinSessions) take_words(prompt);
  }
}

}  // namespace slm::scrub
