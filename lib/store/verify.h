// Checking the databases of a store without any private key: what verify_store() and merge_store() share.
//
// Errors: kIntegrity naming what failed and where.
#pragma once

#include "store/keyring.h"

namespace slm::store {

struct CheckOptions {
  bool artefacts = true;  // look for the sealed files of artefacts too
};
struct Checked {
  VerifyReport report;
  Id16 store{};
  std::map<Id16, ChainHead> chains;
};
Result<Checked> verify_databases(const std::filesystem::path& dir, Databases& db, const AdminLog& admin,
                                 const CheckOptions& options);

}  // namespace slm::store
