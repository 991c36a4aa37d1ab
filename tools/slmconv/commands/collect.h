// collect PATH…|-: logged calls from files into the sealed store (S1).
#pragma once

#include "command.h"

namespace slm::cli {
void add_collect(CLI::App& app, Context& context);
}
