// Epochs, rotation, revocation, rewrapping, recovery; and what the keys of one who may not can do.
#include <gtest/gtest.h>

#include "core/file.h"
#include "store/commit.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store/reader.h"
#include "store_fixture.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;
using testing::StoreTest;

class KeysTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    init();
    ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"s", "{}", "first body"}}));
  }
  KeyOptions options() { return {keys_, {}, random_.get(), clock_.get()}; }
  Result<GrantResult> grant(Role role, const fs::path& out, const fs::path& keys, std::vector<fs::path> more = {}) {
    GrantOptions grant;
    grant.role = role;
    grant.out = out;
    grant.admin_keys = keys;
    grant.more_keys = std::move(more);
    grant.random = random_.get();
    grant.clock = clock_.get();
    return grant_key(dir_, grant);
  }
  std::string print_of(const fs::path& key) { return load_identity(key).value().pub.fingerprint(); }
  std::vector<std::string> bodies(const fs::path& identity) {
    auto store = open_as(Role::kCurator, identity);
    EXPECT_TRUE(store) << store.error().message;
    if (!store) return {};
    auto calls = read(**store, Store::Space::kRaw, with_body());
    EXPECT_TRUE(calls) << calls.error().message;
    std::vector<std::string> out;
    if (calls)
      for (const StoredCall& call : *calls) out.push_back(call.body);
    return out;
  }
  Session session(Role role) { return open_session(dir_, open_options(role)).value(); }
  OpenOptions open_options(Role role) {
    OpenOptions options;
    options.identity = keys_;
    options.role = role;
    options.random = random_.get();
    options.clock = clock_.get();
    return options;
  }
};

TEST_F(KeysTest, RotationSealsToNewEpochsAndOldOnesStayReadable) {
  auto before = open(Role::kCollector).value();
  const std::string name = before->pseudonym("source", "s").value();
  const auto done = rotate_keys(dir_, {"all"}, options());
  ASSERT_OK(done);
  EXPECT_EQ(done->keys.size(), 6u) << "five partitions and the pseudonym key";
  ASSERT_OK(verify_store(dir_));
  ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"s", "{}", "second body"}}));
  EXPECT_NE(open(Role::kCollector).value()->pseudonym("source", "s").value(), name);
  EXPECT_EQ(bodies(keys_), (std::vector<std::string>{"first body", "second body"}));
  // Two epochs, two pseudonyms, one source: the group header keeps what erasing finds it by.
  auto calls = read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body()).value();
  EXPECT_NE(calls[0].source, calls[1].source);
  Session curator = session(Role::kCurator);
  EXPECT_EQ(group_header(curator, calls[0].group)->source, group_header(curator, calls[1].group)->source);
  // A collector keeps no old pseudonym key, a curator does.
  Session collector = session(Role::kCollector);
  const KeyName old{what_of(FleetKey::kPseudonym), 1};
  EXPECT_CODE(collector.secret(old), ErrorCode::kWrongKey);
  ASSERT_OK(curator.secret(old));
  const auto entries = read_entries(curator.db.log, 1, 100).value();
  for (const Entry& entry : entries)
    if (entry.kind == EntryKind::kRaw) {
      EXPECT_EQ(entry.body_epoch, entry.n == 2 ? 1u : 2u);
    }
  ASSERT_OK(verify_store(dir_));
  EXPECT_CODE(rotate_keys(dir_, {"everything"}, options()), ErrorCode::kUsage);
  // An epoch is made by a reader, never by the admin.
  EXPECT_CODE(rotate_keys(dir_, {"raw-body"}, {keys_ / "admin.key", {}, random_.get(), clock_.get()}),
              ErrorCode::kWrongKey);
}

TEST_F(KeysTest, AnOpenWriterTakesUpTheNewEpoch) {
  auto store = open(Role::kCollector).value();
  auto appender = store->append(Store::Space::kRaw, {}).value();
  NewCall call;
  call.tag = store->content_tag("x", std::nullopt, 0).value();
  call.id = store->new_call_id(call.tag).value();
  call.source = "s", call.meta = "{}", call.body = "written over the rotation";
  ASSERT_OK(appender->add(call));
  ASSERT_OK(rotate_keys(dir_, {"raw-body"}, options()));
  ASSERT_OK(appender->flush());
  Session curator = session(Role::kCurator);
  const auto head = read_head(curator.db.log, curator.store_id).value();
  EXPECT_EQ(find_entry(curator.db.log, curator.store_id, head.counter).value()->body_epoch, 2u);
  EXPECT_EQ(bodies(keys_).size(), 2u);
}

TEST_F(KeysTest, ARevokedIdentityReadsAndWritesNoMore) {
  const fs::path second = base_ / "second.key", reader = base_ / "reader.key";
  ASSERT_OK(grant(Role::kCollector, second, keys_));
  ASSERT_OK(grant(Role::kCurator, reader, keys_));
  ASSERT_OK(append(*open_as(Role::kCollector, second).value(), Store::Space::kRaw, {{"t", "{}", "by the second"}}));
  EXPECT_EQ(bodies(reader).size(), 2u);
  auto at_work = open_as(Role::kCollector, second).value();
  auto appender = at_work->append(Store::Space::kRaw, {}).value();
  NewCall call;
  call.tag = at_work->content_tag("late", std::nullopt, 0).value();
  call.source = "t", call.meta = "{}", call.body = "too late";
  ASSERT_OK(appender->add(call));
  Session backdater = open_session(dir_,
                                   [&] {
                                     OpenOptions o = open_options(Role::kCollector);
                                     o.identity = second;
                                     return o;
                                   }())
                          .value();
  const std::string second_print = print_of(second), reader_print = print_of(reader);

  const auto gone = revoke_key(dir_, second_print.substr(0, 10), options());
  ASSERT_OK(gone);
  EXPECT_EQ(gone->role, "collector");
  EXPECT_EQ(gone->new_keys, (std::vector<std::string>{"pseudonym key 2"}));
  EXPECT_EQ(gone->n_heads, 1);
  EXPECT_CODE(open_as(Role::kCollector, second), ErrorCode::kWrongKey);
  EXPECT_CODE(appender->flush(), ErrorCode::kWrongKey);
  EXPECT_CODE(at_work->audit("export", "x"), ErrorCode::kWrongKey);
  ASSERT_OK(verify_store(dir_));

  const auto reader_gone = revoke_key(dir_, reader_print, options());
  ASSERT_OK(reader_gone);
  EXPECT_EQ(reader_gone->new_keys.size(), 4u) << "raw-meta, raw-body, curated-meta, pseudonym";
  EXPECT_CODE(open_as(Role::kCurator, reader), ErrorCode::kWrongKey);
  EXPECT_CODE(revoke_key(dir_, reader_print, options()), ErrorCode::kUsage);
  EXPECT_CODE(revoke_key(dir_, print_of(keys_ / "admin.key"), options()), ErrorCode::kUsage);
  EXPECT_CODE(revoke_key(dir_, print_of(keys_ / "recovery.key"), options()), ErrorCode::kUsage);
  ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"s", "{}", "after"}}));
  EXPECT_EQ(bodies(keys_).size(), 3u) << "what the second wrote before stays";
  ASSERT_OK(verify_store(dir_));

  // Around every check of the program: it signs a batch as if it had known nothing.
  {
    Pending pending;
    pending.entry = new_entry(backdater, EntryKind::kRaw, *random_).value();
    pending.entry.action = "append";
    finish_leaves(pending);
    ASSERT_OK(write_pending(backdater, pending));
  }
  EXPECT_CODE(verify_store(dir_), ErrorCode::kIntegrity);
  EXPECT_CODE(read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body()), ErrorCode::kIntegrity);
}

TEST_F(KeysTest, RevokingTheOnlyReaderNeedsAnother) {
  fs::create_directories(base_ / "some");
  for (const char* name : {"admin.key", "curator.key", "collector.key"}) fs::copy(keys_ / name, base_ / "some" / name);
  const std::string curator = print_of(keys_ / "curator.key");
  EXPECT_CODE(revoke_key(dir_, curator, {base_ / "some", {}, random_.get(), clock_.get()}), ErrorCode::kWrongKey);
  ASSERT_OK(verify_store(dir_));
  ASSERT_OK(grant(Role::kCurator, base_ / "some" / "second.key", base_ / "some"));
  // curated-meta's other reader is the trainer.
  const auto done = revoke_key(dir_, curator, {base_ / "some", {keys_ / "trainer.key"}, random_.get(), clock_.get()});
  ASSERT_OK(done);
  EXPECT_EQ(bodies(base_ / "some" / "second.key").size(), 1u);
  ASSERT_OK(verify_store(dir_));
}

TEST_F(KeysTest, PendingGrantsAreWrappedLaterByAHolder) {
  const fs::path late = base_ / "late.key";
  const auto granted = grant(Role::kCurator, late, keys_ / "admin.key");
  ASSERT_OK(granted);
  EXPECT_TRUE(granted->pending);
  EXPECT_CODE(read(*open_as(Role::kCurator, late).value(), Store::Space::kRaw, with_body()), ErrorCode::kWrongKey);
  const auto pending = [&] {
    const auto rows = list_keys(dir_).value();
    return std::any_of(rows.begin(), rows.end(), [](const KeyRow& row) { return row.pending; });
  };
  EXPECT_TRUE(pending());
  // The trainer may open curated-meta and the digest key, no more.
  const auto some = rewrap_keys(dir_, {keys_ / "trainer.key", {}, random_.get(), clock_.get()});
  ASSERT_OK(some);
  EXPECT_EQ(some->n_wraps, 2);
  EXPECT_GT(some->n_pending, 0);
  const auto rest = rewrap_keys(dir_, {keys_ / "curator.key", {}, random_.get(), clock_.get()});
  ASSERT_OK(rest);
  EXPECT_EQ(rest->n_pending, 0);
  EXPECT_FALSE(pending());
  EXPECT_EQ(bodies(late).size(), 1u);
  EXPECT_EQ(rewrap_keys(dir_, options())->n_wraps, 0);
  ASSERT_OK(verify_store(dir_));
}

TEST_F(KeysTest, TheRecoveryKeyBringsBackALostRole) {
  ASSERT_OK(rotate_keys(dir_, {"raw-body"}, options()));
  ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"s", "{}", "second body"}}));
  fs::create_directories(base_ / "left");
  fs::rename(keys_ / "admin.key", base_ / "left" / "admin.key");
  const fs::path recovery = base_ / "offline.key";
  fs::rename(keys_ / "recovery.key", recovery);
  fs::remove_all(keys_);  // all else is lost
  const auto made = grant(Role::kCurator, base_ / "left" / "curator.key", base_ / "left", {recovery});
  ASSERT_OK(made);
  EXPECT_FALSE(made->pending);
  EXPECT_EQ(bodies(base_ / "left" / "curator.key"), (std::vector<std::string>{"first body", "second body"}));
  EXPECT_CODE(grant(Role::kCurator, base_ / "left" / "x.key", base_ / "left", {base_ / "none.key"}),
              ErrorCode::kWrongKey);
  ASSERT_OK(verify_store(dir_));
}

// What the program would never write, written all the same by one who holds some keys.
TEST_F(KeysTest, AnEntrySealedToAnEpochItsWriterKnewReplacedIsRefused) {
  ASSERT_OK(rotate_keys(dir_, {"raw-body", "raw-meta"}, options()));
  {
    Session collector = session(Role::kCollector);
    Pending pending;
    pending.entry = new_entry(collector, EntryKind::kRaw, *random_).value();
    pending.entry.action = "append";
    pending.entry.meta_epoch = pending.entry.body_epoch = 1;
    finish_leaves(pending);
    ASSERT_OK(commit(collector, pending));
  }
  EXPECT_CODE(verify_store(dir_), ErrorCode::kIntegrity);
  EXPECT_CODE(read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body()), ErrorCode::kIntegrity);
}

TEST_F(KeysTest, AWrapOfAnotherKeyIsNotTaken) {
  // A holder of raw-body wraps a key of its own choice as raw-body epoch 1: signed, and not what the admin signed.
  {
    Session curator = session(Role::kCurator);
    const crypto::KemKeyPair mine = crypto::generate_kem_key(*random_);
    const Wrap wrap =
        make_wrap(curator.admin, {{what_of(Partition::kRawBody), 1}, curator.self_seq, mine.secret.span()},
                  {curator.self_seq, curator.self.sign_secret.span(), random_.get()})
            .value();
    ASSERT_OK(save_wrap(curator.db.keys, wrap));
  }
  EXPECT_CODE(read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body()), ErrorCode::kIntegrity);
}

TEST_F(KeysTest, AWrapByOneWhoMayNotIsFound) {
  {
    Session trainer = session(Role::kTrainer);
    const crypto::KemKeyPair mine = crypto::generate_kem_key(*random_);
    const Wrap wrap =
        make_wrap(trainer.admin, {{what_of(Partition::kRawBody), 1}, trainer.self_seq, mine.secret.span()},
                  {trainer.self_seq, trainer.self.sign_secret.span(), random_.get()})
            .value();
    ASSERT_OK(save_wrap(trainer.db.keys, wrap));
  }
  EXPECT_CODE(verify_store(dir_), ErrorCode::kIntegrity);
}

TEST_F(KeysTest, WrapsOfARotationCutOffBeforeItsSignatureAreHarmless) {
  {
    Session curator = session(Role::kCurator);
    const crypto::KemKeyPair next = crypto::generate_kem_key(*random_);
    const Wrap wrap =
        make_wrap(curator.admin, {{what_of(Partition::kRawBody), 2}, curator.self_seq, next.secret.span()},
                  {curator.self_seq, curator.self.sign_secret.span(), random_.get()})
            .value();
    ASSERT_OK(save_wrap(curator.db.keys, wrap));
  }
  ASSERT_OK(verify_store(dir_));
  ASSERT_OK(rotate_keys(dir_, {"raw-body"}, options()));
  ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"s", "{}", "second body"}}));
  EXPECT_EQ(bodies(keys_).size(), 2u);
  ASSERT_OK(verify_store(dir_));
}

}  // namespace
}  // namespace slm::store
