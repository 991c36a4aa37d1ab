// cluster as a trainer uses it: roles, exit codes, the table, the summary, what no file may hold.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/file.h"
#include "store/store.h"
#include "support/cli_run.h"
#include "support/interrupting.h"

namespace slm::cli {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

constexpr const char* kPlanted = "xylograph";  // a word of one session's text

std::string log_line(int i) {
  const bool fields = i % 2 == 0;
  const std::string user = fmt::format("{} number {} about the {}", fields ? "order" : "parcel", i * 37 % 1009,
                                       i == 40      ? kPlanted
                                       : i % 3 == 0 ? "kettle"
                                                    : "garden hose");
  const std::string answer =
      fields ? fmt::format("{{\"order\": {}}}", i * 37 % 1009) : std::string(i % 4 == 1 ? "late" : "lost");
  const json::object request = {
      {"model", "gpt-4o"},
      {"messages", json::array{json::object{{"role", "system"},
                                            {"content", fields ? "Write the fields of the order as JSON."
                                                               : "Say late or lost, by the rules of the house."}},
                               json::object{{"role", "user"}, {"content", user}}}}};
  const json::object response = {
      {"model", "gpt-4o"},
      {"choices",
       json::array{json::object{
           {"index", 0}, {"message", {{"role", "assistant"}, {"content", answer}}}, {"finish_reason", "stop"}}}},
      {"usage", {{"prompt_tokens", 30}, {"completion_tokens", 3}, {"total_tokens", 33}}}};
  return json::serialize(json::object{{"timestamp", 1'760'000'000 + i * 60},
                                      {"workload_id", fields ? "fields" : "late-or-lost"},
                                      {"session_id", fmt::format("s{}", i / 4)},
                                      {"request", request},
                                      {"response", response}}) +
         "\n";
}

class ClusterCliTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    unsetenv("SLMCONV_STORE");
    unsetenv("SLMCONV_IDENTITY");
    dir_ = fs::temp_directory_path() / fmt::format("slm_cluster_cli_test_{}", getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    setenv("XDG_STATE_HOME", (dir_ / "state").c_str(), 1);
    std::string log;
    for (int i = 0; i < 160; ++i) log += log_line(i);
    EXPECT_EQ(slm({"init", (dir_ / "store").string(), "--keys", (dir_ / "keys").string()}).rc, 0);
    EXPECT_EQ(slm({"collect", "-"}, log).rc, 0);
    EXPECT_EQ(slm({"scrub", "--keep-duplicates"}).rc, 0);
  }
  static void TearDownTestSuite() { fs::remove_all(dir_); }
  void SetUp() override { interrupt_flag() = false; }
  static Ran slm(std::vector<std::string> args, const std::string& input = {}, bool as_json = true) {
    std::vector<std::string> all = {"--store", (dir_ / "store").string(), "--identity", (dir_ / "keys").string()};
    if (as_json) all.emplace_back("--json");
    all.insert(all.end(), args.begin(), args.end());
    return run_cli(all, input);
  }
  static fs::path dir_;
};
fs::path ClusterCliTest::dir_;

TEST_F(ClusterCliTest, FindsTheTasksAndSaysSo) {
  const auto ran = slm({"cluster", "--k", "auto", "--seed", "7"});
  ASSERT_EQ(ran.rc, 0) << ran.out << ran.err;
  const auto summary = ran.last();
  EXPECT_EQ(summary.at("command").as_string(), "cluster");
  EXPECT_EQ(summary.at("n_in").as_int64(), 160);
  EXPECT_EQ(summary.at("n_out").as_int64(), 160);
  EXPECT_TRUE(summary.at("changed").as_bool());
  std::map<std::string, json::object> tasks;
  for (const auto& line : ran.lines())
    if (get_string(line.as_object(), "message_type") == "result")
      tasks.emplace(get_string(line.as_object(), "name"), line.as_object());
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_EQ(get_string(tasks.at("fields"), "kind"), "json");
  EXPECT_EQ(get_string(tasks.at("late-or-lost"), "kind"), "label");
  EXPECT_EQ(get_int(tasks.at("fields"), "n_calls"), 80);
  EXPECT_FALSE(slm({"cluster", "--seed", "7"}).last().at("changed").as_bool());
  // What was made from text is sealed: no file of the store shows it.
  for (const auto& entry : fs::recursive_directory_iterator(dir_ / "store"))
    if (entry.is_regular_file()) {
      const auto content = read_file(entry.path()).value();
      EXPECT_THAT(content, Not(HasSubstr(kPlanted))) << entry.path();
      EXPECT_THAT(content, Not(HasSubstr("garden hose"))) << entry.path();
    }
}

TEST_F(ClusterCliTest, TheTableFitsATerminal) {
  const auto ran = slm({"cluster", "--k", "3"}, {}, false);
  ASSERT_EQ(ran.rc, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("late-or-lost"));
  EXPECT_THAT(ran.out, HasSubstr("outliers"));
  std::istringstream lines(ran.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 82u) << line;  // "…" is three bytes
}

TEST_F(ClusterCliTest, BadInputsHaveTheirExitCodes) {
  const auto too_many = slm({"cluster", "--k", "5000"});
  EXPECT_EQ(too_many.rc, 20);
  EXPECT_THAT(too_many.out, HasSubstr("5000"));
  EXPECT_THAT(too_many.out, HasSubstr("160 calls"));
  for (const char* k : {"0", "-3", "many", "3x", ""}) EXPECT_EQ(slm({"cluster", "--k", k}).rc, 2) << k;
  EXPECT_EQ(slm({"cluster", "--bogus"}).rc, 2);
  EXPECT_EQ(slm({"cluster", "--sample", "0"}).rc, 2);
  EXPECT_EQ(slm({"cluster", "--tasks", (dir_ / "none.toml").string()}).rc, 2);
  std::ofstream(dir_ / "tasks.toml") << "[t01]\nrename = \"x\"\n";
  EXPECT_EQ(slm({"cluster", "--tasks", (dir_ / "tasks.toml").string()}).rc, 20);
  EXPECT_EQ(run_cli({"--store", (dir_ / "nothing").string(), "cluster"}).rc, 10);
  EXPECT_EQ(run_cli({"cluster"}).rc, 2);
}

TEST_F(ClusterCliTest, OnlyATrainerMayLook) {
  for (const char* role : {"collector", "auditor"}) {
    const auto ran = run_cli({"--store", (dir_ / "store").string(), "--identity",
                              (dir_ / "keys" / (std::string(role) + ".key")).string(), "cluster"});
    EXPECT_EQ(ran.rc, 12) << role << ran.err;
  }
}

TEST_F(ClusterCliTest, CtrlCWhileFittingLeavesNothingBehind) {
  const auto files = [] {
    std::set<std::string> out;
    for (const auto& entry : fs::recursive_directory_iterator(dir_ / "store" / "artifacts"))
      out.insert(entry.path().string() +
                 (entry.is_regular_file() ? ' ' + std::to_string(entry.file_size()) : std::string()));
    return out;
  };
  const auto before = files();
  std::istringstream in;
  test::InterruptAt watched("fitting on");
  std::ostream out(&watched);
  std::ostringstream err;
  const auto clock = system_clock();
  const auto random = os_random();
  const int rc = run_command_line({"--json", "--store", (dir_ / "store").string(), "--identity",
                                   (dir_ / "keys").string(), "cluster", "--k", "7", "--seed", "99"},
                                  {in, out, err, false, 80}, *clock, *random);
  interrupt_flag() = false;
  EXPECT_EQ(rc, 130) << watched.str();
  EXPECT_THAT(watched.str(), Not(HasSubstr("assigning")));
  EXPECT_EQ(files(), before);
}

TEST_F(ClusterCliTest, ADamagedMapSaysTheWayOut) {
  ASSERT_EQ(slm({"cluster", "--k", "2"}).rc, 0);
  for (const auto& entry : fs::recursive_directory_iterator(dir_ / "store" / "artifacts" / "cluster")) {
    if (entry.path().filename() != "map.bin") continue;
    auto content = read_file(entry.path()).value();
    content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
    ASSERT_TRUE(write_file_atomic(entry.path(), content));
  }
  const auto refused = slm({"cluster", "--k", "3"});
  EXPECT_EQ(refused.rc, 14) << refused.out;
  EXPECT_THAT(refused.out, HasSubstr("slmconv cluster --anew"));
  const auto anew = slm({"cluster", "--k", "3", "--anew"});
  ASSERT_EQ(anew.rc, 0) << anew.out;
  EXPECT_THAT(anew.out, HasSubstr("starting without the earlier task map"));
  EXPECT_EQ(slm({"cluster", "--k", "2"}).rc, 0);
}

}  // namespace
}  // namespace slm::cli
