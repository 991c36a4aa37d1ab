// What goes wrong outside: a full disk, a killed process, a corrupt page, a held lock, a format from the future.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>

#include <csignal>
#include <set>
#include <thread>

#include "core/file.h"
#include "fault_vfs.h"
#include "store/lock.h"
#include "store_fixture.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;
using testing::FaultVfs;
using testing::StoreTest;
using testing::TestCall;

class FaultsTest : public StoreTest {
 protected:
  static std::vector<TestCall> calls(const std::string& salt, int n = 40) {
    std::vector<TestCall> out;
    for (int i = 0; i < n; ++i) out.push_back({"s" + std::to_string(i % 3), "{}", salt + " body " + std::to_string(i)});
    return out;
  }
  void sql(const char* file, const char* text) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((dir_ / file).c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, text, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
};

TEST_F(FaultsTest, FullDiskAtAnyWriteLosesNothing) {
  FaultVfs vfs;
  init();
  auto collector = open(Role::kCollector);
  ASSERT_OK(collector);
  int64_t stored = 0;
  int n_failures = 0;
  bool went_through = false;
  for (int budget = 0; !went_through && budget < 200; ++budget) {
    auto appender = (*collector)->append(Store::Space::kRaw, {});
    ASSERT_OK(appender);
    for (const TestCall& call : calls("round " + std::to_string(budget))) {
      NewCall next;
      next.tag = (*collector)->content_tag(call.body, std::nullopt, 0).value();
      next.id = (*collector)->new_call_id(next.tag).value();
      next.source = call.source;
      next.meta = call.meta;
      next.body = call.body;
      ASSERT_OK((*appender)->add(std::move(next)));
    }
    vfs.writes_left = budget;
    auto flushed = (*appender)->flush();
    vfs.writes_left = -1;
    if (!flushed) {
      ++n_failures;
      EXPECT_EQ(flushed.error().code, ErrorCode::kIo) << budget << ": " << flushed.error().message;
      EXPECT_EQ(Store::info(dir_)->n_raw, stored) << "what was stored before stays, and only that";
      // Space again: the sealed bytes go as they are, what is added now after them.
      if (budget % 2 == 0) {
        ASSERT_OK((*appender)->flush());
      } else {
        NewCall extra{{}, {}, "s1", "{}", "extra " + std::to_string(budget), {}};
        extra.tag = (*collector)->content_tag(extra.body, std::nullopt, 0).value();
        ASSERT_OK((*appender)->add(std::move(extra)));
        EXPECT_EQ(Store::info(dir_)->n_raw, stored + 40);
        ASSERT_OK((*appender)->flush());
        ++stored;
      }
    }
    went_through = flushed.has_value();
    stored += 40;
    EXPECT_EQ(Store::info(dir_)->n_raw, stored);
  }
  EXPECT_TRUE(went_through);
  EXPECT_GT(n_failures, 5);
  ASSERT_OK(verify_store(dir_));
  auto curator = open(Role::kCurator);
  ASSERT_OK(curator);
  auto raw = read(**curator, Store::Space::kRaw, with_body());
  ASSERT_OK(raw);
  std::set<std::string> bodies;
  for (const StoredCall& call : *raw) bodies.insert(call.body);
  EXPECT_EQ(static_cast<int64_t>(bodies.size()), stored) << "each once";

  // A read that can't be logged isn't done.
  vfs.writes_left = 0;
  EXPECT_CODE(read(**curator, Store::Space::kRaw, with_body()), ErrorCode::kIo);
}

TEST_F(FaultsTest, AKilledWriterLeavesWholeBatches) {
  init();
  for (int round = 0; round < 4; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto collector = open(Role::kCollector);
      for (int i = 0; collector; ++i)
        if (!append(**collector, Store::Space::kRaw, calls(std::to_string(round) + "." + std::to_string(i), 20)))
          _exit(1);
      _exit(1);
    }
    const int64_t before = Store::info(dir_)->n_raw;
    // Kill it somewhere in the middle of its writing.
    for (int i = 0; i < 2000 && Store::info(dir_)->n_raw < before + 20 * (round + 1); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    auto report = verify_store(dir_);
    ASSERT_OK(report);
    EXPECT_EQ(Store::info(dir_)->n_raw % 20, 0) << "a batch is there whole or not at all";
  }
  EXPECT_GE(Store::info(dir_)->n_raw, 20 * 10);
  ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, calls("after")));
}

TEST_F(FaultsTest, CorruptPagesAreIntegrityFailures) {
  init();
  std::vector<TestCall> many = calls("x", 300);
  std::multiset<std::string> want;
  for (TestCall& call : many) {
    call.body.resize(3000, 'y');
    want.insert(call.body);
  }
  ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, many, {.batch_calls = 20}));
  sql("log.db", "PRAGMA wal_checkpoint(TRUNCATE)");
  const std::string good = read_file(dir_ / "log.db").value();
  const size_t n_pages = good.size() / 4096;
  ASSERT_GT(n_pages, 10u);
  int n_damaged = 0;
  for (size_t page = 1; page < n_pages; page += std::max<size_t>(1, n_pages / 12)) {
    std::string bad = good;
    for (size_t i = 0; i < 512; ++i) bad[page * 4096 + i] = static_cast<char>(i * 37 + 11);
    ASSERT_TRUE(write_file_atomic(dir_ / "log.db", bad, 0600));
    EXPECT_CODE(verify_store(dir_), ErrorCode::kIntegrity);
    ++n_damaged;
    auto curator = open(Role::kCurator);
    if (!curator) {
      EXPECT_EQ(curator.error().code, ErrorCode::kIntegrity);
    } else if (auto raw = read(**curator, Store::Space::kRaw, with_body()); !raw) {
      EXPECT_EQ(raw.error().code, ErrorCode::kIntegrity) << raw.error().message;
    } else {
      // The page isn't one that a reader needs: then every call is there, as it was.
      std::multiset<std::string> got;
      for (StoredCall& call : *raw) got.insert(std::move(call.body));
      EXPECT_TRUE(got == want) << "page " << page << ": " << got.size() << " of " << want.size() << " calls";
    }
    fs::remove(dir_ / "log.db-wal");
    fs::remove(dir_ / "log.db-shm");
  }
  EXPECT_GE(n_damaged, 8);
  ASSERT_TRUE(write_file_atomic(dir_ / "log.db", std::string(8192, 'z'), 0600));
  EXPECT_CODE(Store::info(dir_), ErrorCode::kIntegrity);
}

TEST_F(FaultsTest, ExitCodesOfWhatCannotBeOpened) {
  EXPECT_CODE(Store::info(base_ / "nowhere"), ErrorCode::kStoreMissing);
  EXPECT_CODE(open(Role::kTrainer), ErrorCode::kStoreMissing);
  EXPECT_CODE(verify_store(base_), ErrorCode::kStoreMissing);
  init();
  {
    const int fd = ::open((dir_ / "store.lock").c_str(), O_RDWR);
    ASSERT_EQ(flock(fd, LOCK_EX), 0);
    setenv("SLMCONV_LOCK_WAIT_MS", "60", 1);
    EXPECT_CODE(open(Role::kTrainer), ErrorCode::kLocked);
    unsetenv("SLMCONV_LOCK_WAIT_MS");
    close(fd);
  }
  ASSERT_OK(open(Role::kTrainer));
  sql("log.db", "PRAGMA user_version=2");
  EXPECT_CODE(open(Role::kTrainer), ErrorCode::kFormatTooNew);
  sql("log.db", "PRAGMA user_version=1");
  fs::remove(dir_ / "keys.db");
  EXPECT_CODE(open(Role::kTrainer), ErrorCode::kIntegrity);
}

TEST_F(FaultsTest, TwoWritersTakeTurns) {
  init();
  auto first = open(Role::kCollector), second = open(Role::kCollector);
  ASSERT_TRUE(first && second);
  auto one = (*first)->append(Store::Space::kRaw), two = (*second)->append(Store::Space::kRaw);
  ASSERT_TRUE(one && two);
  for (auto* appender : {one->get(), two->get()})
    for (const TestCall& call : calls("same")) {
      NewCall next;
      next.tag = (*first)->content_tag(call.body, std::nullopt, 0).value();
      next.id = (*first)->new_call_id(next.tag).value();
      next.source = call.source;
      next.body = call.body;
      ASSERT_OK(appender->add(std::move(next)));
    }
  ASSERT_OK((*one)->flush());
  ASSERT_OK((*two)->flush());
  EXPECT_EQ((*one)->n_added(), 40);
  EXPECT_EQ((*two)->n_added(), 0) << "the other process stored the same calls first";
  EXPECT_EQ((*two)->n_known(), 40);
  EXPECT_EQ(Store::info(dir_)->n_raw, 40);
  ASSERT_OK(verify_store(dir_));
}

TEST_F(FaultsTest, NetworkFileSystemsAreKnown) {
  EXPECT_STREQ(network_file_system_name(0x6969), "NFS");
  EXPECT_STREQ(network_file_system_name(0xfe534d42), "SMB");
  EXPECT_EQ(network_file_system_name(0xef53), nullptr) << "ext4";
  EXPECT_EQ(network_file_system_name(0x01021994), nullptr) << "tmpfs";
}

}  // namespace
}  // namespace slm::store
