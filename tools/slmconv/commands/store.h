// `slmconv store info|verify`: what a store holds, and whether it is whole. Neither needs a key.
#pragma once

#include "command.h"

namespace slm::cli {
// The store that --store names. Errors: kUsage without one.
Result<std::string> want_store(const Context& context, std::string_view command);
void add_store(CLI::App& app, Context& context);
}  // namespace slm::cli
