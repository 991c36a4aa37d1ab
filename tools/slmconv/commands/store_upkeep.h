// `slmconv store erase|retain|compact|backup|restore|anchor|bundle|update|merge`: looking after a store.
#pragma once

#include "command.h"

namespace slm::cli {
void add_store_upkeep(CLI::App& store, Context& context);
}
