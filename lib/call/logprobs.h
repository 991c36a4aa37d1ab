// The probabilities that a provider logged with an answer: of each of its tokens, and of what else might have stood in
// its place.
//
// Held in a choice of CallBody under "logprobs", as [token, logprob, [[token, logprob], …]] each, where the tokens
// spell its content. A token is text, or an array of its bytes where they are no UTF-8 by themselves. Logprobs are
// rounded to five places. Units: natural logarithms. Errors: none: what can't be read is not there. Source: OpenAI chat
// completions, `choices[].logprobs.content[]` (openai-python src/openai/types/chat/chat_completion_token_logprob.py);
// `bytes` is null where a token has none.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "call/call.h"

namespace slm {

struct LoggedToken {
  std::string bytes;
  double logprob = 0;
  std::vector<std::pair<std::string, double>> top;  // the likeliest tokens in this place, itself among them or not
};

// From a provider's `logprobs` to the tokens that spell `content`; empty where they don't.
std::vector<LoggedToken> logged_tokens(const json::object& logprobs, std::string_view content);

json::array to_json(const std::vector<LoggedToken>& tokens);
std::vector<LoggedToken> logged_tokens(const json::array& held);

// What the first choice holds, or nullptr.
const json::array* logprobs_of(const CallBody& body);

}  // namespace slm
