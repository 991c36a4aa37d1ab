// The highest admin entry an identity has seen, kept beside its key file (KEYFILE.seen), outside the store: a store put
// back to an older state of the admin's log is refused, so that a revocation can't be undone by a copy.
//
// Errors: kIntegrity when the store's log is behind, or another one. A folder that can't be written is only warned
// about.
#pragma once

#include "store/admin_log.h"

namespace slm::store {

Status check_seen(const std::filesystem::path& key_file, const AdminLog& admin);

}  // namespace slm::store
