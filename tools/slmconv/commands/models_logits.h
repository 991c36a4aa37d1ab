// slmconv models logits: what the network makes of given token ids, for comparison with other programs.
#pragma once

#include "command.h"

namespace slm::cli {
void add_models_logits(CLI::App& models, Context& context);
}
