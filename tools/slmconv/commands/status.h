// `slmconv status`: how far this store's conversion has come. Needs no identity.
#pragma once

#include "command.h"

namespace slm::cli {
void add_status(CLI::App& app, Context& context);
}
