// Why a task got its verdict and what to do next, in a sentence for people.
#pragma once

#include <string>

#include "evaluate/artifact.h"

namespace slm::evaluate {

// changed: the candidate isn't the one of the last look, so only sessions first seen after that look counted.
std::string explain(const TaskEvaluation& task, double delta, bool changed);

}  // namespace slm::evaluate
