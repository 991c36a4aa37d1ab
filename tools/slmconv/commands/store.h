// `slmconv store info|verify`: what a store holds, and whether it is whole. Neither needs a key.
#pragma once

#include "command.h"

namespace slm::cli {
void add_store(CLI::App& app, Context& context);
}
