#include "core/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

namespace slm {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("slm_file_test_" + std::to_string(getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  size_t n_entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(dir_), fs::directory_iterator{}));
  }
  fs::path dir_;
};

TEST_F(FileTest, AtomicWriteReplacesWholeAndKeepsMode) {
  const auto path = dir_ / "a";
  ASSERT_TRUE(write_file_atomic(path, "first", 0600));
  ASSERT_TRUE(write_file_atomic(path, "second", 0600));
  EXPECT_EQ(*read_file(path), "second");
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(n_entries(), 1u);
}

TEST_F(FileTest, ErrorsNameThePathAndLeaveNothing) {
  const auto status = write_file_atomic(dir_ / "no" / "such" / "folder", "x");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_NE(status.error().message.find("folder"), std::string::npos);
  EXPECT_EQ(n_entries(), 0u);
  EXPECT_EQ(read_file(dir_ / "missing").error().code, ErrorCode::kIo);
}

TEST_F(FileTest, FullDiskIsAnIoErrorAndLeavesTheOldFile) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const auto path = dir_ / "kept";
  ASSERT_TRUE(write_file_atomic(path, "old"));
  // The temporary file is a link to the full device.
  fs::create_symlink("/dev/full", dir_ / (".kept." + std::to_string(getpid()) + ".tmp"));
  const auto status = write_file_atomic(path, std::string(1 << 20, 'x'));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_NE(status.error().message.find("No space left"), std::string::npos);
  EXPECT_EQ(*read_file(path), "old");
}

TEST_F(FileTest, ReadBound) {
  ASSERT_TRUE(write_file_atomic(dir_ / "b", std::string(100, 'x')));
  EXPECT_EQ(read_file(dir_ / "b", 99).error().code, ErrorCode::kBadInput);
  EXPECT_TRUE(read_file(dir_ / "b", 100));
}

TEST_F(FileTest, StagedFolderAppearsOnlyOnCommit) {
  {
    auto staged = StagedDir::create(dir_ / "out");
    ASSERT_TRUE(staged);
    ASSERT_TRUE(write_file_atomic(staged->path() / "f", "x"));
  }
  EXPECT_EQ(n_entries(), 0u);
  auto staged = StagedDir::create(dir_ / "out");
  ASSERT_TRUE(staged);
  ASSERT_TRUE(write_file_atomic(staged->path() / "f", "x"));
  ASSERT_TRUE(staged->commit());
  EXPECT_EQ(*read_file(dir_ / "out" / "f"), "x");
  EXPECT_EQ(n_entries(), 1u);

  auto again = StagedDir::create(dir_ / "out");
  ASSERT_TRUE(again);
  ASSERT_TRUE(again->commit());
  EXPECT_TRUE(fs::is_empty(dir_ / "out")) << "commit() replaces";
}

TEST_F(FileTest, NewStagedFolderReplacesNothingButAnEmptyOne) {
  fs::create_directories(dir_ / "full");
  ASSERT_TRUE(write_file_atomic(dir_ / "full" / "old", "kept"));
  ASSERT_TRUE(write_file_atomic(dir_ / "file", "kept"));
  fs::create_directories(dir_ / "empty");
  for (const char* name : {"full", "file"}) {
    {
      auto staged = StagedDir::create(dir_ / name);
      ASSERT_TRUE(staged);
      ASSERT_TRUE(write_file_atomic(staged->path() / "f", "x"));
      const auto status = staged->commit_new();
      ASSERT_FALSE(status) << name;
      EXPECT_EQ(status.error().code, ErrorCode::kUsage);
      EXPECT_NE(status.error().message.find(name), std::string::npos);
    }
    EXPECT_EQ(n_entries(), 3u) << "nothing is left behind";
  }
  EXPECT_EQ(*read_file(dir_ / "full" / "old"), "kept");
  EXPECT_FALSE(fs::exists(dir_ / "full" / "f"));
  EXPECT_EQ(*read_file(dir_ / "file"), "kept");
  for (const char* name : {"empty", "fresh"}) {
    auto staged = StagedDir::create(dir_ / name);
    ASSERT_TRUE(staged);
    ASSERT_TRUE(write_file_atomic(staged->path() / "f", "x"));
    ASSERT_TRUE(staged->commit_new()) << name;
    EXPECT_EQ(*read_file(dir_ / name / "f"), "x");
  }
}

TEST_F(FileTest, WhatIsNoFileIsNotReplaced) {
  ASSERT_EQ(mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  EXPECT_FALSE(write_file_atomic(dir_ / "pipe", "x"));
  EXPECT_TRUE(fs::is_fifo(dir_ / "pipe"));
  EXPECT_TRUE(make_dirs(""));
}

TEST_F(FileTest, PathsAreResolvedWithoutExceptions) {
  fs::create_directories(dir_ / "a" / "b");
  fs::create_directory_symlink(dir_ / "a", dir_ / "link");
  EXPECT_EQ(*resolve_path(dir_ / "link" / "." / "b" / "new" / ""), fs::canonical(dir_) / "a" / "b" / "new");
  EXPECT_EQ(*resolve_path("."), fs::current_path());
  EXPECT_EQ(*resolve_path("/"), fs::path("/"));
  EXPECT_TRUE(*lies_in(dir_ / "a" / "x" / ".." / "b", dir_ / "link"));
  EXPECT_TRUE(*lies_in(dir_ / "a" / "", dir_ / "a"));
  EXPECT_FALSE(*lies_in(dir_ / "ab", dir_ / "a"));
  EXPECT_FALSE(*lies_in(dir_, dir_ / "a"));
  const auto too_long = lies_in(dir_ / std::string(300, 'a'), dir_);
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, ErrorCode::kIo);
  EXPECT_NE(too_long.error().message.find("aaaa"), std::string::npos);
  EXPECT_NE(too_long.error().message.find("too long"), std::string::npos);
}

}  // namespace
}  // namespace slm
