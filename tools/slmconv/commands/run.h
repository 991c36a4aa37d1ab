// `slmconv run PIPELINE.toml`: the steps of a pipeline, one after the other; each skips what hasn't changed.
#pragma once

#include "command.h"

namespace slm::cli {
void add_run(CLI::App& app, Context& context);
}
