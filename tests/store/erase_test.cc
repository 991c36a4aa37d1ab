// Erasing a source: nothing of it can be opened any more, from the store or from a copy of log.db taken before; what
// was made from it goes too; what comes later is dropped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "core/file.h"
#include "fault_vfs.h"
#include "store/commit.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store_fixture.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::StoreTest;
using testing::TestCall;
using ::testing::UnorderedElementsAre;

class EraseTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    init();
    auto collector = open(Role::kCollector).value();
    ASSERT_OK(append(*collector, Store::Space::kRaw,
                     {{"gone", "{}", "gone 1"}, {"kept", "{}", "kept 1"}, {"gone", "{}", "gone 2"}}));
    ASSERT_OK(append(*collector, Store::Space::kRaw, {{"kept", "{}", "kept 2"}}));
    ASSERT_OK(append(*collector, Store::Space::kRaw, {{"gone", "{}", std::string(300000, 'g')}}));
    ASSERT_OK(curate());
    fs::create_directories(dir_ / "artifacts" / "cluster" / "a");
    // Made without having read anything, then from all calls, then weights.
    ASSERT_OK(open(Role::kTrainer)
                  .value()
                  ->seal_file(dir_ / "artifacts" / "cluster" / "a" / "free", "cluster/a/free", as_bytes("free")));
    auto trainer = open(Role::kTrainer).value();
    ASSERT_OK(read(*trainer, Store::Space::kCurated, with_body()));
    ASSERT_OK(trainer->seal_file(path("cluster/a/map"), "cluster/a/map", as_bytes("gone 1 is in here")));
    fs::create_directories(dir_ / "artifacts" / "finetune" / "b");
    ASSERT_OK(trainer->seal_file(path("finetune/b/weights"), "finetune/b/weights", as_bytes("weights")));
    // Made from another artefact only.
    auto second = open(Role::kTrainer).value();
    ASSERT_OK(second->open_sealed_file(path("cluster/a/map"), "cluster/a/map"));
    ASSERT_OK(second->seal_file(path("cluster/a/copy"), "cluster/a/copy", as_bytes("gone 1, once removed")));
  }
  fs::path path(const std::string& name) const { return dir_ / "artifacts" / name; }
  Status curate() {
    auto curator = open(Role::kCurator).value();
    SLM_TRY(const auto raw, read(*curator, Store::Space::kRaw, with_body()));
    std::vector<TestCall> curated;
    for (const StoredCall& call : raw) curated.push_back({call.source, call.meta, "clean " + call.body, call.group});
    SLM_CHECK(append(*curator, Store::Space::kCurated, curated));
    return {};
  }
  EraseOptions options(const std::string& source) {
    EraseOptions out;
    out.source = source;
    out.keys = keys_;
    out.random = random_.get();
    out.clock = clock_.get();
    return out;
  }
  std::vector<std::string> bodies(Role role, Store::Space space) {
    auto calls = read(*open(role).value(), space, with_body());
    EXPECT_TRUE(calls) << calls.error().message;
    std::vector<std::string> out;
    if (calls)
      for (const StoredCall& call : *calls) out.push_back(call.body.substr(0, 20));
    return out;
  }
  // Every frame of a log.db that some key of the fleet and some encapsulation of the store open, as text.
  std::vector<std::string> openable(const fs::path& log_file) {
    std::vector<Session> sessions;
    for (const Role role : {Role::kCurator, Role::kTrainer}) {
      OpenOptions o;
      o.identity = keys_, o.role = role, o.random = random_.get(), o.clock = clock_.get();
      sessions.push_back(open_session(dir_, o).value());
    }
    Database log = Database::open(log_file, Database::Mode::kForeign).value();
    const AdminLog admin = AdminLog::load(log).value();
    std::vector<std::string> out;
    const auto entries = read_entries(log, 1, 1000).value();
    for (const Entry& entry : entries) {
      const auto seals = read_seals(log, entry.n).value();
      for (const SealRow& seal : seals) {
        const ContextColumns context = context_of(entry, seal);
        Statement encs = sessions[0].db.keys.prepare("SELECT enc FROM encapsulations").value();
        while (encs.step().value()) {
          const auto enc = encs.fixed<32>(0, "").value();
          for (Session& session : sessions) {
            const auto secret = session.secret({what_of(seal.partition), context.epoch});
            if (!secret) continue;
            const EpochRecord& epoch = *admin.epoch(seal.partition, context.epoch);
            const auto opener = crypto::hpke_receiver(epoch.aead, *secret, enc, seal_info(admin, epoch)).value();
            Statement frames = log.prepare("SELECT calls, sealed FROM frames WHERE frame BETWEEN ? AND ?").value();
            frames.bind(1, seal.seal << 16).bind(2, (seal.seal << 16) + 0xffff);
            for (uint32_t i = 0; frames.step().value(); ++i)
              if (opener.open(i, frame_aad(context, i, frames.blob(0)), frames.blob(1)))
                out.push_back(to_hex(seal.group));
          }
        }
      }
    }
    return out;
  }
};

TEST_F(EraseTest, ADryRunSaysWhatWouldGoAndChangesNothing) {
  EraseOptions o = options("gone");
  o.dry_run = true;
  const auto plan = erase_source(dir_, o);
  ASSERT_OK(plan);
  EXPECT_FALSE(plan->done);
  EXPECT_EQ(plan->n_raw_groups, 2);
  EXPECT_EQ(plan->n_raw, 3);
  EXPECT_EQ(plan->n_curated, 3);
  EXPECT_THAT(plan->artefacts, ElementsAre("cluster/a/copy", "cluster/a/map"));
  EXPECT_THAT(plan->adapters, ElementsAre("finetune/b/weights"));
  EXPECT_EQ(bodies(Role::kCurator, Store::Space::kRaw).size(), 5u);
  o = options("src_0000000000000000");
  EXPECT_CODE(erase_source(dir_, o), ErrorCode::kBadInput);
}

TEST_F(EraseTest, NothingOfTheSourceOpensFromTheStoreOrAnOldCopyOfTheLog) {
  {
    Database log = open_databases(dir_, 1000).value().log;
    ASSERT_OK(log.checkpoint(true));
  }
  const fs::path old_log = base_ / "old.db";
  fs::copy_file(dir_ / "log.db", old_log);
  std::set<std::string> gone, before;
  {
    auto curator = open(Role::kCurator).value();
    const std::string gone_name = open(Role::kCollector).value()->pseudonym("source", "gone").value();
    const auto calls = read(*curator, Store::Space::kRaw, with_body()).value();
    for (const StoredCall& call : calls)
      if (call.source == gone_name) gone.insert(call.group);
  }
  ASSERT_EQ(gone.size(), 2u);
  for (const std::string& group : openable(old_log)) before.insert(group);
  for (const std::string& group : gone) EXPECT_TRUE(before.contains(group)) << "the test can open what isn't erased";

  const auto done = erase_source(dir_, options("gone"));
  ASSERT_OK(done);
  EXPECT_TRUE(done->done);
  EXPECT_TRUE(done->clean);
  const auto report = verify_store(dir_);
  ASSERT_OK(report);
  EXPECT_EQ(report->n_erased, 3) << "two raw groups and the curated one of both";
  EXPECT_EQ(report->n_left_over, 0);
  EXPECT_EQ(report->n_orphans, 0);
  EXPECT_THAT(bodies(Role::kCurator, Store::Space::kRaw), UnorderedElementsAre("kept 1", "kept 2"));
  EXPECT_THAT(bodies(Role::kTrainer, Store::Space::kCurated), UnorderedElementsAre("clean kept 1", "clean kept 2"));
  EXPECT_EQ(Store::info(dir_)->n_raw, 2);
  EXPECT_EQ(Store::info(dir_)->n_curated, 2);

  std::set<std::string> after;
  for (const std::string& group : openable(old_log)) after.insert(group);
  for (const std::string& group : openable(dir_ / "log.db")) after.insert(group);
  EXPECT_FALSE(after.empty()) << "what was kept still opens";
  for (const std::string& group : gone) EXPECT_FALSE(after.contains(group));
  // No encapsulation of it is left in any byte of keys.db.
  Database keys = Database::open(dir_ / "keys.db", Database::Mode::kWrite).value();
  Statement stmt = keys.prepare("SELECT count(*) FROM encapsulations WHERE grp = ?").value();
  for (const std::string& group : gone) {
    const Bytes name = from_hex(group).value();
    ASSERT_TRUE(stmt.bind(1, ByteSpan(name)).step().value());
    EXPECT_EQ(stmt.integer(0), 0);
    stmt.reset();
    for (const char* file : {"keys.db", "keys.db-wal"}) {
      const auto bytes = read_file(dir_ / file);
      if (bytes) {
        EXPECT_EQ(bytes->find(as_text(name)), std::string::npos) << file;
      }
    }
  }

  // Artefacts made from it are gone, weights stay and what read nothing too.
  auto trainer = open(Role::kTrainer).value();
  EXPECT_FALSE(trainer->open_sealed_file(path("cluster/a/map"), "cluster/a/map"));
  EXPECT_FALSE(trainer->open_sealed_file(path("cluster/a/copy"), "cluster/a/copy"));
  ASSERT_OK(trainer->open_sealed_file(path("cluster/a/free"), "cluster/a/free"));
  ASSERT_OK(trainer->open_sealed_file(path("finetune/b/weights"), "finetune/b/weights"));
}

TEST_F(EraseTest, ImportersDropTheSourceFromThenOn) {
  auto at_work = open(Role::kCollector).value();
  auto appender = at_work->append(Store::Space::kRaw, {}).value();
  for (const char* source : {"gone", "kept"}) {
    NewCall call;
    call.tag = at_work->content_tag(std::string("new ") + source, std::nullopt, 0).value();
    call.source = source, call.meta = "{}", call.body = std::string("new ") + source;
    ASSERT_TRUE(appender->add(call).value());
  }
  ASSERT_OK(erase_source(dir_, options("gone")));
  ASSERT_OK(appender->flush());  // was waiting all the while
  EXPECT_EQ(appender->n_added(), 1);
  EXPECT_EQ(appender->n_erased(), 1);
  const auto again = append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"gone", "{}", "gone 1"}});
  ASSERT_OK(again);
  EXPECT_EQ(*again, 0);
  EXPECT_THAT(bodies(Role::kCurator, Store::Space::kRaw), UnorderedElementsAre("kept 1", "kept 2", "new kept"));
  ASSERT_OK(verify_store(dir_));
  ASSERT_OK(erase_source(dir_, options("gone")));  // nothing is left to erase: fine
  ASSERT_OK(erase_source(dir_, options("never seen")));
  ASSERT_OK(verify_store(dir_));
}

TEST_F(EraseTest, ByPseudonymAllEpochsOfTheSourceGo) {
  ASSERT_OK(rotate_keys(dir_, {"pseudonym"}, {keys_, {}, random_.get(), clock_.get()}));
  auto collector = open(Role::kCollector).value();
  ASSERT_OK(append(*collector, Store::Space::kRaw, {{"gone", "{}", "gone under a new name"}}));
  const auto done = erase_source(dir_, options(collector->pseudonym("source", "gone").value()));
  ASSERT_OK(done);
  EXPECT_EQ(done->n_raw, 4);
  EXPECT_EQ(bodies(Role::kCurator, Store::Space::kRaw).size(), 2u);
}

// Cut off at any write: the store verifies, and the same command finishes it, encapsulations included, which an old
// copy of log.db could still be opened with.
TEST_F(EraseTest, CutOffAnywhereTheSameCommandFinishesIt) {
  const std::string pseudonym = open(Role::kCollector).value()->pseudonym("source", "kept").value();
  testing::FaultVfs vfs;
  const auto until_done = [&](const std::function<Status()>& command) {
    int n_failed = 0, n_cut = 0;
    for (int writes = 0; writes<2000; writes += n_cut> 0 ? 25 : 1) {
      vfs.writes_left = writes;
      const Status done = command();
      vfs.writes_left = -1;
      const auto report = verify_store(dir_);
      EXPECT_TRUE(report) << report.error().message;
      if (!report) return;
      n_cut += report->n_left_over > 0;
      if (done) {
        EXPECT_GT(n_failed, 3);
        EXPECT_GT(n_cut, 0) << "never between the two files";
        EXPECT_EQ(report->n_left_over, 0);
        return;
      }
      // By a pseudonym that no group has any more: what was left is removed, and the command says so.
      if (done.error().code == ErrorCode::kBadInput) {
        EXPECT_GT(n_cut, 0);
        EXPECT_EQ(report->n_left_over, 0);
        return;
      }
      EXPECT_EQ(done.error().code, ErrorCode::kIo) << done.error().message;
      ++n_failed;
    }
    ADD_FAILURE() << "never came through";
  };
  const auto erase = [&](const std::string& source) -> Status {
    SLM_TRY(const EraseResult done, erase_source(dir_, options(source)));
    EXPECT_TRUE(done.done);
    return {};
  };
  until_done([&] { return erase("gone"); });
  EXPECT_EQ(Store::info(dir_)->n_raw, 2);
  EXPECT_EQ(Store::info(dir_)->n_curated, 2);
  EXPECT_EQ(bodies(Role::kCurator, Store::Space::kRaw).size(), 2u);
  until_done([&] { return erase(pseudonym); });
  EXPECT_EQ(Store::info(dir_)->n_raw, 0);
  EXPECT_EQ(Store::info(dir_)->n_curated, 0);

  ASSERT_OK(
      append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"new", "{}", "n 1"}, {"other", "{}", "n 2"}}));
  until_done([&]() -> Status {
    RetainOptions retain;
    retain.raw_days = 0;
    retain.keys = keys_;
    retain.random = random_.get();
    retain.clock = clock_.get();
    SLM_CHECK(retain_store(dir_, retain));
    return {};
  });
  EXPECT_EQ(Store::info(dir_)->n_raw, 0);
  ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"new", "{}", "n 3"}}));
  EXPECT_EQ(bodies(Role::kCurator, Store::Space::kRaw).size(), 1u);
}

TEST_F(EraseTest, CuratorPlansAndAdminApplies) {
  fs::create_directories(base_ / "curator");
  fs::create_directories(base_ / "admin");
  fs::rename(keys_ / "curator.key", base_ / "curator" / "curator.key");
  fs::rename(keys_ / "admin.key", base_ / "admin" / "admin.key");
  EraseOptions plan = options("gone");
  plan.keys = base_ / "curator";
  EXPECT_CODE(erase_source(dir_, plan), ErrorCode::kWrongKey);
  plan.plan = base_ / "plan.json";
  ASSERT_OK(erase_source(dir_, plan));
  EXPECT_EQ(read_file(plan.plan).value().find("gone"), std::string::npos) << "a plan holds no name";
  EraseOptions apply = options("");
  apply.keys = base_ / "admin";
  apply.apply = base_ / "nothing";
  EXPECT_FALSE(erase_source(dir_, apply));
  ASSERT_TRUE(write_file_atomic(base_ / "bad", "{\"slmconv_erase_plan\":1}"));
  apply.apply = base_ / "bad";
  EXPECT_CODE(erase_source(dir_, apply), ErrorCode::kBadInput);
  apply.apply = plan.plan;
  const auto done = erase_source(dir_, apply);
  ASSERT_OK(done);
  EXPECT_EQ(done->n_raw, 3);
  ASSERT_OK(verify_store(dir_));
}

TEST_F(EraseTest, AnErasureThatNobodyMaySignIsFound) {
  OpenOptions o;
  o.identity = keys_, o.role = Role::kTrainer, o.random = random_.get(), o.clock = clock_.get();
  {
    Session trainer = open_session(dir_, o).value();
    const auto seals = read_seals(trainer.db.log, 2).value();
    ASSERT_OK(commit_act(trainer, {"retention", {{"groups", json::array{to_hex(seals[0].group)}}}, "", 0}));
  }
  EXPECT_CODE(verify_store(dir_), ErrorCode::kIntegrity);
  EXPECT_CODE(read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body()), ErrorCode::kIntegrity);
}

TEST_F(EraseTest, RetentionGoesBySealedTime) {
  const auto now = fixed_clock(clock_->now_ms() + int64_t{40} * 24 * 3'600'000);
  RetainOptions o;
  o.raw_days = 30;
  o.keys = keys_;
  o.random = random_.get();
  o.clock = clock_.get();
  EXPECT_EQ(retain_store(dir_, o)->n_groups, 0);
  o.clock = now.get();
  o.dry_run = true;
  EXPECT_EQ(retain_store(dir_, o)->n_raw, 5);
  EXPECT_EQ(bodies(Role::kCurator, Store::Space::kRaw).size(), 5u);
  o.dry_run = false;
  const auto done = retain_store(dir_, o);
  ASSERT_OK(done);
  EXPECT_EQ(done->n_groups, 4);
  EXPECT_EQ(done->n_curated, 0);
  EXPECT_TRUE(bodies(Role::kCurator, Store::Space::kRaw).empty());
  EXPECT_EQ(bodies(Role::kTrainer, Store::Space::kCurated).size(), 5u);
  EXPECT_EQ(verify_store(dir_)->n_erased, 4);
}

TEST_F(EraseTest, CompactFinishesWhatWasCutOffAndRemovesOrphans) {
  const fs::path copy = base_ / "copy";
  fs::copy(dir_, copy, fs::copy_options::recursive);
  ASSERT_OK(erase_source(dir_, options("gone")));
  // As if the erasure had been cut off before keys.db: the old encapsulations are back.
  fs::remove(dir_ / "keys.db-wal");
  fs::remove(dir_ / "keys.db-shm");
  fs::copy_file(copy / "keys.db", dir_ / "keys.db", fs::copy_options::overwrite_existing);
  fs::copy_file(copy / "keys.db-wal", dir_ / "keys.db-wal");
  {
    Databases db = open_databases(dir_, 1000).value();
    Statement stmt = db.keys.prepare("INSERT INTO encapsulations VALUES(randomblob(16), 1, randomblob(32))").value();
    ASSERT_OK(stmt.run());
  }
  ASSERT_OK(verify_store(dir_));
  EXPECT_EQ(verify_store(dir_)->n_orphans, 1);
  const auto done = compact_store(dir_);
  ASSERT_OK(done);
  EXPECT_EQ(done->n_orphans, 1);
  EXPECT_GE(done->n_finished, 8);
  EXPECT_LE(done->bytes_after, done->bytes_before);
  const auto report = verify_store(dir_);
  ASSERT_OK(report);
  EXPECT_EQ(report->n_orphans, 0);
  EXPECT_EQ(compact_store(dir_)->n_finished, 0);
  EXPECT_EQ(bodies(Role::kCurator, Store::Space::kRaw).size(), 2u);
}

}  // namespace
}  // namespace slm::store
