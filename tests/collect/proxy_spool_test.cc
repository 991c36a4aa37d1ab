// The spool and the marks: what survives a restart, and what is found damaged.
#include "collect/proxy_spool.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include "collect/memory_store.h"
#include "collect/proxy_marks.h"
#include "collect/proxy_recorder.h"
#include "core/file.h"
#include "store/collector_files.h"

namespace slm::collect {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

store::NewCall call_of(uint8_t n, size_t n_bytes = 100) {
  store::NewCall call;
  call.id.bytes.fill(n);
  call.tag.fill(n);
  call.source = "canary-source";
  call.meta = "{\"canary\":1}";
  call.body = std::string(n_bytes, static_cast<char>('a' + n));
  return call;
}

class SpoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("slm_spool_test_" + std::to_string(getpid()));
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    random_ = seeded_random(5);
    // A key file, so that every opening has the same identity.
    crypto::Identity identity = crypto::generate_identity(*random_);
    identity.role = "collector";
    identity.admin = std::string(32, 'a');
    key_file_ = dir_ / "collector.key";
    ASSERT_TRUE(crypto::write_key_file(key_file_, identity).has_value());
  }
  void TearDown() override { fs::remove_all(dir_); }
  crypto::Identity identity() { return crypto::read_key_file(key_file_, {}).value(); }
  std::unique_ptr<Spool> open(int64_t max_bytes = 1 << 16) {
    return Spool::open({dir_ / "s.spool", max_bytes, true}, identity()).value();
  }
  static std::vector<store::NewCall> all(Spool& spool) {
    std::vector<store::NewCall> out;
    EXPECT_TRUE(spool
                    .read([&](store::NewCall call) -> Status {
                      out.push_back(std::move(call));
                      return {};
                    })
                    .has_value());
    return out;
  }

  fs::path dir_, key_file_;
  std::unique_ptr<Random> random_;
};

TEST_F(SpoolTest, KeepsCallsSealedOverARestart) {
  {
    const auto spool = open();
    EXPECT_TRUE(spool->empty());
    for (uint8_t i = 0; i < 5; ++i) EXPECT_TRUE(spool->put(call_of(i)).value());
  }
  EXPECT_TRUE(store::is_waiting_spool(dir_ / "s.spool"));
  EXPECT_THAT(read_file(dir_ / "s.spool").value(), Not(HasSubstr("canary")));
  const auto spool = open();
  const auto calls = all(*spool);
  ASSERT_EQ(calls.size(), 5u);
  EXPECT_EQ(calls[3].body, call_of(3).body);
  EXPECT_EQ(calls[3].source, "canary-source");
  EXPECT_EQ(calls[3].tag, call_of(3).tag);
  EXPECT_TRUE(spool->put(call_of(9)).value());
  EXPECT_EQ(all(*spool).size(), 6u);
  ASSERT_TRUE(spool->clear().has_value());
  EXPECT_FALSE(store::is_waiting_spool(dir_ / "s.spool"));
  EXPECT_TRUE(all(*open()).empty());
}

// What a backup of the store does: copies while the collector writes open as the calls that were whole by then.
TEST_F(SpoolTest, ACopyOpensAndMayBeTakenWhileCallsAreWritten) {
  constexpr int kCalls = 200;
  const fs::path source = dir_ / "collector" / "00.spool", copy = dir_ / "copy.spool";
  fs::create_directories(source.parent_path());
  const auto spool = Spool::open({source, 4 << 20, false}, identity()).value();
  EXPECT_TRUE(store::waiting_spools(dir_).empty());
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; i < kCalls; ++i) EXPECT_TRUE(spool->put(call_of(static_cast<uint8_t>(i), 10000)).value());
    done = true;
  });
  const auto copied = [&] {
    fs::remove(copy);
    EXPECT_TRUE(store::copy_spool(source, copy).has_value());
    const auto again = Spool::open({copy, 4 << 20, false}, identity()).value();
    return all(*again);
  };
  size_t before = 0;
  while (!done) {
    const auto calls = copied();
    EXPECT_GE(calls.size(), before);
    before = calls.size();
    for (size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(calls[i].id.bytes[0], static_cast<uint8_t>(i));
  }
  writer.join();
  const auto calls = copied();
  ASSERT_EQ(calls.size(), static_cast<size_t>(kCalls));
  EXPECT_EQ(calls.back().body, call_of(kCalls - 1, 10000).body);
  EXPECT_THAT(store::waiting_spools(dir_), ::testing::ElementsAre(source));
}

TEST_F(SpoolTest, IsBoundedAndTakenAtTheStart) {
  const auto spool = open(4096);
  EXPECT_EQ(fs::file_size(dir_ / "s.spool"), 4096u);
  int n = 0;
  while (spool->put(call_of(1)).value()) ++n;
  EXPECT_GT(n, 10);
  EXPECT_EQ(static_cast<int>(all(*spool).size()), n);
  EXPECT_EQ(fs::file_size(dir_ / "s.spool"), 4096u);
}

TEST_F(SpoolTest, ReadingStopsAtWhatDoesntOpen) {
  {
    const auto spool = open();
    for (uint8_t i = 0; i < 3; ++i) ASSERT_TRUE(spool->put(call_of(i)).value());
  }
  std::string bytes = read_file(dir_ / "s.spool").value();
  for (const size_t at : {size_t{9}, size_t{14}, size_t{60}, size_t{200}}) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    ASSERT_TRUE(write_file_atomic(dir_ / "s.spool", changed).has_value());
    const auto spool = open();
    EXPECT_TRUE(all(*spool).empty()) << at;
    EXPECT_TRUE(spool->damaged()) << at;
  }
  ASSERT_TRUE(write_file_atomic(dir_ / "s.spool", bytes).has_value());
  crypto::Identity other = crypto::generate_identity(*random_);
  const auto stranger = Spool::open({dir_ / "s.spool", 1 << 16, false}, std::move(other)).value();
  EXPECT_TRUE(all(*stranger).empty()) << "another key opens nothing";
}

TEST_F(SpoolTest, MarksSayWhatWasBegunAndNotFinished) {
  const auto none = [](const store::Tag&) -> Result<bool> { return false; };
  {
    const auto marks = Marks::open(dir_ / "collector").value();
    EXPECT_EQ(marks->recover(none).value(), 0);
    for (int i = 0; i < 10; ++i) marks->begin();
    marks->finish(4);
    marks->miss(1);
    marks->will_finish(3, call_of(7).tag);  // and the process ends here
  }
  const auto copy = read_file(dir_ / "collector" / "00.marks").value();
  EXPECT_EQ(Marks::open(dir_ / "collector").value()->recover(none).value(), 5);
  ASSERT_TRUE(write_file_atomic(dir_ / "collector" / "00.marks", copy).has_value());
  const auto marks = Marks::open(dir_ / "collector").value();
  EXPECT_EQ(marks->recover([](const store::Tag& tag) -> Result<bool> { return tag == call_of(7).tag; }).value(), 2);
  // A second process beside it has its own.
  EXPECT_NE(Marks::open(dir_ / "collector").value()->spool_path(), marks->spool_path());
  EXPECT_EQ(marks->recover(none).value(), 0);
}

Exchange exchange() {
  Exchange x;
  x.api = Api::kChat;
  x.request = R"({"messages":[{"role":"user","content":"canary"}]})";
  x.response = R"({"choices":[{"index":0,"message":{"role":"assistant","content":"a"}}]})";
  x.status = 200;
  x.time_ms = 1772438400000;
  return x;
}

TEST_F(SpoolTest, ARecorderSpoolsWhileTheStoreFailsAndDrainsWhenItIsBack) {
  MemoryStore store;
  store.set_dir(dir_);
  store.fail_adds = true;
  RecorderOptions options;
  options.on_failure = OnStoreFailure::kSpool;
  options.durability = Durability::kDurable;
  options.spool_bytes = 1 << 20;
  options.key_file = key_file_;
  const auto record = [](Recorder& recorder) {
    std::promise<bool> done;
    recorder.begin([](bool) {});
    recorder.finish(exchange(), [&](bool ok) { done.set_value(ok); });
    return done.get_future().get();
  };
  {
    const auto recorder = Recorder::start(store, options).value();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(record(*recorder)) << "safe in the spool";
    EXPECT_EQ(recorder->counts().spooled, 3);
    store.fail_adds = false;
    for (int i = 0; i < 300 && recorder->failing(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_FALSE(recorder->failing());
    EXPECT_EQ(store.n_committed(), 3);
    store.fail_adds = true;
    EXPECT_TRUE(record(*recorder));
    (void)recorder->stop();
    EXPECT_EQ(recorder->counts().missed, 0);
  }
  EXPECT_TRUE(store::is_waiting_spool(dir_ / "collector" / "00.spool"));
  store.fail_adds = false;
  const auto recorder = Recorder::start(store, options).value();
  EXPECT_EQ(store.n_committed(), 4) << "what an earlier run spooled";
  EXPECT_EQ(recorder->counts().lost_before, 0);
}

}  // namespace
}  // namespace slm::collect
