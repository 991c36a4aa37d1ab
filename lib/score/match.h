// Grades an answer against a reference by the task's kind. Pure functions over assistant messages.
//
// Rules (an answer that differs in form from its reference is wrong, even where a person would let it pass):
//   label       content equal after trimming, runs of white space made one space, ASCII letters made lower case
//   json        content equal as JSON values: key order and number format (1, 1.0, 1e0) don't matter, all else does;
//               a code fence around the whole must be there on both sides or on neither
//   tool_call   the same calls as a multiset of (name, arguments as JSON): parallel calls in any order; text beside the
//               calls is ignored. Where the reference calls no tool, as short_text
//   short_text, open_text   content equal after trimming and runs of white space made one space
// An answer that calls tools where the reference calls none is wrong under every kind.
// Units: ratios in [0,1].
// Source: tool calls follow the OpenAI chat message (`tool_calls[].function.{name, arguments}`, arguments as text or as
//   an object); order-free comparison of parallel calls after the Berkeley Function-Calling Leaderboard.
#pragma once

#include <string>
#include <string_view>

#include "schema/json.h"
#include "score/kind.h"

namespace slm::score {

struct Grade {
  bool exact = false;         // by the rule of the kind; what the verdict counts
  double json_fields = 0;     // json: leaves (path and value) that agree ÷ paths on either side
  bool tool_names = false;    // tool_call: the same names, as a multiset
  double tool_arguments = 0;  // tool_call: as json_fields, over calls paired by name and likeness
  double token_f1 = 0;        // words (runs of letters and digits, lower case) in common, as F1 over multisets
};
Grade grade(TaskKind kind, const json::object& answer, const json::object& reference);

// The answer in a form that is equal for two answers exactly when grade(...).exact holds between them: for counting the
// commonest answer.
std::string canonical_answer(TaskKind kind, const json::object& answer);

// Equal as JSON values: objects without regard to order, numbers by value.
bool json_equal(const json::value& a, const json::value& b);
// Share of leaves in common, see Grade::json_fields. Two values without any leaf differ or agree as a whole.
double json_field_accuracy(const json::value& answer, const json::value& reference);
double token_f1(std::string_view answer, std::string_view reference);

}  // namespace slm::score
