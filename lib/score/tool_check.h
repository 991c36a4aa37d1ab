// Tool calls checked against what would be accepted: for references that allow several values or let parameters be left
// out, where equality (score/match.h) would be too strict. Pure functions.
//
// Functions are OpenAI definitions, or their inner object, with JSON Schema types or the leaderboard's names for them
// (dict, float, tuple, any). An accepted call names for each parameter the values that pass; "" among them means that
// the parameter may be left out. A nested object is accepted by the same rule, key by key. Rules: names are equal (a
// dot may be written as an underscore); every required parameter is there, no other than the
//   accepted ones; types fit, an integer passing for a float, not the reverse, and another type only where an accepted
//   value has it; strings are compared without spaces and ,./-_*^, in lower case, with ' for "; lists in order.
//   Parallel calls match in any order (a bipartite matching, so that one call's choice never spoils another's).
// Source: Berkeley Function-Calling Leaderboard, bfcl_eval/eval_checker/ast_eval/ast_checker.py, in our own words;
// there
//   parallel calls are matched greedily and nested types one level deep.
#pragma once

#include <string>
#include <string_view>

#include "schema/json.h"

namespace slm::score {

enum class ToolFault {
  kNone,
  kWrongCount,
  kWrongName,
  kMissingRequired,
  kUnexpectedParameter,
  kWrongType,
  kWrongValue,
  kMissingOptional,  // left out though no accepted call leaves it out
  kNoMatch,          // parallel calls: no pairing accepts them all
};
std::string_view fault_name(ToolFault fault);

struct ToolCheck {
  ToolFault fault = ToolFault::kNone;
  std::string where;  // parameter or function, never a value
  bool ok() const { return fault == ToolFault::kNone; }
};
// accepted: [{name: {parameter: [value, …]}}, …]. answer: an assistant message.
ToolCheck check_tool_calls(const json::array& functions, const json::array& accepted, const json::object& answer);

}  // namespace slm::score
