// Checking the databases of a store without any private key: what verify_store() and merge_store() share.
//
// A reader of one moment keeps the WAL from shrinking for as long as it reads. So a store at work is read in windows:
// an entry, once committed, never changes, and what is erased between two windows is learnt at the beginning of the
// next.
//
// Units: ms.
// Errors: kIntegrity naming what failed and where.
#pragma once

#include "store/keyring.h"

namespace slm::store {

struct CheckOptions {
  bool artefacts = true;  // look for the sealed files of artefacts too
  // Gives the moment up that is read and takes the newest one of both files. Empty: what is read is one moment.
  std::function<Status()> renew;
  int64_t window_ms = 0;  // how old a moment may get
};
struct Checked {
  VerifyReport report;
  Id16 store{};
  std::map<Id16, ChainHead> chains;
};
Result<Checked> verify_databases(const std::filesystem::path& dir, Databases& db, const AdminLog& admin,
                                 const CheckOptions& options);

struct WindowOptions {
  int64_t window_ms = 4000;
  std::function<void()> between;  // called when no window is open
};
Result<VerifyReport> verify_in_windows(const std::filesystem::path& dir, const VerifyOptions& options,
                                       const WindowOptions& windows);

}  // namespace slm::store
