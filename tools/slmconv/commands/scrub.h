// scrub: raw calls into curated ones (S2): private data replaced, failures and repetitions left out, sides of the split
// given. `scrub --try FILE|-` shows what would be found in a text and needs no store.
#pragma once

#include "command.h"

namespace slm::cli {
void add_scrub(CLI::App& app, Context& context);
}
