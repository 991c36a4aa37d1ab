// What an OTLP receiver acknowledged survives it: two files, each cleared when its traces are stored.
#include "collect/otlp_journal.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "core/file.h"
#include "store/collector_files.h"

namespace slm::collect {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

constexpr int64_t kHoldMs = 1000;

class OtlpJournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("slm_otlp_journal_test_" + std::to_string(getpid()));
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    const auto random = seeded_random(5);
    crypto::Identity identity = crypto::generate_identity(*random);
    identity.role = "collector";
    identity.admin = std::string(32, 'a');
    ASSERT_TRUE(crypto::write_key_file(dir_ / "key", identity).has_value());
  }
  void TearDown() override { fs::remove_all(dir_); }

  std::unique_ptr<OtlpJournal> open(int64_t max_bytes = 1 << 16) {
    auto journal =
        OtlpJournal::open(dir_ / "collector", max_bytes, kHoldMs, crypto::read_key_file(dir_ / "key", {}).value());
    EXPECT_TRUE(journal.has_value()) << journal.error().message;
    return std::move(*journal);
  }
  // Put, on the disk, and its traces held from the same moment.
  static int keep(OtlpJournal& journal, std::string_view body, int64_t now_ms) {
    const int file = journal.put({"POST", "/v1/traces", "application/json", body}, now_ms).value();
    EXPECT_TRUE(journal.sync().has_value());
    if (file != OtlpJournal::kNoRoom) journal.taken(file, now_ms);
    return file;
  }
  static std::vector<std::string> replayed(OtlpJournal& journal, int64_t now_ms) {
    std::vector<std::string> out;
    EXPECT_TRUE(journal
                    .replay(now_ms,
                            [&](const OtlpRequest& request) {
                              EXPECT_EQ(request.method, "POST");
                              EXPECT_EQ(request.path, "/v1/traces");
                              EXPECT_EQ(request.content_type, "application/json");
                              out.emplace_back(request.body);
                            })
                    .has_value());
    return out;
  }
  fs::path dir_;
};

TEST_F(OtlpJournalTest, WhatWasPutIsThereForTheNextProcess) {
  {
    const auto journal = open();
    EXPECT_EQ(keep(*journal, "first canary", 1), 0);
    EXPECT_EQ(keep(*journal, "second", 2), 0);
  }
  EXPECT_EQ(read_file(dir_ / "collector" / "00.a.spool").value().find("canary"), std::string::npos);
  EXPECT_EQ(store::waiting_spools(dir_).size(), 1U);
  const auto journal = open();
  EXPECT_THAT(replayed(*journal, 10), ElementsAre("first canary", "second"));
  ASSERT_TRUE(journal->clear_before(10).has_value());
  EXPECT_EQ(store::waiting_spools(dir_).size(), 1U) << "taken at 10: not before 10";
  ASSERT_TRUE(journal->clear_before(11).has_value());
  EXPECT_THAT(store::waiting_spools(dir_), IsEmpty());
  EXPECT_THAT(replayed(*journal, 12), IsEmpty());
}

TEST_F(OtlpJournalTest, OneFileIsFilledWhileTheOthersTracesEnd) {
  const auto journal = open();
  EXPECT_EQ(keep(*journal, "a1", 1), 0);
  EXPECT_EQ(keep(*journal, "a2", 900), 0);
  EXPECT_EQ(keep(*journal, "b1", 1100), 1) << "the first one's time is over";
  EXPECT_EQ(keep(*journal, "b2", 2500), 1) << "the other one isn't empty yet";
  ASSERT_TRUE(journal->clear_before(901).has_value());
  EXPECT_EQ(keep(*journal, "a3", 2600), 0);
  EXPECT_THAT(replayed(*journal, 2700), ElementsAre("a3", "b1", "b2"));
}

TEST_F(OtlpJournalTest, AFileWithARequestThatWasntTakenStays) {
  const auto journal = open();
  ASSERT_EQ(journal->put({"POST", "/v1/traces", "application/json", "late"}, 1).value(), 0);
  ASSERT_TRUE(journal->clear_before(1 << 20).has_value());
  EXPECT_EQ(store::waiting_spools(dir_).size(), 1U);
  journal->taken(0, 5);
  ASSERT_TRUE(journal->clear_before(6).has_value());
  EXPECT_THAT(store::waiting_spools(dir_), IsEmpty());
}

TEST_F(OtlpJournalTest, FullFilesTakeNothing) {
  const auto journal = open(2 << 10);
  const std::string body(500, 'x');
  EXPECT_EQ(keep(*journal, body, 1), 0);
  EXPECT_EQ(keep(*journal, body, 2), 1) << "full before its time";
  EXPECT_EQ(keep(*journal, body, 3), OtlpJournal::kNoRoom);
  ASSERT_TRUE(journal->clear_before(2).has_value());
  EXPECT_EQ(keep(*journal, body, 4), 0);
}

TEST_F(OtlpJournalTest, EachProcessHasItsOwnFiles) {
  const auto first = open(), second = open();
  EXPECT_EQ(keep(*first, "first", 1), 0);
  EXPECT_THAT(replayed(*second, 2), IsEmpty());
  EXPECT_TRUE(fs::exists(dir_ / "collector" / "01.b.spool"));
}

TEST_F(OtlpJournalTest, WhatDoesntOpenEndsTheReading) {
  {
    const auto journal = open();
    for (const char* body : {"first", "second", "third"}) keep(*journal, body, 1);
  }
  const fs::path file = dir_ / "collector" / "00.a.spool";
  std::string bytes = read_file(file).value();
  const size_t record = static_cast<size_t>(static_cast<uint8_t>(bytes[8])) + 4;
  bytes[8 + record + 40] ^= 1;
  const int fd = ::open(file.c_str(), O_WRONLY);
  ASSERT_EQ(pwrite(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  close(fd);
  const auto journal = open();
  EXPECT_THAT(replayed(*journal, 2), ElementsAre("first"));
  EXPECT_EQ(keep(*journal, "fourth", 3), 0);
  EXPECT_THAT(replayed(*journal, 4), ElementsAre("first", "fourth"));
}

}  // namespace
}  // namespace slm::collect
