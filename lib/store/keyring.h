// Making keys and handing them out: what init and `keys grant` share.
#pragma once

#include "store/commit.h"

namespace slm::store {

// What a role is granted: all epochs and fleet keys of the table of roles (types.h, may_hold), current and old; old
// pseudonym keys only a curator.
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

// Where a store is to be made. Errors: kUsage for what can't become one.
Result<std::filesystem::path> new_store_place(const std::filesystem::path& dir);
// Opens with whichever key is given: a key file's own role, or of a folder the first of `roles` that it has.
struct KeyOptions;
Result<Session> open_session_any(const std::filesystem::path& dir, const KeyOptions& options,
                                 std::span<const Role> roles);

// That nobody but its owner may read or change a key file. Errors: kWrongKey.
Status check_private(const std::filesystem::path& key_file);
// Reads a private key file; a passphrase is looked for when it needs one.
Result<crypto::Identity> load_identity(const std::filesystem::path& key_file);

// The admin at work on a store: its session and the other keys at hand. `keys` is a folder with admin.key and keys of
// those who hold something, or the admin's key file; empty: default_keys_dir(). `more`: further key files.
struct AdminRoom {
  Session session;  // the admin's
  std::filesystem::path admin_file;
  std::vector<crypto::Identity> holders;  // known to the store, not revoked
  uint32_t n_before = 0;                  // admin entries when opened
  std::optional<FileLock> lock;           // held over what is decided from the trail and signed, where that matters
};
struct AdminRoomOptions {
  std::filesystem::path keys;
  std::vector<std::filesystem::path> more;
  Random* random = nullptr;
  Clock* clock = nullptr;
};
// Errors: kWrongKey without the admin's key; kIntegrity when the log is older than the admin knows it: what it signed
// last would be undone by what it signs next.
Result<AdminRoom> open_admin_room(const std::filesystem::path& dir, const AdminRoomOptions& options);
// Keys of a folder and single files that hold something in this store. One that can't be read is passed over.
Result<std::vector<crypto::Identity>> load_holders(const AdminRoomOptions& options, const AdminLog& admin);

// Commits what the admin signed since the room was opened together with the act that names it, under the lock.
struct AdminCommit {
  Act act;                                       // its facts get the admin's newest entry
  std::function<Status(Database& keys)> before;  // in keys.db, before the admin's entries are signed in
  std::function<Status(Database& keys)> after;
  std::function<Status(Database& log)> also;  // in the transaction
};
Result<Entry> commit_admin(AdminRoom& room, AdminCommit commit);

// Wraps of what a grant opens, made by holders at hand. Fleet keys are signed by the admin where its key is given.
struct NewWraps {
  std::vector<Wrap> wraps;
  bool pending = false;  // some key has no holder at hand
};
struct RewrapRequest {
  uint32_t recipient = 0;
  std::vector<KeyName> keys;
};
Result<NewWraps> rewrap(Session& session, const RewrapRequest& request, const std::vector<crypto::Identity>& holders);

// This store's id: that of the trail's first entry, whose signature by the admin was checked.
Result<Id16> read_store_id(Database& log, const AdminLog& admin);
Result<Info> read_info(const std::filesystem::path& dir, Databases& db, const AdminLog& admin);

}  // namespace slm::store
