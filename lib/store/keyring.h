// Making keys and handing them out: what init and `keys grant` share.
#pragma once

#include "schema/json.h"
#include "store/session.h"

namespace slm::store {

// What a role is granted: all epochs and fleet keys of the table of roles (types.h, may_hold), current and old.
Grant grant_of(const AdminLog& admin, uint32_t identity, Role role, int64_t time_ms);

// A session of the admin to write init's and grants' acts with.
struct SessionParts {
  std::filesystem::path dir;
  Databases db;
  AdminLog admin;
  Id16 store{};
  crypto::Identity self;
  uint32_t self_seq = 1;
  Role role = Role::kAdmin;
  Random* random = nullptr;
  Clock* clock = nullptr;
};
Session make_session(SessionParts parts);

// The admin's entry in the trail that names the newest admin entry, so that neither log can be changed without the
// other.
json::object admin_facts(const AdminLog& admin);

// That nobody but its owner may read or change a key file. Errors: kWrongKey.
Status check_private(const std::filesystem::path& key_file);
// Reads a private key file; a passphrase is looked for when it needs one.
Result<crypto::Identity> load_identity(const std::filesystem::path& key_file);

// This store's id: that of the trail's first entry, whose signature by the admin was checked.
Result<Id16> read_store_id(Database& log, const AdminLog& admin);
Result<Info> read_info(const std::filesystem::path& dir, Databases& db, const AdminLog& admin);

}  // namespace slm::store
