// `slmconv models show DIR`: what a model directory holds and what it takes to run it; loads no weights.
#pragma once

#include "command.h"

namespace slm::cli {
void add_models_show(CLI::App& models, Context& context);
}
