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
  static bool has_torch() { return run_cli({"run"}).err.find("unknown command") == std::string::npos; }
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
  if (!has_torch()) GTEST_SKIP() << "this build has no run: it was made without libtorch";
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

TEST_F(AppTest, AMissingInputIsAUsageErrorInOneSentence) {
  const std::string none = (dir_ / "none").string(), folder = dir_.string();
  std::vector<std::vector<std::string>> lines = {
      {"collect", "--dry-run", none},  {"collect", "--dry-run", none + "/*.jsonl"},
      {"scrub", "--try", none},        {"scrub", "--rules", none},
      {"scrub", "--answer-key", none}, {"cluster", "--tasks", none},
      {"cluster", "--prices", none},   {"--config", none, "status"}};
  if (has_torch())
    lines.insert(lines.end(), {{"run", none},
                               {"select", "--catalogue", none},
                               {"select", "--model", none},
                               {"finetune", "--all", "--lora", "--base", none},
                               {"evaluate", "--gate", none},
                               {"evaluate", "--prices", none},
                               {"models", "add", none},
                               {"models", "check", none},
                               {"models", "show", none},
                               {"models", "tokenize", folder, none},
                               {"models", "render", folder, none},
                               {"models", "generate", none, "-"},
                               {"models", "generate", folder, "-", "--adapter", none}});
  for (const auto& line : lines) {
    const Ran ran = run_cli(line);
    EXPECT_EQ(ran.rc, 2) << testing::PrintToString(line);
    EXPECT_THAT(ran.err, HasSubstr("no such file or folder: " + none));
  }
  EXPECT_THAT(run_cli({"scrub", "--rules", folder}).err, HasSubstr(folder + " is a folder, not a file"));
}

TEST_F(AppTest, APipelineIsReadWholeBeforeItsFirstStep) {
  if (!has_torch()) GTEST_SKIP() << "this build has no run: it was made without libtorch";
  const std::string first = "name = \"x\"\nwork = \"" + (dir_ / "work").string() +
                            "\"\n[[step]]\ncommand = \"init\"\npaths = [\"{work}/store\"]\nkeys = \"{work}/keys\"\n";
  const auto run_with = [&](const std::string& steps) {
    EXPECT_TRUE(write_file_atomic(dir_ / "p.toml", first + steps));
    return run_cli({"run", (dir_ / "p.toml").string()});
  };
  for (const char* step : {"command = \"scrubb\"\n", "command = \"scrub\"\nvalidatoin = 0.1\n",
                           "command = \"scrub\"\nvalidation = 3\n", "command = \"scrub\"\nhelp = true\n"}) {
    const Ran ran = run_with(std::string("[[step]]\n") + step);
    EXPECT_EQ(ran.rc, 2) << step;
    EXPECT_THAT(ran.err, HasSubstr("step 2 (scrub"));
    EXPECT_FALSE(fs::exists(dir_ / "work")) << "the first step ran before " << step;
  }
  // A file that an earlier step may make is looked for only when its step is reached.
  const Ran late = run_with("[[step]]\ncommand = \"scrub\"\nstore = \"{work}/store\"\nrules = \"{work}/r.toml\"\n");
  EXPECT_EQ(late.rc, 2);
  EXPECT_THAT(late.err, HasSubstr("step 2 (scrub): --rules: no such file or folder: "));
  EXPECT_TRUE(fs::exists(dir_ / "work" / "store"));
}

TEST_F(AppTest, HelpShowsExamplesThatParse) {
  std::vector<std::string> commands = {"init", "collect", "scrub", "cluster"};
  if (has_torch()) commands.insert(commands.end(), {"select", "finetune", "evaluate", "run", "report"});
  for (const auto& command : commands) {
    const Ran ran = run_cli({command, "--help"});
    const size_t at = ran.out.find("Examples:\n");
    ASSERT_NE(at, std::string::npos) << command;
    std::istringstream in(ran.out.substr(at));
    std::string line;
    std::getline(in, line);
    int n = 0;
    while (std::getline(in, line) && line.starts_with("  ")) {
      line = line.substr(0, line.find("  # "));
      const size_t program = line.rfind("slmconv ", line.find(" | jq"));
      ASSERT_NE(program, std::string::npos) << line;
      std::istringstream words(line.substr(program, line.find(" | jq") - program));
      std::string word;
      words >> word;
      std::vector<std::string> args;
      while (words >> word) args.push_back(word);
      Context parent;
      const auto clock = system_clock();
      const auto random = os_random();
      std::istringstream nothing;
      parent.clock = clock.get();
      parent.random = random.get();
      parent.in = &nothing;
      const auto checked = check_command_line(args, parent);
      EXPECT_TRUE(checked.has_value()) << line << ": " << checked.error().message;
      ++n;
    }
    EXPECT_GE(n, 1) << command;
  }
}

TEST(Table, ALongTableComesInPieces) {
  TableWidths widths;
  const std::vector<std::string> header = {"id", "n"};
  EXPECT_EQ(format_rows(header, {{{"a", false}, {"10", true}}}, 80, widths), "id   n\na   10\n");
  EXPECT_EQ(format_rows(header, {{{"b", false}, {"7", true}}}, 80, widths), "b    7\n");
  EXPECT_EQ(format_rows(header, {{{"long", false}, {"1000", true}}}, 80, widths), "long  1000\n");
  EXPECT_EQ(format_rows(header, {{{"c", false}, {"8", true}}}, 80, widths), "c        8\n");
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
