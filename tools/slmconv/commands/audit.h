// `slmconv audit show|export`: the trail, as an auditor reads it.
#pragma once

#include "command.h"

namespace slm::cli {
void add_audit(CLI::App& app, Context& context);
}
