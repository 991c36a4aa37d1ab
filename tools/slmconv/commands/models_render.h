// `slmconv models render DIR FILE|-`: the prompt text that a model sees for a conversation.
#pragma once

#include "command.h"

namespace slm::cli {
void add_models_render(CLI::App& models, Context& context);
}
