// A fleet's stores: joined, brought up to date, merged unopened; and merges of what means harm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <sys/stat.h>

#include "core/file.h"
#include "fault_vfs.h"
#include "store/commit.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store_fixture.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;
using testing::StoreTest;
using ::testing::UnorderedElementsAre;

class FleetTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    init();
    home_ = dir_;
    away_ = base_ / "away";
    away_keys_ = base_ / "away-keys";
    fs::create_directories(away_keys_);
    GrantOptions grant;
    grant.role = Role::kCollector;
    grant.out = away_keys_ / "collector.key";
    grant.admin_keys = keys_;
    grant.random = random_.get();
    grant.clock = clock_.get();
    ASSERT_OK(grant_key(home_, grant));
    ASSERT_OK(bundle(base_ / "new.bundle", true));
    ASSERT_OK(join_store(away_, {base_ / "new.bundle", Store::info(home_)->admin_fingerprint}));
    ASSERT_OK(collect(home_, keys_, "s", "at home"));
    ASSERT_OK(collect(away_, away_keys_, "s", "away 1"));
    ASSERT_OK(collect(away_, away_keys_, "t", "away 2"));
  }
  Result<BundleResult> bundle(const fs::path& out, bool new_store) {
    return make_bundle(home_, {out, new_store, keys_, random_.get(), clock_.get()});
  }
  KeyOptions with(const fs::path& keys) { return {keys, {}, random_.get(), clock_.get()}; }
  Result<int64_t> collect(const fs::path& store, const fs::path& keys, const std::string& source,
                          const std::string& body) {
    dir_ = store;
    auto opened = open_as(Role::kCollector, keys);
    dir_ = home_;
    if (!opened) return fail(opened.error());
    return append(**opened, Store::Space::kRaw, {{source, "{}", body}});
  }
  std::vector<std::string> bodies() {
    auto store = open(Role::kCurator);
    EXPECT_TRUE(store) << store.error().message;
    if (!store) return {};
    auto calls = read(**store, Store::Space::kRaw, with_body());
    EXPECT_TRUE(calls) << calls.error().message;
    std::vector<std::string> out;
    if (calls)
      for (const StoredCall& call : *calls) out.push_back(call.body);
    return out;
  }
  Result<MergeResult> merge(const fs::path& other) { return merge_store(home_, other, with(keys_)); }
  // SQL on a file without the store's precautions.
  static bool intrude(const fs::path& file, const std::string& sql) {
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    const int rc = sqlite3_exec(db, ("PRAGMA ignore_check_constraints=ON;" + sql).c_str(), nullptr, nullptr, nullptr);
    sqlite3_close(db);
    return rc == SQLITE_OK;
  }
  fs::path home_, away_, away_keys_;
};

TEST_F(FleetTest, AJoinedStoreCollectsAndIsMergedUnopened) {
  ASSERT_OK(verify_store(away_));
  EXPECT_EQ(Store::info(away_)->fleet_id, Store::info(home_)->fleet_id);
  EXPECT_NE(Store::info(away_)->store_id, Store::info(home_)->store_id);
  const auto done = merge(away_);
  ASSERT_OK(done);
  EXPECT_EQ(done->n_entries, 3);
  EXPECT_EQ(done->n_calls, 2);
  EXPECT_THAT(bodies(), UnorderedElementsAre("at home", "away 1", "away 2"));
  const auto report = verify_store(home_);
  ASSERT_OK(report);
  EXPECT_EQ(report->n_orphans, 0);
  // Again: nothing. More of it: only what is new. Home goes on, too.
  EXPECT_EQ(merge(away_)->n_entries, 0);
  ASSERT_OK(collect(home_, keys_, "s", "at home 2"));
  ASSERT_OK(collect(away_, away_keys_, "s", "away 3"));
  EXPECT_EQ(merge(away_)->n_calls, 1);
  ASSERT_OK(collect(home_, keys_, "s", "at home 3"));
  EXPECT_EQ(bodies().size(), 6u);
  EXPECT_EQ(Store::info(home_)->n_raw, 6);
  ASSERT_OK(verify_store(home_));
  // And the other way: the home store's chain lies in the other one, then.
  const auto back = merge_store(away_, home_, with(away_keys_));
  ASSERT_OK(back);
  EXPECT_EQ(back->n_calls, 3);
  ASSERT_OK(verify_store(away_));
  EXPECT_EQ(merge(away_)->n_calls, 0) << "its merge entry came, no calls";
  ASSERT_OK(verify_store(home_));
}

TEST_F(FleetTest, ChosenCallsAndLaterBatchesWorkOverMergedChains) {
  ASSERT_OK(merge(away_));
  auto curator = open(Role::kCurator).value();
  const auto all = read(*curator, Store::Space::kRaw, with_body()).value();
  ASSERT_EQ(all.size(), 3u);
  std::vector<CallId> ids;
  for (const StoredCall& call : all)
    if (call.body != "away 1") ids.push_back(call.id);
  std::sort(ids.begin(), ids.end());
  ScanOptions some = with_body();
  some.only = &ids;
  EXPECT_EQ(read(*curator, Store::Space::kRaw, some)->size(), 2u);
  ScanOptions later = with_body();
  later.from_batch = curator->next_batch().value();
  ASSERT_OK(collect(away_, away_keys_, "s", "away later"));
  ASSERT_OK(merge(away_));
  const auto news = read(*curator, Store::Space::kRaw, later);
  ASSERT_OK(news);
  ASSERT_EQ(news->size(), 1u);
  EXPECT_EQ((*news)[0].body, "away later");
}

TEST_F(FleetTest, RotationsRevocationsAndTombstonesTravelInBundles) {
  ASSERT_OK(rotate_keys(home_, {"all"}, with(keys_)));
  EXPECT_EQ(update_store(away_, base_ / "new.bundle", with(away_keys_))->changed, false);
  ASSERT_OK(bundle(base_ / "next.bundle", false));
  const auto done = update_store(away_, base_ / "next.bundle", with(away_keys_));
  ASSERT_OK(done);
  EXPECT_TRUE(done->changed);
  EXPECT_GT(done->after, done->before);
  ASSERT_OK(verify_store(away_));
  ASSERT_OK(collect(away_, away_keys_, "s", "in the new epoch"));
  ASSERT_OK(merge(away_));
  EXPECT_EQ(bodies().size(), 4u);

  EraseOptions erase;
  erase.source = "t";
  erase.keys = keys_;
  erase.random = random_.get();
  erase.clock = clock_.get();
  ASSERT_OK(erase_source(home_, erase));
  ASSERT_OK(bundle(base_ / "third.bundle", false));
  // Not told yet, the other store still takes the source in; merged, it is passed over and erased by the curator's next
  // scan; told, it drops it.
  ASSERT_OK(collect(away_, away_keys_, "t", "too late"));
  ASSERT_OK(merge(away_));
  EXPECT_THAT(bodies(), UnorderedElementsAre("at home", "away 1", "in the new epoch"));
  const auto report = verify_store(home_);
  ASSERT_OK(report);
  EXPECT_EQ(report->n_erased, 2);
  EXPECT_EQ(Store::info(home_)->n_raw, 3);
  ASSERT_OK(update_store(away_, base_ / "third.bundle", with(away_keys_)));
  EXPECT_EQ(*collect(away_, away_keys_, "t", "dropped"), 0);

  // A revoked collector's later calls aren't taken; what it wrote before is, if it was here by then.
  ASSERT_OK(merge(away_));
  const std::string print = load_identity(away_keys_ / "collector.key")->pub.fingerprint();
  ASSERT_OK(revoke_key(home_, print, with(keys_)));
  ASSERT_OK(merge(away_));  // nothing since
  ASSERT_OK(collect(away_, away_keys_, "s", "after the revocation"));
  EXPECT_CODE(merge(away_), ErrorCode::kIntegrity);
  EXPECT_EQ(bodies().size(), 3u);
  ASSERT_OK(verify_store(home_));
}

TEST_F(FleetTest, WhatWasErasedDoesNotComeBackByAMerge) {
  ASSERT_OK(merge(away_));
  EraseOptions erase;
  erase.source = "t";
  erase.keys = keys_;
  erase.random = random_.get();
  erase.clock = clock_.get();
  ASSERT_OK(erase_source(home_, erase));
  // A third store that merged the other one before knows the erased group still, and home doesn't know its chain.
  ASSERT_OK(bundle(base_ / "third.bundle", true));
  const fs::path third = base_ / "third";
  ASSERT_OK(join_store(third, {base_ / "third.bundle", ""}));
  ASSERT_OK(merge_store(third, away_, with(away_keys_)));
  ASSERT_OK(verify_store(third));
  ASSERT_OK(merge(third));
  EXPECT_THAT(bodies(), UnorderedElementsAre("at home", "away 1"));
  ASSERT_OK(verify_store(home_));
  // Nor into a store that only hears of the erasure when it merges: what it has goes.
  ASSERT_OK(merge_store(third, home_, with(away_keys_)));
  const auto report = verify_store(third);
  ASSERT_OK(report);
  EXPECT_EQ(report->n_erased, 1);
  EXPECT_EQ(report->n_left_over, 0);
  EXPECT_EQ(report->n_orphans, 0);
}

TEST_F(FleetTest, CallsThatTwoErasuresNameAreGoneOnce) {
  ASSERT_OK(merge(away_));
  ASSERT_OK(bundle(base_ / "third.bundle", true));
  const fs::path third = base_ / "third";
  ASSERT_OK(join_store(third, {base_ / "third.bundle", ""}));
  ASSERT_OK(merge_store(third, away_, with(away_keys_)));
  clock_ = fixed_clock(clock_->now_ms() + 3 * int64_t{86'400'000});
  RetainOptions retain;
  retain.raw_days = 1;
  retain.keys = keys_;
  retain.random = random_.get();
  retain.clock = clock_.get();
  ASSERT_OK(collect(home_, keys_, "s", "later"));
  EXPECT_EQ(retain_store(third, retain)->n_raw, 2);
  EXPECT_EQ(retain_store(home_, retain)->n_raw, 3);
  EXPECT_EQ(Store::info(home_)->n_raw, 1);
  ASSERT_OK(merge(third));
  EXPECT_EQ(Store::info(home_)->n_raw, 1);
  EXPECT_THAT(bodies(), UnorderedElementsAre("later"));
  ASSERT_OK(verify_store(home_));
}

TEST_F(FleetTest, OtherFleetsAndForkedOnesAreRefused) {
  const fs::path stranger = base_ / "stranger";
  InitOptions options;
  options.keys_dir = base_ / "stranger-keys";
  options.random = random_.get();
  options.clock = clock_.get();
  ASSERT_OK(init_store(stranger, options));
  EXPECT_CODE(merge(stranger), ErrorCode::kWrongKey);
  EXPECT_CODE(merge(base_ / "nothing"), ErrorCode::kStoreMissing);
  EXPECT_CODE(merge(home_), ErrorCode::kUsage);
  EXPECT_CODE(update_store(stranger, base_ / "new.bundle", with(options.keys_dir)), ErrorCode::kWrongKey);
  // The admin signs in both stores: two logs of one admin.
  GrantOptions grant;
  grant.role = Role::kTrainer;
  grant.admin_keys = keys_;
  grant.random = random_.get();
  grant.clock = clock_.get();
  fs::create_directories(base_ / "forger");
  fs::copy(keys_ / "admin.key", base_ / "forger" / "admin.key");
  grant.out = base_ / "a.key";
  ASSERT_OK(grant_key(home_, grant));
  grant.out = base_ / "b.key";
  grant.admin_keys = base_ / "forger";
  ASSERT_OK(grant_key(away_, grant));
  EXPECT_CODE(merge(away_), ErrorCode::kIntegrity);
  EXPECT_EQ(bodies().size(), 1u);
  ASSERT_OK(verify_store(home_));
}

TEST_F(FleetTest, HostileFilesAreRefusedAndNothingOfThemIsTaken) {
  const struct {
    const char *database, *change;
  } kChanges[] = {
      {"log", "CREATE TRIGGER t AFTER INSERT ON frames BEGIN DELETE FROM frames; END"},
      {"log", "CREATE VIEW v AS SELECT 1"},
      {"log", "CREATE TABLE extra(x)"},
      {"log", "UPDATE frames SET sealed = zeroblob(length(sealed))"},
      {"log", "UPDATE frames SET sealed = zeroblob(70000000) WHERE frame = (SELECT max(frame) FROM frames)"},
      {"log", "UPDATE entries SET facts = CAST(zeroblob(70000000) AS TEXT) WHERE n = 2"},
      {"log", "DELETE FROM entries WHERE n = 2"},
      {"log", "DELETE FROM admin WHERE seq = 4"},
      {"log", "UPDATE entries SET store = randomblob(16) WHERE n = 2"},
      {"log", "UPDATE seals SET refs = randomblob(16) WHERE seal = (SELECT min(seal) FROM seals)"},
      {"keys", "DELETE FROM encapsulations"},
      {"keys", "UPDATE encapsulations SET enc = randomblob(32)"},
      {"keys", "UPDATE wraps SET maker = 1"},
      {"keys", "CREATE TABLE extra(x)"},
  };
  for (const auto& change : kChanges) {
    SCOPED_TRACE(change.change);
    const fs::path bad = base_ / "bad";
    fs::remove_all(bad);
    fs::copy(away_, bad, fs::copy_options::recursive);
    ASSERT_TRUE(intrude(bad / (std::string(change.database) + ".db"), change.change));
    const auto done = merge(bad);
    EXPECT_FALSE(done);
    if (!done) {
      EXPECT_TRUE(done.error().code == ErrorCode::kIntegrity || done.error().code == ErrorCode::kIo ||
                  done.error().code == ErrorCode::kUnexpected)
          << done.error().message;
    }
    EXPECT_EQ(Store::info(home_)->n_raw, 1);
  }
  // Files that are none.
  const fs::path bad = base_ / "bad";
  for (const char* name : {"log.db", "keys.db"}) {
    fs::remove_all(bad);
    fs::copy(away_, bad, fs::copy_options::recursive);
    for (const char* suffix : {"-wal", "-shm"}) fs::remove(bad / (std::string(name) + suffix));
    fs::remove(bad / name);
    EXPECT_FALSE(merge(bad)) << "missing " << name;
    ASSERT_TRUE(write_file_atomic(bad / name, std::string(8192, 'x')));
    EXPECT_FALSE(merge(bad)) << "no database " << name;
    fs::remove(bad / name);
    fs::create_symlink(away_ / name, bad / name);
    EXPECT_FALSE(merge(bad)) << "a link " << name;
    fs::remove(bad / name);
    ASSERT_EQ(mkfifo((bad / name).c_str(), 0600), 0);
    EXPECT_FALSE(merge(bad)) << "a pipe " << name;
  }
  ASSERT_OK(verify_store(home_));
  ASSERT_OK(merge(away_));
}

TEST_F(FleetTest, AStoreRolledBackIsNoticedByTheOneThatKnowsMore) {
  ASSERT_OK(merge_store(away_, home_, with(away_keys_)));
  const fs::path old = base_ / "old";
  fs::copy(home_, old, fs::copy_options::recursive);
  ASSERT_OK(collect(home_, keys_, "s", "later"));
  ASSERT_OK(merge_store(away_, home_, with(away_keys_)));
  fs::remove_all(home_);
  fs::rename(old, home_);
  EXPECT_CODE(merge(away_), ErrorCode::kIntegrity);
}

TEST_F(FleetTest, EntriesThatNoMergeBroughtAreFound) {
  ASSERT_OK(merge(away_));
  const fs::path copy = base_ / "copy";
  // The merge entry is the last one; without it the merged rows belong to nothing.
  fs::copy(home_, copy, fs::copy_options::recursive);
  ASSERT_TRUE(intrude(copy / "log.db", "DELETE FROM entries WHERE n = (SELECT max(n) FROM entries)"));
  EXPECT_CODE(verify_store(copy), ErrorCode::kIntegrity);
  fs::remove_all(copy);
  fs::copy(home_, copy, fs::copy_options::recursive);
  ASSERT_TRUE(intrude(copy / "log.db",
                      "DELETE FROM frames WHERE frame >> 32 = (SELECT max(n) - 1 FROM entries); "
                      "DELETE FROM seals WHERE seal >> 16 = (SELECT max(n) - 1 FROM entries); "
                      "DELETE FROM entries WHERE n = (SELECT max(n) - 1 FROM entries)"));
  EXPECT_CODE(verify_store(copy), ErrorCode::kIntegrity);
}

// A disk that is full at any write of a merge: the store verifies, and the merge goes on where it was.
TEST_F(FleetTest, AFullDiskWhileMergingLosesNothing) {
  for (int i = 0; i < 5; ++i) ASSERT_OK(collect(away_, away_keys_, "s", "away more " + std::to_string(i)));
  int n_failed = 0;
  {
    testing::FaultVfs vfs;
    for (int writes = 0;; ++writes) {
      vfs.writes_left = writes;
      const auto done = merge(away_);
      vfs.writes_left = -1;
      if (done) break;
      EXPECT_EQ(done.error().code, ErrorCode::kIo) << done.error().message;
      ++n_failed;
      ASSERT_OK(verify_store(home_));
      ASSERT_LT(writes, 1000);
    }
  }
  EXPECT_GT(n_failed, 3);
  EXPECT_EQ(bodies().size(), 8u);
  ASSERT_OK(verify_store(home_));
}

// The other store's erasures stand at its end, what they took at its beginning, and a merge goes by steps: cut off
// anywhere, what is here verifies, can be read, backed up and handed on, and the same command finishes it.
TEST_F(FleetTest, AMergeFromAStoreWithErasuresCutOffAnywhereVerifies) {
  {
    std::vector<testing::TestCall> many;
    for (int i = 0; i < 264; ++i) many.push_back({i % 3 == 0 ? "t" : "s", "{}", "away body " + std::to_string(i)});
    dir_ = away_;
    ASSERT_OK(append(*open_as(Role::kCollector, away_keys_).value(), Store::Space::kRaw, many, {.batch_calls = 1}));
    dir_ = home_;
  }
  EraseOptions erase;
  erase.source = "t";
  erase.keys = keys_;
  erase.random = random_.get();
  erase.clock = clock_.get();
  ASSERT_OK(erase_source(home_, erase));
  ASSERT_OK(bundle(base_ / "next.bundle", false));
  ASSERT_OK(update_store(away_, base_ / "next.bundle", with(away_keys_)));
  {
    dir_ = away_;
    ASSERT_OK(read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body()));  // finds and erases
    dir_ = home_;
  }
  ASSERT_EQ(verify_store(away_)->n_erased, 89);
  ASSERT_OK(bundle(base_ / "third.bundle", true));
  const fs::path third = base_ / "third";
  ASSERT_OK(join_store(third, {base_ / "third.bundle", ""}));

  int n_part = 0;
  {
    testing::FaultVfs vfs;
    for (int writes = 0;; writes += 50) {
      vfs.writes_left = writes;
      const auto done = merge(away_);
      vfs.writes_left = -1;
      const bool part = Store::info(home_)->n_batches > 200;
      const auto report = verify_store(home_);
      ASSERT_OK(report);
      if (done) break;
      EXPECT_EQ(done.error().code, ErrorCode::kIo) << done.error().message;
      ASSERT_LT(writes, 20000);
      if (!part) continue;
      if (++n_part > 1) continue;
      EXPECT_GT(report->n_erased, 50);
      EXPECT_EQ(report->n_left_over, 0);
      const size_t n_here = bodies().size();
      EXPECT_GT(n_here, 100u);
      EXPECT_LT(n_here, 178u);
      const auto backup = backup_store(home_, {base_ / "b", base_ / "k", -1, clock_.get()});
      ASSERT_OK(backup);
      ASSERT_OK(restore_store(base_ / "r", {backup->log, backup->keys}));
      ASSERT_OK(merge_store(third, home_, with(away_keys_)));
      ASSERT_OK(verify_store(third));
    }
  }
  EXPECT_GT(n_part, 0) << "no merge was cut off between two of its steps";
  EXPECT_EQ(bodies().size(), 178u);
  EXPECT_EQ(verify_store(home_)->n_erased, 89);
  ASSERT_OK(merge_store(third, home_, with(away_keys_)));
  const auto report = verify_store(third);
  ASSERT_OK(report);
  EXPECT_EQ(report->n_erased, 89);
  EXPECT_EQ(report->n_left_over, 0);
  EXPECT_EQ(report->n_orphans, 0);
}

// A merge may name erasures ahead of their place; each is the admin's or a curator's own signature all the same.
TEST_F(FleetTest, ErasuresNamedAheadAreSignedOnes) {
  const auto name_ahead = [&](const json::value& what) {
    OpenOptions open;
    open.identity = keys_, open.role = Role::kCollector, open.random = random_.get(), open.clock = clock_.get();
    Session collector = open_session(home_, open).value();
    return commit_act(collector, {"merge", {{"ahead", json::array{what}}, {"chains", json::array()}}, "", 0});
  };
  const fs::path good = base_ / "good";
  fs::copy(home_, good, fs::copy_options::recursive);
  const auto again = [&] {
    fs::remove_all(home_);
    fs::copy(good, home_, fs::copy_options::recursive);
  };
  std::string groups;
  {
    Databases db = open_databases(home_, 1000).value();
    const int64_t raw = db.log.integer("SELECT max(n) FROM entries WHERE kind = 1").value();
    const auto seals = read_seals(db.log, raw).value();
    groups = to_hex(seals.at(0).group);
  }
  // The collector's own.
  {
    OpenOptions open;
    open.identity = keys_, open.role = Role::kCollector, open.random = random_.get(), open.clock = clock_.get();
    Session collector = open_session(home_, open).value();
    Pending act = prepare_act(collector, {"erase", {{"groups", json::array{groups}}, {"tombstone", 1}}, "", 0}).value();
    act.entry.counter = 100;
    act.entry.signature = crypto::sign(collector.self.sign_secret.span(), act.entry.signed_bytes()).value();
    const Bytes bytes = encode_entry(act.entry);
    const auto back = decode_entry(bytes);
    ASSERT_OK(back);
    EXPECT_EQ(back->hash(), act.entry.hash());
    EXPECT_EQ(back->signed_bytes(), act.entry.signed_bytes());
    for (const size_t cut : {size_t{0}, size_t{15}, size_t{40}, bytes.size() - 1})
      EXPECT_CODE(decode_entry(ByteSpan(bytes).first(cut)), ErrorCode::kIntegrity);
    ASSERT_OK(name_ahead(json::string(to_hex(bytes))));
    EXPECT_CODE(verify_store(home_), ErrorCode::kIntegrity);
    EXPECT_CODE(read(*open_as(Role::kCurator, keys_).value(), Store::Space::kRaw, with_body()), ErrorCode::kIntegrity);
    again();
  }
  // The admin's, changed in one bit, and what is no entry, or none that erases.
  const Bytes init = encode_entry(read_entries(open_databases(home_, 1000)->log, 1, 1)->at(0));
  for (const json::value& what : {json::value(json::string(to_hex(init))), json::value(json::string("00")),
                                  json::value(json::string("x")), json::value(7)}) {
    ASSERT_OK(name_ahead(what));
    EXPECT_CODE(verify_store(home_), ErrorCode::kIntegrity);
    again();
  }
  ASSERT_OK(verify_store(home_));
  ASSERT_OK(retain_store(home_, {0, -1, false, keys_, random_.get(), clock_.get()}));
  Entry signed_one;
  {
    Databases db = open_databases(home_, 1000).value();
    const int64_t last = db.log.integer("SELECT max(n) FROM entries WHERE action = 'retention'").value();
    signed_one = read_entries(db.log, last, 1)->at(0);
  }
  again();
  // Seen too high by the keys: the copy put back is older. Only collectors haven't been asked.
  Bytes bytes = encode_entry(signed_one);
  ASSERT_OK(name_ahead(json::string(to_hex(bytes))));
  const auto report = verify_store(home_);
  ASSERT_OK(report);
  EXPECT_EQ(report->n_left_over, 1) << "named, and still there";
  ASSERT_OK(compact_store(home_));
  EXPECT_EQ(verify_store(home_)->n_left_over, 0);
  again();
  bytes[60] ^= 1;
  ASSERT_OK(name_ahead(json::string(to_hex(bytes))));
  EXPECT_CODE(verify_store(home_), ErrorCode::kIntegrity);
}

// Wraps of a rotation that was cut off aren't the ones of a rotation that the admin signed elsewhere since.
TEST_F(FleetTest, WrapsOfARotationCutOffGiveWay) {
  {
    testing::FaultVfs vfs;
    bool ahead = false;
    for (int writes = 0; !ahead && writes < 200; ++writes) {
      vfs.writes_left = writes;
      const auto done = rotate_keys(away_, {"raw-body"}, with(keys_));
      vfs.writes_left = -1;
      ASSERT_FALSE(done) << "came through before it was cut off between the two files";
      Databases db = open_databases(away_, 1000).value();
      ahead = db.keys.integer("SELECT count(*) FROM wraps WHERE what = 2 AND version = 2").value() > 0;
    }
    ASSERT_TRUE(ahead);
  }
  ASSERT_OK(rotate_keys(home_, {"raw-body"}, with(keys_)));
  ASSERT_OK(bundle(base_ / "next.bundle", false));
  ASSERT_OK(update_store(away_, base_ / "next.bundle", with(away_keys_)));
  ASSERT_OK(collect(away_, away_keys_, "s", "in the new epoch"));
  ASSERT_OK(verify_store(away_));
  dir_ = away_;
  const auto calls = read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body());
  dir_ = home_;
  ASSERT_OK(calls);
  EXPECT_EQ(calls->size(), 3u);
}

TEST_F(FleetTest, BundlesThatWereChangedAreRefused) {
  const std::string good = read_file(base_ / "new.bundle").value();
  const fs::path file = base_ / "bad.bundle";
  Prng prng(5);
  for (int i = 0; i < 60; ++i) {
    std::string bad = good;
    if (i % 10 == 0)
      bad.resize(prng.below(bad.size()));
    else
      bad[prng.below(bad.size())] ^= static_cast<char>(1 << prng.below(8));
    ASSERT_TRUE(write_file_atomic(file, bad));
    EXPECT_FALSE(join_store(base_ / "bad", {file, ""})) << i;
    EXPECT_FALSE(fs::exists(base_ / "bad")) << i;
  }
  EXPECT_CODE(join_store(base_ / "bad", {base_ / "new.bundle", "0123"}), ErrorCode::kWrongKey);
  ASSERT_OK(bundle(file, false));
  EXPECT_CODE(join_store(base_ / "bad", {file, ""}), ErrorCode::kBadInput);
}

}  // namespace
}  // namespace slm::store
