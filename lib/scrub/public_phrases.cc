#include "scrub/public_phrases.h"

#include <algorithm>
#include <utility>

#include "core/hash.h"
#include "scrub/detect/names.h"
#include "scrub/detect/normalise.h"

namespace slm::scrub {

namespace {

// More distinct prompts than this are filled-in ones.
constexpr size_t kMaxPrompts = 200'000;

// Whether the character belongs to a word: letters, digits, apostrophe and hyphen; above 127 all but dashes, quotation
// marks and the like.
bool word_char(char32_t c) {
  if (c < 0x80)
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '\'' || c == '-';
  if (c == 0x2019) return true;
  return !((c >= 0x2000 && c <= 0x206F) || (c >= 0x3000 && c <= 0x303F) || c == 0xA0 || c == 0xAB || c == 0xBB ||
           c == 0xB7);
}

size_t word_end(std::string_view text, size_t at) {
  while (at < text.size()) {
    size_t next = at;
    if (!word_char(next_char(text, next))) return at;
    at = next;
  }
  return at;
}

bool capitalised(std::string_view word) {
  const char c = word.front();
  return (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}

// 'Brindlewick's' → Brindlewick
std::string_view bare(std::string_view word) {
  while (!word.empty() && (word.front() == '\'' || word.front() == '-')) word.remove_prefix(1);
  for (const std::string_view tail : {"'s", "\u2019s", "'", "\u2019", "-"})
    if (word.ends_with(tail)) word.remove_suffix(tail.size());
  return word;
}

}  // namespace

std::vector<std::string> capitalised_runs(std::string_view text) {
  std::vector<std::string> out;
  std::string run, particles;  // the latter stand behind the run, and belong to it if a name follows
  const auto end_run = [&] {
    if (!run.empty()) out.push_back(std::move(run));
    run.clear();
    particles.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const size_t end = word_end(text, at);
    if (end == at) {
      if (text[at] != ' ' && text[at] != '\t') end_run();
      next_char(text, at);
      continue;
    }
    const std::string_view written = text.substr(at, end - at), word = bare(written);
    at = end;
    if (word.empty()) continue;
    if (capitalised(word) && !is_stop_word(word)) {
      if (!run.empty()) run += particles + " ";
      particles.clear();
      run += fold_case(word);
      if (written.ends_with('s') && word.size() < written.size()) end_run();  // a possessive ends a name
    } else if (is_particle(word) && !run.empty()) {
      particles += " " + std::string(word);
    } else {
      end_run();
    }
  }
  end_run();
  return out;
}

void PublicPhrases::take_phrases(std::string_view prompt) {
  for (std::string& run : capitalised_runs(prompt)) phrases_.insert(std::move(run));
}

void PublicPhrases::add(const CallBody& body, uint32_t session) {
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
    if (list.size() == kMinSessions) take_phrases(prompt);
  }
}

}  // namespace slm::scrub
