// Alternatives that were logged beside an answer's tokens are text too, though nobody was sent them: those that
// scrubbing would change go, and what probability they had is nobody's.
//
// Errors: what `is_private` returns.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "schema/json.h"

namespace slm::scrub {

// `changed`: choices whose text was changed, whose logprobs go whole. Gives whether any went.
Result<bool> scrub_logprobs(json::array& choices, const std::vector<size_t>& changed,
                            const std::function<Result<bool>(std::string_view text)>& is_private);

}  // namespace slm::scrub
