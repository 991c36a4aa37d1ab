// slmconv cluster: find the tasks in the scrubbed calls.
#pragma once

#include "command.h"

namespace slm::cli {
void add_cluster(CLI::App& app, Context& context);
}
