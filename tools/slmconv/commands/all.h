// Every command, in the order help shows them.
#pragma once

#include "command.h"

namespace slm::cli {
void add_all_commands(CLI::App& app, Context& context);
}
