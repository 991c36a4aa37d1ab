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
}

}  // namespace
}  // namespace slm
