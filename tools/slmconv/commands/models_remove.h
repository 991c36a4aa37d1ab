// `slmconv models remove DIR`: tells a store where weights lie, so that select can choose them.
#pragma once

#include "command.h"

namespace slm::cli {
void add_models_remove(CLI::App& models, Context& context);
}
