#include "scrub/filter/filter.h"

#include <algorithm>
#include <array>
#include <string>

#include "call/dialects/recognise.h"

namespace slm::scrub {

namespace {

// Openings that a model refuses with. Only a short answer that says nothing else counts: a desk's "I'm sorry, but I
// can't refund this order" is an answer.
bool refuses(const json::object& answer) {
  const auto* calls = get_array(answer, "tool_calls");
  if (calls != nullptr && !calls->empty()) return false;
  const std::string said = content_text(answer);
  if (said.empty() || said.size() > 300) return false;
  std::string text;  // in small letters, with plain apostrophes
  for (size_t i = 0; i < said.size(); ++i) {
    if (std::string_view(said).substr(i, 3) == "\u2019") {
      text.push_back('\'');
      i += 2;
    } else {
      text.push_back(said[i] >= 'A' && said[i] <= 'Z' ? static_cast<char>(said[i] + 32) : said[i]);
    }
  }
  static constexpr std::array<std::string_view, 9> kOpenings = {
      "can't assist with that",  "cannot assist with that",    "can't help with that",
      "cannot help with that",   "unable to assist with that", "can't assist with this",
      "cannot assist with this", "as an ai language model",    "can't fulfill that request"};
  return std::any_of(kOpenings.begin(), kOpenings.end(), [&](std::string_view o) {
    const size_t at = text.find(o);
    return at != std::string::npos && at < 60;
  });
}

}  // namespace

std::string_view drop_reason(const Call& call, const FilterOptions& options) {
  const Flags& flags = call.meta.flags;
  if (flags.undecoded) return "undecoded";
  const std::string_view failure = dialects::failure_of(call.body);
  if (failure == "refusal") return "refused";
  if (failure == "length") return "truncated";
  if (!failure.empty())
    return failure == "error" || failure == "empty" || failure == "no_response" ? failure : "failed";
  if (flags.truncated) return "truncated";
  if (flags.partial) return "partial";
  if (const json::object* answer = answer_of(call.body); answer != nullptr && refuses(*answer)) return "refused";
  if (flags.failed) return "failed";
  if (flags.needs_parent) return "needs_parent";
  if (options.no_hci && flags.hci) return "hci";
  return {};
}

}  // namespace slm::scrub
