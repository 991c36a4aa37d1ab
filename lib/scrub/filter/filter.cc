#include "scrub/filter/filter.h"

#include "call/dialects/recognise.h"

namespace slm::scrub {

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
  if (const json::object* answer = answer_of(call.body); answer != nullptr && dialects::opens_with_refusal(*answer))
    return "refused";
  if (flags.failed) return "failed";
  if (flags.needs_parent) return "needs_parent";
  if (options.no_hci && flags.hci) return "hci";
  return {};
}

}  // namespace slm::scrub
