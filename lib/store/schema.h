// The two databases of a store: creation from the numbered migrations of schemas/store, and opening with checks.
//
// Errors: kStoreMissing, kFormatTooNew, kIntegrity (tables other than the format's), kLocked, kIo.
#pragma once

#include "store/lock.h"
#include "store/sqlite.h"

namespace slm::store {

inline constexpr int kFormat = 1;

struct Databases {
  Database log, keys;
};

std::filesystem::path log_path(const std::filesystem::path& dir);
std::filesystem::path keys_path(const std::filesystem::path& dir);
std::filesystem::path lock_path(const std::filesystem::path& dir);

// In an empty folder.
Result<Databases> create_databases(const std::filesystem::path& dir);
// Takes the store's lock for the first read (WAL recovery), then gives it back.
Result<Databases> open_databases(const std::filesystem::path& dir, int64_t lock_wait_ms);

// Another store's files, which may mean harm: regular files only, read only, in a read transaction that holds one
// moment of both, of at most 1 TiB each. Errors: kIntegrity for tables other than the format's, kBadInput for what is
// no store.
Result<Databases> open_foreign_databases(const std::filesystem::path& dir);

}  // namespace slm::store
