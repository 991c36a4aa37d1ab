// `slmconv init STORE`: makes a sealed store and the keys of its roles.
#pragma once

#include "command.h"

namespace slm::cli {
void add_init(CLI::App& app, Context& context);
}
