// slmconv models pretrain: a small base model from scratch.
#pragma once

#include "command.h"

namespace slm::cli {
void add_models_pretrain(CLI::App& models, Context& context);
}
