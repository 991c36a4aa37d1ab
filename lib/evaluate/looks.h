// Looks at the test side: how often a task's candidates have been tested, and which sessions a candidate may be tested
// on.
//
// Only the unchanged candidate may look again at sessions it was tested on; one made after a look is tested on sessions
// first seen after it. Looks are counted per task over all its candidates, and each spends its share of the error.
// Source: score/verdict.h.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>

#include "core/bytes.h"
#include "dataset/view.h"
#include "evaluate/artifact.h"

namespace slm::evaluate {

// What testing this task now would be.
struct LookPlan {
  int look = 1;          // m, if units are tested that weren't tested before
  std::string barrier;   // evaluation whose sessions are out of bounds; "" = none
  bool changed = false;  // another candidate than at the last look
};
// previous: the task's last test with tested_in filled in; nullptr if there is none. born_after: the evaluation that
// knew other tasks but not this one; "" if there is none: a task found by clustering anew, whose candidate was made
// after that evaluation's sessions were looked at.
LookPlan plan_look(const TaskEvaluation* previous, const std::string& candidate, const std::string& born_after);

// Names of session groups as 64-bit hashes: what lies in seen.sealed. Two of a million share one with chance 3e-8; the
// later one would be left out of a test.
using SeenGroups = std::unordered_set<uint64_t>;
uint64_t group_hash(std::string_view name);
Bytes serialise_seen(const dataset::View& view);
Result<SeenGroups> parse_seen(ByteSpan bytes);

}  // namespace slm::evaluate
