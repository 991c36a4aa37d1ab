// `slmconv models generate DIR FILE|-`: the model's answer to a conversation, with an adapter if asked.
#pragma once

#include "command.h"

namespace slm::cli {
void add_models_generate(CLI::App& models, Context& context);
}
