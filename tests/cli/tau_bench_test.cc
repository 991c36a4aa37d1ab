// Real agent trajectories from import to tasks, each step with its own role's key file. Skipped without the data.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>

#include "support/cli_run.h"

namespace slm::cli {
namespace {

namespace fs = std::filesystem;

int64_t number(const json::object& object, std::string_view key) { return get_int(object, key).value_or(-1); }

TEST(TauBench, FromImportToTasksAsTheProperRoles) {
  const fs::path log = fs::path(SLM_SOURCE_DIR) / "../shared/data/agent-logs/tau-bench-airline-gpt4o.json";
  if (!fs::exists(log)) GTEST_SKIP() << "no " << log;
  const fs::path dir = fs::temp_directory_path() / ("slm_tau_test_" + std::to_string(getpid()));
  fs::remove_all(dir);
  const std::string store = (dir / "store").string(), keys = (dir / "keys").string();
  ASSERT_EQ(run_cli({"init", store, "--keys", keys}).rc, 0);
  auto as = [&](const std::string& role, std::vector<std::string> args) {
    args.insert(args.begin(), {"--json", "--store", store, "--identity", keys + "/" + role + ".key"});
    return run_cli(args);
  };

  const auto first = as("collector", {"collect", log.string()});
  ASSERT_EQ(first.rc, 0) << first.out;
  EXPECT_EQ(number(first.last(), "n_in"), 2454);
  EXPECT_EQ(number(first.last(), "n_out"), 2454);
  const auto second = as("collector", {"collect", log.string()});
  EXPECT_EQ(number(second.last(), "n_out"), 0);
  EXPECT_EQ(second.last().at("changed").as_bool(), false);

  // A step of another role is refused by its key.
  EXPECT_EQ(as("collector", {"scrub"}).rc, 12);
  EXPECT_EQ(as("trainer", {"scrub"}).rc, 12);

  const auto scrub = as("curator", {"scrub"});
  ASSERT_EQ(scrub.rc, 0) << scrub.out;
  const auto kept = scrub.last();
  EXPECT_EQ(number(kept, "n_in"), 2454);
  int64_t sum = number(kept, "n_out");
  for (const auto& item : kept.at("dropped").as_object()) sum += item.value().as_int64();
  EXPECT_EQ(sum, 2454);

  EXPECT_EQ(as("curator", {"cluster", "--k", "auto"}).rc, 12);
  const auto cluster = as("trainer", {"cluster", "--k", "auto"});
  ASSERT_EQ(cluster.rc, 0) << cluster.out;
  EXPECT_GT(number(cluster.last().at("dropped").as_object(), "human_facing"), 1000);

  // Four trials of each of fifty cases: one group and one side for each case.
  const auto calls = as("trainer", {"report", "calls"});
  ASSERT_EQ(calls.rc, 0);
  std::map<std::string, std::set<std::string>> sides_of_group;
  int64_t n_rows = 0;
  for (const auto& line : calls.lines()) {
    const auto& row = line.as_object();
    if (get_string(row, "message_type") != "result") continue;
    ++n_rows;
    sides_of_group[std::string(get_string(row, "group"))].insert(std::string(get_string(row, "split")));
  }
  EXPECT_EQ(n_rows, number(kept, "n_out"));
  EXPECT_EQ(sides_of_group.size(), 50u);
  std::set<std::string> sides;
  for (const auto& [group, of] : sides_of_group) {
    EXPECT_EQ(of.size(), 1u) << "a case lies on two sides";
    sides.insert(of.begin(), of.end());
  }
  EXPECT_EQ(sides.size(), 3u);
  fs::remove_all(dir);
}

}  // namespace
}  // namespace slm::cli
