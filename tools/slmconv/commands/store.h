// `slmconv store info|verify`: what a store holds, and whether it is whole. Neither needs a key.
#pragma once

#include "command.h"
#include "store/store.h"

namespace slm::cli {
// The store that --store names. Errors: kUsage without one.
Result<std::string> want_store(const Context& context, std::string_view command);
// That store, opened for what the chosen command does in this role; its reads too are entries of the audit trail, so it
// must be writable. Errors: kUsage without a store, and what Store::open returns.
Result<std::unique_ptr<store::Store>> open_store(const Context& context, store::Role role);
void add_store(CLI::App& app, Context& context);
}  // namespace slm::cli
