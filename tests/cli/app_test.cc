// What every command shares: help, errors, exit codes, JSON lines, the environment, configuration files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "core/file.h"
#include "support/cli_run.h"
#include "ui/table.h"

namespace slm::cli {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class AppTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("slm_app_test_" + std::to_string(getpid()));
    fs::create_directories(dir_);
    unsetenv("SLMCONV_STORE");
    unsetenv("SLMCONV_IDENTITY");
  }
  void TearDown() override { fs::remove_all(dir_); }
  fs::path dir_;
};

TEST_F(AppTest, HelpListsCommandsAndExitCodes) {
  const auto ran = run_cli({"--help"});
  EXPECT_EQ(ran.rc, 0);
  for (const char* word : {"collect", "scrub", "cluster", "130", "interrupted", "--identity"})
    EXPECT_THAT(ran.out, HasSubstr(word));
  const auto [rows, n] = exit_code_table();
  for (size_t i = 0; i < n; ++i) EXPECT_THAT(ran.out, HasSubstr(rows[i].meaning));
}

TEST_F(AppTest, UnknownFlagAndCommandAreUsageErrors) {
  const auto flag = run_cli({"status", "--bogus"});
  EXPECT_EQ(flag.rc, 2);
  EXPECT_THAT(flag.err, HasSubstr("--bogus"));
  EXPECT_EQ(flag.out, "");
  const auto command = run_cli({"frobnicate"});
  EXPECT_EQ(command.rc, 2);
  EXPECT_THAT(command.err, HasSubstr("frobnicate"));
}

TEST_F(AppTest, ParseErrorsAreJsonToo) {
  const auto ran = run_cli({"--json", "status", "--bogus"});
  EXPECT_EQ(ran.rc, 2);
  ASSERT_EQ(ran.lines().size(), 2u);
  EXPECT_EQ(ran.lines()[0].at("message_type").as_string(), "error");
  EXPECT_EQ(ran.last().at("message_type").as_string(), "summary");
  EXPECT_EQ(ran.last().at("exit_code").as_int64(), 2);
  EXPECT_EQ(ran.err, "");
}

TEST_F(AppTest, QuietKeepsResultsAndVerboseSaysMore) {
  ASSERT_EQ(run_cli({"init", (dir_ / "s").string(), "--keys", (dir_ / "k").string()}).rc, 0);
  const auto quiet = run_cli({"-q", "--store", (dir_ / "s").string(), "store", "info"});
  EXPECT_THAT(quiet.out, HasSubstr("n_raw"));
  EXPECT_EQ(quiet.err, "");
  testing::internal::CaptureStderr();
  EXPECT_EQ(run_cli({"-v", "--store", (dir_ / "s").string(), "store", "info"}).rc, 0);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("MB resident"));
}

TEST_F(AppTest, MissingStoreHasItsExitCodeAndAHint) {
  const auto ran = run_cli({"--store", (dir_ / "none").string(), "status"});
  EXPECT_EQ(ran.rc, 10);
  EXPECT_THAT(ran.err, HasSubstr("try: slmconv init"));
}

TEST_F(AppTest, EnvironmentStandsInAndTheCommandLineWins) {
  setenv("SLMCONV_STORE", (dir_ / "from-environment").c_str(), 1);
  EXPECT_THAT(run_cli({"status"}).err, HasSubstr("from-environment"));
  EXPECT_THAT(run_cli({"--store", (dir_ / "from-flag").string(), "status"}).err, HasSubstr("from-flag"));
  ASSERT_TRUE(write_file_atomic(dir_ / "c.toml", "store = \"" + (dir_ / "from-file").string() + "\"\n"));
  EXPECT_THAT(run_cli({"--config", (dir_ / "c.toml").string(), "status"}).err, HasSubstr("from-environment"));
  unsetenv("SLMCONV_STORE");
  EXPECT_THAT(run_cli({"--config", (dir_ / "c.toml").string(), "status"}).err, HasSubstr("from-file"));
}

TEST_F(AppTest, UnknownKeyInAConfigurationFileIsAnError) {
  ASSERT_TRUE(write_file_atomic(dir_ / "c.toml", "stroe = \"x\"\n"));
  const auto ran = run_cli({"--config", (dir_ / "c.toml").string(), "status"});
  EXPECT_EQ(ran.rc, 2);
  EXPECT_THAT(ran.err, HasSubstr("stroe"));
}

TEST_F(AppTest, PipelineErrorsNameStepAndKey) {
  if (run_cli({"run"}).err.find("unknown command") != std::string::npos)
    GTEST_SKIP() << "this build has no run: it was made without libtorch";
  ASSERT_TRUE(write_file_atomic(dir_ / "p.toml", "name = \"x\"\n[[step]]\ncommand = \"status\"\nmakes = {}\n"));
  const auto bad = run_cli({"run", (dir_ / "p.toml").string()});
  EXPECT_EQ(bad.rc, 20);
  EXPECT_THAT(bad.err, HasSubstr("step 1 (status), key makes"));
  ASSERT_TRUE(write_file_atomic(dir_ / "p.toml", "name = \"x\"\nwork = \"" + dir_.string() +
                                                     "\"\n[[step]]\ncommand = \"status\"\nstore = \"{work}/none\"\n"));
  const auto missing = run_cli({"run", (dir_ / "p.toml").string()});
  EXPECT_EQ(missing.rc, 10);
  EXPECT_THAT(missing.err, HasSubstr("step 1 (status)"));
}

TEST(Table, FitsTheTerminal) {
  std::vector<std::vector<TableCell>> rows;
  rows.push_back({{"t01 a very long name of a task that goes on and on and on", false},
                  {"label", false},
                  {"123456", true},
                  {"0.912", true}});
  const std::string text = format_table({"task", "kind", "calls", "tuned"}, rows, 40);
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const auto width = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
    EXPECT_LE(width, 40) << line;
  }
  EXPECT_THAT(text, HasSubstr("…"));
  EXPECT_THAT(text, HasSubstr("123456"));
}

}  // namespace
}  // namespace slm::cli
