// `slmconv keys list|grant`: who may open and write what; a further identity.
#pragma once

#include "command.h"

namespace slm::cli {
void add_keys(CLI::App& app, Context& context);
}
