// `slmconv evaluate`: tuned models against the logged one on held-out sessions, with verdicts (S6).
#pragma once

#include "command.h"

namespace slm::cli {
void add_evaluate(CLI::App& app, Context& context);
}
