// `slmconv models export TASK --out DIR`: a task's sealed adapter as a plain PEFT directory.
#pragma once

#include "command.h"

namespace slm::cli {
void add_models_export(CLI::App& models, Context& context);
}
