// `slmconv models check DIR`: does everything of a model load and fit together; one row a check.
#pragma once

#include "command.h"

namespace slm::cli {
void add_models_check(CLI::App& models, Context& context);
}
