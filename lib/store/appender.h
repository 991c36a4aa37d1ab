// Appending calls: see Appender in store.h. Calls wait as given until a batch is full; then they are grouped by source,
// sealed, and committed. Destruction drops what wasn't flushed.
#pragma once

#include "store/session.h"

namespace slm::store {

Result<std::unique_ptr<Appender>> make_appender(Session& session, Store::Space space, const AppendOptions& options);

}  // namespace slm::store
