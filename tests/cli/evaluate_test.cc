// evaluate as a person and a cron job use it: table, summary, gate, JUnit, errors shown, who may.
#include <gmock/gmock.h>

#include "core/file.h"
#include "tiny_pipeline.h"

namespace slm::cli {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

class EvaluateCommand : public TinyPipeline {
 protected:
  static json::object row_of(const Ran& ran, const std::string& task) {
    for (const json::object& row : rows(ran))
      if (get_string(row, "task") == task) return row;
    return {};
  }
};

// Whatever the order of the tests, the first to run is the first look.
TEST_F(EvaluateCommand, ARandomModelIsKeptOut) {
  const Ran ran = run({"evaluate", "--delta", "0.1"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  const std::string task = label_task();
  ASSERT_NE(task, "");
  const json::object row = row_of(ran, task);
  EXPECT_EQ(get_string(row, "verdict"), "keep");
  EXPECT_EQ(get_bool(row, "agreement"), true);
  EXPECT_GT(*get_int(row, "n"), 20);
  EXPECT_LT(*get_number(*get_object(row, "tuned"), "exact"), 0.2);
  EXPECT_GT(*get_number(*get_object(row, "nearest"), "exact"), 0.9);
  EXPECT_GT(*get_number(row, "cost_usd"), 0);
  EXPECT_TRUE(row.at("saving_usd").is_null());
  EXPECT_GT(*get_number(row, "tokens_per_s"), 0);
  const json::object sum = ran.last();
  EXPECT_EQ(get_string(sum, "command"), "evaluate");
  int64_t n = *get_int(sum, "n_out");
  for (const auto& reason : *get_object(sum, "dropped")) n += reason.value().as_int64();
  EXPECT_EQ(n, get_int(sum, "n_in"));
  for (const json::object& other : rows(ran))
    if (get_string(other, "kind") == "open_text") {
      EXPECT_EQ(get_string(other, "verdict"), "not_measurable");
    }
  EXPECT_EQ(get_bool(run({"evaluate", "--delta", "0.1"}).last(), "changed"), false);
}

TEST_F(EvaluateCommand, TextTable) {
  const Ran ran = run({"evaluate", "--delta", "0.1"}, "", false);
  EXPECT_EQ(ran.rc, 0) << ran.err;
  for (const char* word : {"agreement", "keep", "not_measurable", "nearest"}) EXPECT_THAT(ran.out, HasSubstr(word));
  EXPECT_THAT(ran.out + ran.err, HasSubstr("measured on scrubbed text"));
}

TEST_F(EvaluateCommand, GateAndJunit) {
  const std::string task = label_task();
  const auto gate = [&](std::string_view text, int rc) {
    ASSERT_TRUE(write_file_atomic(root_ / "gate.toml", text));
    const Ran ran = run({"evaluate", "--delta", "0.1", "--gate", (root_ / "gate.toml").string(), "--junit",
                         (root_ / "j.xml").string()});
    EXPECT_EQ(ran.rc, rc) << text << ran.out;
  };
  gate("[all]\ntuned = 0.0\n", 0);
  EXPECT_THAT(read_file(root_ / "j.xml").value(), HasSubstr("failures=\"0\""));
  gate("[all]\ntuned = 0.9\n", 30);
  EXPECT_THAT(read_file(root_ / "j.xml").value(), HasSubstr("<failure"));
  gate("[all]\nverdict = \"replace\"\n", 30);
  gate(fmt::format("[task.{}]\nverdict = \"keep\"\n", task), 0);
  gate("replace_at_least = 1\n", 30);
  gate("[task.nobody]\ntuned = 0.1\n", 20);
  gate("tuned = 0.1\n", 20);
  for (const json::object& row : rows(run({"evaluate", "--delta", "0.1"})))
    if (get_string(row, "kind") == "open_text")
      gate(fmt::format("[task.{}]\nverdict = \"replace\"\n", get_string(row, "task")), 32);
}

TEST_F(EvaluateCommand, ErrorsAreShownOnlyWhenAskedFor) {
  const Ran silent = run({"evaluate", "--delta", "0.1"}, "", false);
  EXPECT_THAT(silent.out + silent.err, Not(HasSubstr("case")));
  const Ran shown = run({"evaluate", "--delta", "0.1", "--show-errors", "2"}, "", false);
  EXPECT_EQ(shown.rc, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("reference:"));
  EXPECT_THAT(shown.out, HasSubstr("today"));
}

// Last of those that share the store: it changes adapter and log.
TEST_F(EvaluateCommand, StatusAndReportKnowWhatIsOutdated) {
  const auto state_of = [](const Ran& status, std::string_view step) {
    for (const json::object& row : rows(status))
      if (get_string(row, "step") == step) return std::string(get_string(row, "state"));
    return std::string();
  };
  const auto verdict = [&] {
    const fs::path out = root_ / "report";
    EXPECT_EQ(run({"report", "--out", out.string()}).rc, 0);
    const auto summary = read_json_file(out / "summary.json");
    for (const json::value& task : summary->at("tasks").as_array())
      if (task.at("task").as_string() == label_task()) return std::string(task.at("verdict").as_string());
    return std::string();
  };
  ASSERT_EQ(run({"evaluate", "--delta", "0.1"}).rc, 0);
  Ran status = run({"status"});
  for (const char* step : {"collect", "scrub", "cluster", "select", "finetune", "evaluate"})
    EXPECT_EQ(state_of(status, step), "done") << step;
  EXPECT_EQ(get_string(status.last(), "next"), "");
  EXPECT_EQ(verdict(), "keep");

  ASSERT_EQ(run({"finetune", "--all", "--lora", "--rank", "2", "--max-steps", "3", "--dtype", "float32"}).rc, 0);
  status = run({"status"});
  EXPECT_EQ(state_of(status, "evaluate"), "outdated");
  EXPECT_EQ(get_string(status.last(), "next"), "slmconv evaluate");
  EXPECT_EQ(verdict(), "not_evaluated") << "the adapter that is there was never tested";

  ASSERT_EQ(run({"collect", "-"}, log_line(1000)).rc, 0);
  status = run({"status"});
  EXPECT_EQ(state_of(status, "scrub"), "outdated");
  EXPECT_EQ(get_string(status.last(), "next"), "slmconv scrub");
}

TEST_F(EvaluateCommand, BadInput) {
  EXPECT_EQ(run({"evaluate", "--delta", "1.5"}).rc, 2);
  EXPECT_EQ(run({"evaluate", "--delta", "0.1", "--tasks", "nobody"}).rc, 20);
  EXPECT_EQ(run({"evaluate", "--gate", "/nonexistent.toml"}).rc, 2);
  EXPECT_EQ(run_cli({"--store", (root_ / "none").string(), "evaluate"}).rc, 10);
  for (const char* role : {"collector", "curator", "auditor", "admin"})
    EXPECT_EQ(run_cli({"--store", (root_ / "store").string(), "--identity",
                       (root_ / "keys" / (std::string(role) + ".key")).string(), "evaluate", "--delta", "0.1"})
                  .rc,
              12)
        << role;
}

}  // namespace
}  // namespace slm::cli
