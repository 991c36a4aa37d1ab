// Backups and the restore drill, anchors, the audit trail, and reads that can't be logged.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "fault_vfs.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store_fixture.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::StoreTest;

class UpkeepTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    init();
    ASSERT_OK(add("body 1"));
    ASSERT_OK(open(Role::kTrainer).value()->seal_file(dir_ / "artifacts" / "a.bin", "a.bin", as_bytes("made of text")));
  }
  Result<int64_t> add(const std::string& body) {
    return append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"s", "{}", body}});
  }
  KeyOptions with() { return {keys_, {}, random_.get(), clock_.get()}; }
  BackupOptions places(Clock* clock) { return {base_ / "backup", base_ / "backup-keys", -1, clock}; }
};

// The drill: the machine is gone; what is left are both halves of a backup, and the key files in their own place.
TEST_F(UpkeepTest, RestoreDrill) {
  const auto backup = backup_store(dir_, places(clock_.get()));
  ASSERT_OK(backup);
  EXPECT_EQ(backup->n_files, 1);
  ASSERT_OK(add("after the backup"));
  fs::remove_all(dir_);
  EXPECT_CODE(restore_store(dir_, {backup->log, base_ / "none"}), ErrorCode::kStoreMissing);
  EXPECT_CODE(restore_store(dir_, {base_, backup->keys}), ErrorCode::kStoreMissing);
  EXPECT_FALSE(fs::exists(dir_));
  const auto restored = restore_store(dir_, {backup->log, backup->keys});
  ASSERT_OK(restored);
  EXPECT_EQ(restored->head, backup->head);
  EXPECT_EQ(restored->n_artifact_files, 1);
  const auto calls = read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body());
  ASSERT_OK(calls);
  ASSERT_EQ(calls->size(), 1u);
  EXPECT_EQ((*calls)[0].body, "body 1");
  EXPECT_EQ(as_text(*open(Role::kTrainer).value()->open_sealed_file(dir_ / "artifacts" / "a.bin", "a.bin")),
            "made of text");
  ASSERT_OK(add("after the restore"));
  ASSERT_OK(verify_store(dir_));
  EXPECT_CODE(restore_store(dir_, {backup->log, backup->keys}), ErrorCode::kUsage);
}

TEST_F(UpkeepTest, BackupsAreKeptApartAndKeysExpire) {
  EXPECT_CODE(backup_store(dir_, {dir_ / "b", base_ / "k", -1, clock_.get()}), ErrorCode::kUsage);
  EXPECT_CODE(backup_store(dir_, {base_ / "b", base_ / "b", -1, clock_.get()}), ErrorCode::kUsage);
  EXPECT_CODE(backup_store(dir_, {base_ / "b", base_ / "b" / "k", -1, clock_.get()}), ErrorCode::kUsage);
  EXPECT_CODE(backup_store(dir_, {base_ / "b", {}, -1, clock_.get()}), ErrorCode::kUsage);
  constexpr int64_t kDay = 86'400'000;
  std::vector<BackupResult> made;
  for (const int64_t day : {0, 5, 12}) {
    const auto then = fixed_clock(clock_->now_ms() + day * kDay);
    BackupOptions options = places(then.get());
    options.expire_days = 10;
    auto backup = backup_store(dir_, options);
    ASSERT_OK(backup);
    made.push_back(*backup);
    ASSERT_OK(add("day " + std::to_string(day)));
  }
  EXPECT_EQ(made[2].n_expired, 1);
  EXPECT_FALSE(fs::exists(made[0].keys));
  EXPECT_TRUE(fs::exists(made[1].keys));
  // Halves of two backups: keys taken later serve an older log, not the other way round.
  EXPECT_CODE(restore_store(base_ / "r", {made[2].log, made[1].keys}), ErrorCode::kIntegrity);
  EXPECT_FALSE(fs::exists(base_ / "r"));
  ASSERT_OK(restore_store(base_ / "r", {made[0].log, made[1].keys}));
}

TEST_F(UpkeepTest, ErasedCallsCannotBeOpenedFromAnOldLogWithNewerKeys) {
  const auto before = backup_store(dir_, places(clock_.get()));
  ASSERT_OK(before);
  EraseOptions erase;
  erase.source = "s";
  erase.keys = keys_;
  erase.random = random_.get();
  erase.clock = clock_.get();
  ASSERT_OK(erase_source(dir_, erase));
  const auto then = fixed_clock(clock_->now_ms() + 86'400'000);
  const auto after = backup_store(dir_, places(then.get()));
  ASSERT_OK(after);
  EXPECT_CODE(restore_store(base_ / "r", {before->log, after->keys}), ErrorCode::kIntegrity);
  ASSERT_OK(restore_store(base_ / "r", {after->log, after->keys}));
}

TEST_F(UpkeepTest, AnchorsFindWhatIsNoLongerThere) {
  const std::string first = open(Role::kAuditor).value()->anchor().value();
  const fs::path old = base_ / "old";
  fs::copy(dir_, old, fs::copy_options::recursive);
  ASSERT_OK(add("body 2"));
  const std::string second = open(Role::kCollector).value()->anchor().value();
  ASSERT_OK(add("body 3"));
  const auto report = verify_store(dir_, {"", first + "\n" + second + "\n"});
  ASSERT_OK(report);
  EXPECT_EQ(report->n_anchors, 2);
  EXPECT_GT(report->anchored_counter, 2);
  EXPECT_EQ(verify_store(dir_)->n_anchors, 0);
  // Rolled back: whole as seen from inside.
  ASSERT_OK(verify_store(old));
  ASSERT_OK(verify_store(old, {"", first}));
  EXPECT_CODE(verify_store(old, {"", first + "\n" + second}), ErrorCode::kIntegrity);
  // Another future than the one that was anchored.
  const fs::path good = dir_;
  dir_ = old;
  ASSERT_OK(add("another body 2"));
  EXPECT_CODE(verify_store(dir_, {"", second}), ErrorCode::kIntegrity);
  dir_ = good;
  // Lines that were changed, and lines of another store.
  for (size_t at = 0; at < second.size(); at += 7) {
    std::string bad = second;
    bad[at] = static_cast<char>(bad[at] == '0' ? '1' : '0');
    if (bad != second) {
      EXPECT_FALSE(verify_store(dir_, {"", bad})) << bad;
    }
  }
  EXPECT_FALSE(verify_store(dir_, {"", "{}"}));
  dir_ = base_ / "other";
  keys_ = base_ / "other-keys";
  init();
  const std::string theirs = open(Role::kCollector).value()->anchor().value();
  EXPECT_FALSE(verify_store(good, {"", theirs}));
}

TEST_F(UpkeepTest, AnAuditorReadsTheTrailAndThatIsAnEntryToo) {
  ASSERT_OK(read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body()));
  ASSERT_OK(rotate_keys(dir_, {"audit"}, with()));
  ASSERT_OK(open(Role::kTrainer).value()->audit("export adapter", "to a place"));
  std::vector<AuditRow> rows;
  const auto keep = [&](const AuditRow& row) -> Result<bool> {
    rows.push_back(row);
    return true;
  };
  AuditQuery query;
  query.purpose = "a look";
  ASSERT_OK(read_audit(dir_, query, with(), keep));
  std::vector<std::string> actions;
  for (const AuditRow& row : rows) actions.push_back(row.action);
  EXPECT_EQ(actions, (std::vector<std::string>{"init", "append", "seal", "read", "rotate", "export adapter"}));
  EXPECT_EQ(rows[3].role, "curator");
  EXPECT_EQ(rows[3].details, "test");
  EXPECT_EQ(rows[3].n_calls, 1);
  EXPECT_EQ(get_string(rows[3].facts, "space"), "raw");
  EXPECT_EQ(rows[5].details, "to a place") << "sealed to the second audit epoch";
  EXPECT_NEAR(static_cast<double>(rows[5].time_ms), static_cast<double>(clock_->now_ms()), 600e3);
  // That it was read is an entry.
  query.action = "read";
  query.limit = 1;
  rows.clear();
  ASSERT_OK(read_audit(dir_, query, with(), keep));
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].role, "auditor");
  EXPECT_EQ(rows[0].details, "a look");
  // No other role can.
  KeyOptions trainer = with();
  trainer.keys = keys_ / "trainer.key";
  EXPECT_CODE(read_audit(dir_, query, trainer, keep), ErrorCode::kWrongKey);
  ASSERT_OK(verify_store(dir_));
}

TEST_F(UpkeepTest, AReadThatCannotBeLoggedGivesNothing) {
  auto curator = open(Role::kCurator).value();
  auto trainer = open(Role::kTrainer).value();
  size_t n = 0;
  const auto count = [&](StoredCall&) -> Result<bool> {
    ++n;
    return true;
  };
  setenv("SLMCONV_LOCK_WAIT_MS", "50", 1);
  auto impatient = open(Role::kCurator).value();
  const int fd = ::open((dir_ / "store.lock").c_str(), O_RDWR);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  EXPECT_CODE(impatient->scan(Store::Space::kRaw, with_body(), count), ErrorCode::kLocked);
  close(fd);
  unsetenv("SLMCONV_LOCK_WAIT_MS");
  EXPECT_EQ(n, 0u);
  // A full disk: no row, no artefact.
  testing::FaultVfs vfs;
  auto full = open(Role::kCurator).value();
  auto full_trainer = open(Role::kTrainer).value();
  vfs.writes_left = 0;
  EXPECT_CODE(full->scan(Store::Space::kRaw, with_body(), count), ErrorCode::kIo);
  EXPECT_CODE(full_trainer->open_sealed_file(dir_ / "artifacts" / "a.bin", "a.bin"), ErrorCode::kIo);
  EXPECT_EQ(n, 0u);
  EXPECT_GT(vfs.n_refused, 0);
  vfs.writes_left = -1;
  ASSERT_OK(full->scan(Store::Space::kRaw, with_body(), count));
  EXPECT_EQ(n, 1u);
}

// Calls that wait in the collector's spools: with the keys of a backup, back at their place, and gone with them.
TEST_F(UpkeepTest, SpoolsGoWithTheKeysOfABackup) {
  const fs::path folder = dir_ / "collector";
  fs::create_directories(folder);
  std::string spool = "SLMSPOOL";
  for (const size_t n : {size_t{40}, size_t{3000}, size_t{2} << 20}) {
    Bytes length;
    put_u32(length, static_cast<uint32_t>(n));
    spool += as_text(length);
    spool += std::string(n, static_cast<char>('a' + n % 7));
  }
  spool += std::string(4, '\0');
  ASSERT_TRUE(write_file_atomic(folder / "03.spool", spool + std::string(1 << 20, '\0')));
  ASSERT_TRUE(write_file_atomic(folder / "00.spool", "SLMSPOOL" + std::string(4096, '\0')));
  ASSERT_TRUE(write_file_atomic(folder / "00.marks", "SLMMARK1" + std::string(4088, '\0')));
  ASSERT_TRUE(write_file_atomic(folder / "04.spool", "something else"));
  fs::create_symlink(folder / "03.spool", folder / "05.spool");
  ASSERT_EQ(mkfifo((folder / "06.spool").c_str(), 0600), 0);

  auto then = fixed_clock(clock_->now_ms());
  BackupOptions options = places(then.get());
  const auto backup = backup_store(dir_, options);
  ASSERT_OK(backup);
  EXPECT_EQ(backup->n_spools, 1);
  for (const auto& item : fs::recursive_directory_iterator(backup->log))
    EXPECT_EQ(item.path().string().find("spool"), std::string::npos) << item.path();
  fs::path copy = backup->keys;
  copy.replace_extension(".03.spool");
  EXPECT_EQ(read_file(copy).value(), spool);
  EXPECT_EQ(fs::status(copy).permissions() & fs::perms::all, fs::perms::owner_read | fs::perms::owner_write);
  ASSERT_OK(restore_store(base_ / "r", {backup->log, backup->keys}));
  EXPECT_EQ(read_file(base_ / "r" / "collector" / "03.spool").value(), spool);
  EXPECT_EQ(std::distance(fs::directory_iterator(base_ / "r" / "collector"), {}), 1);
  // A cut record, as a collector at work leaves it: what is whole is copied.
  ASSERT_TRUE(write_file_atomic(folder / "03.spool", spool.substr(0, 12 + 40 + 100)));
  then = fixed_clock(clock_->now_ms() + 20 * int64_t{86'400'000});
  options = places(then.get());
  options.expire_days = 10;
  const auto next = backup_store(dir_, options);
  ASSERT_OK(next);
  EXPECT_EQ(next->n_expired, 1);
  EXPECT_FALSE(fs::exists(copy)) << "expires with its keys.db";
  copy = next->keys;
  copy.replace_extension(".03.spool");
  EXPECT_EQ(read_file(copy).value(), spool.substr(0, 12 + 40) + std::string(4, '\0'));

  // Compacting leaves them; erasing and merging say that there are calls they didn't see.
  ASSERT_OK(compact_store(dir_));
  EXPECT_EQ(read_file(folder / "03.spool").value().size(), 12u + 40 + 100);
  EXPECT_TRUE(fs::exists(folder / "00.marks"));
  EraseOptions erase;
  erase.source = "s";
  erase.keys = keys_;
  erase.random = random_.get();
  erase.clock = clock_.get();
  const auto erased = erase_source(dir_, erase);
  ASSERT_OK(erased);
  EXPECT_EQ(erased->n_spools, 1);
  ASSERT_OK(make_bundle(dir_, {base_ / "bundle", true, keys_, random_.get(), clock_.get()}));
  ASSERT_OK(join_store(base_ / "joined", {base_ / "bundle", ""}));
  const auto merged = merge_store(base_ / "joined", dir_, with());
  ASSERT_OK(merged);
  EXPECT_EQ(merged->n_spools, 1);
  EXPECT_FALSE(fs::exists(base_ / "joined" / "collector"));
}

// Clocks that jump: nothing but hours and shown times depends on them.
TEST_F(UpkeepTest, ClocksMayJump) {
  const auto real = std::move(clock_);
  for (const int64_t ms : {int64_t{0}, int64_t{4102444800000}, int64_t{-1000}, real->now_ms()}) {
    clock_ = fixed_clock(ms);
    ASSERT_OK(add("at " + std::to_string(ms)));
    ASSERT_OK(rotate_keys(dir_, {"raw-meta"}, with()));
  }
  ASSERT_OK(verify_store(dir_));
  EXPECT_EQ(read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body())->size(), 5u);
}

}  // namespace
}  // namespace slm::store
