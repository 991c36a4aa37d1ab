// `slmconv models export TASK --out PATH`: a task's sealed adapter as a plain PEFT directory, merged into its base, or
// as GGUF for llama.cpp.
#pragma once

#include "command.h"

namespace slm::cli {
void add_models_export(CLI::App& models, Context& context);
}
