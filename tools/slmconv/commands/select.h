// `slmconv select`: for each task the small models that could take it over (S4). Needs no identity.
#pragma once

#include "command.h"

namespace slm::cli {
void add_select(CLI::App& app, Context& context);
}
