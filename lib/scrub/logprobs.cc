#include "scrub/logprobs.h"

#include <algorithm>
#include <map>
#include <string>

#include "call/logprobs.h"
#include "core/utf8.h"

namespace slm::scrub {

namespace {

using IsPrivate = std::function<Result<bool>(std::string_view text)>;

Status scrub_alternatives(json::array& logprobs, const IsPrivate& is_private) {
  auto tokens = logged_tokens(logprobs);
  std::map<std::string, bool> alternatives;  // → is private
  for (const auto& token : tokens)
    for (const auto& [bytes, logprob] : token.top)
      if (bytes != token.bytes && is_utf8(bytes)) alternatives.emplace(bytes, false);
  std::string all;
  for (const auto& [bytes, is] : alternatives) all += bytes + "\n";
  SLM_TRY(const bool some, is_private(all));
  if (!some) return {};
  for (auto& [bytes, is] : alternatives) {
    SLM_TRY(is, is_private(bytes));
  }
  for (auto& token : tokens)
    std::erase_if(token.top, [&](const auto& other) {
      const auto it = alternatives.find(other.first);
      return other.first != token.bytes && it != alternatives.end() && it->second;
    });
  logprobs = to_json(tokens);
  return {};
}

}  // namespace

Result<bool> scrub_logprobs(json::array& choices, const std::vector<size_t>& changed, const IsPrivate& is_private) {
  bool any_went = false;
  for (size_t i = 0; i < choices.size(); ++i) {
    auto* choice = choices[i].if_object();
    auto* held = choice == nullptr ? nullptr : choice->if_contains("logprobs");
    if (held == nullptr) continue;
    if (!held->is_array() || std::find(changed.begin(), changed.end(), i) != changed.end()) {
      choice->erase("logprobs");
      any_went = true;
    } else {
      SLM_CHECK(scrub_alternatives(held->get_array(), is_private));
    }
  }
  return any_went;
}

}  // namespace slm::scrub
