#include "evaluate/gate.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/file.h"

namespace slm::evaluate {
namespace {

TaskEvaluation task(std::string id, std::string verdict, double base, double tuned, double bound) {
  TaskEvaluation out;
  out.task.value = std::move(id);
  out.name = "name of " + out.task.value;
  out.verdict = std::move(verdict);
  out.reason = "because";
  out.n = 100;
  out.base.emplace().exact = base;
  out.tuned.emplace().exact = tuned;
  out.bound = bound;
  out.loss = 1 - tuned;
  return out;
}

Evaluation sample() {
  Evaluation out;
  out.tasks = {task("t01", "replace", 0.3, 0.97, 0.06), task("t02", "keep", 0.3, 0.5, 0.6),
               task("t03", "need_more", 0.3, 0.95, 0.12)};
  TaskEvaluation open;
  open.task.value = "t04", open.verdict = "not_measurable", open.reason = "free <text> & more";
  out.tasks.push_back(open);
  out.timings.resize(4);
  return out;
}

class GateFile : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  Result<Gate> read(std::string_view text) {
    EXPECT_TRUE(write_file_atomic(path_, text));
    return read_gate(path_);
  }
  Result<ErrorCode> check(std::string_view text) {
    SLM_TRY(const Gate gate, read(text));
    SLM_TRY(const GateResult result, check_gate(gate, sample()));
    return result.code();
  }
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("slmconv_gate_" + std::to_string(getpid()) + ".toml");
};

TEST_F(GateFile, Met) {
  EXPECT_EQ(check("replace_at_least = 1\n[task.t01]\ntuned = 0.9\ngain = 0.2\nbound = 0.1\nverdict = \"replace\"\n"),
            ErrorCode::kOk);
  EXPECT_EQ(check("[task.\"name of t02\"]\nverdict = \"keep\"\n"), ErrorCode::kOk);
  EXPECT_EQ(check(""), ErrorCode::kOk);
}

TEST_F(GateFile, NotMet) {
  EXPECT_EQ(check("[task.t01]\ntuned = 0.98\n"), ErrorCode::kQualityGate);
  EXPECT_EQ(check("[task.t01]\ngain = 0.7\n"), ErrorCode::kQualityGate);
  EXPECT_EQ(check("[task.t02]\nbound = 0.1\n"), ErrorCode::kQualityGate);
  EXPECT_EQ(check("[task.t02]\nverdict = \"replace\"\n"), ErrorCode::kQualityGate);
  EXPECT_EQ(check("[all]\ntuned = 0.9\n"), ErrorCode::kQualityGate);
  EXPECT_EQ(check("replace_at_least = 3\n"), ErrorCode::kQualityGate) << "one replaced, one open: three can't be";
}

TEST_F(GateFile, EvidenceInsufficient) {
  EXPECT_EQ(check("[task.t03]\nverdict = \"replace\"\n"), ErrorCode::kInsufficientEvidence);
  EXPECT_EQ(check("[task.t03]\nbound = 0.1\n"), ErrorCode::kInsufficientEvidence);
  EXPECT_EQ(check("[task.t04]\ntuned = 0.1\n"), ErrorCode::kInsufficientEvidence);
  EXPECT_EQ(check("replace_at_least = 2\n"), ErrorCode::kInsufficientEvidence);
  EXPECT_EQ(check("[all]\nverdict = \"replace\"\n"), ErrorCode::kQualityGate) << "an unmet check outweighs an open one";
}

TEST_F(GateFile, MoreCallsWontHelpIsNotInsufficientEvidence) {
  const auto gate = read("[task.t03]\nverdict = \"replace\"\n");
  ASSERT_TRUE(gate);
  Evaluation evaluation = sample();
  evaluation.tasks[2].hopeless = true;
  EXPECT_EQ(check_gate(*gate, evaluation)->code(), ErrorCode::kQualityGate);
}

TEST_F(GateFile, AllLeavesOutWhatHasItsOwnTableAndWhatCannotBeMeasured) {
  EXPECT_EQ(check("[all]\ntuned = 0.9\n[task.t02]\nverdict = \"keep\"\n"), ErrorCode::kOk);
}

TEST_F(GateFile, BrokenFiles) {
  for (const std::string_view text :
       {"tuned = 0.9\n", "[all]\ntunde = 0.9\n", "[all]\ntuned = 90\n", "[all]\ntuned = \"high\"\n",
        "[all]\nverdict = \"maybe\"\n", "replace_at_least = -1\n", "replace_at_least = \"3\"\n", "task = 3\n",
        "[all\n"}) {
    const auto gate = read(text);
    ASSERT_FALSE(gate) << text;
    EXPECT_EQ(gate.error().code, ErrorCode::kBadInput) << text;
  }
  EXPECT_EQ(check("[task.t99]\ntuned = 0.9\n").error().code, ErrorCode::kBadInput);
  EXPECT_EQ(read_gate("/nonexistent/gate.toml").error().code, ErrorCode::kIo);
}

TEST(Junit, OneCaseATask) {
  const std::string xml = junit_xml(sample(), std::nullopt);
  EXPECT_NE(xml.find("tests=\"4\" failures=\"1\" skipped=\"2\""), std::string::npos) << xml;
  EXPECT_NE(xml.find("free &lt;text&gt; &amp; more"), std::string::npos);
  EXPECT_EQ(xml.find("free <text>"), std::string::npos);
}

TEST(Junit, OneCaseACheck) {
  GateResult gate;
  gate.checks = {{"t01", "tuned", CheckState::kMet, ""}, {"t02", "tuned", CheckState::kUnmet, "0.5 \"low\""}};
  const std::string xml = junit_xml(sample(), gate);
  EXPECT_NE(xml.find("tests=\"2\" failures=\"1\" skipped=\"0\""), std::string::npos) << xml;
  EXPECT_NE(xml.find("<failure message=\"0.5 &quot;low&quot;\"/>"), std::string::npos);
}

TEST(Artifact, TasksReadBack) {
  TaskEvaluation full = task("t01", "replace", 0.3, 0.97, -0.06);
  full.kind = score::TaskKind::kToolCall, full.agreement = false, full.b = 3, full.c = 5, full.loss = -0.02;
  full.llm = full.tuned, full.majority = full.base, full.nearest = full.base;
  full.p_replace = 1e-9, full.p_keep = 1, full.level = 0.03, full.keep_bound = -0.2, full.need = 12,
  full.hopeless = true;
  full.p_base = 0.1, full.p_majority = 0.2, full.p_nearest = 0.3, full.fallback_share = 0.04, full.n_unanswered = 2;
  full.n_train = 900, full.look = 2, full.candidate = "c", full.units = "u", full.tested_in = "e1", full.barrier = "e0";
  full.adapter = "a", full.base_model = "m";
  for (const TaskEvaluation& one : {full, TaskEvaluation()}) {
    const json::object out = to_json(one);
    const auto again = task_evaluation_from_json(parse_json(canonical_json(out)).value());
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(canonical_json(to_json(*again)), canonical_json(out));
  }
  TaskTiming timing;
  timing.latency_ms = 3, timing.saving_usd = -2;
  EXPECT_EQ(canonical_json(to_json(task_timing_from_json(to_json(timing)))), canonical_json(to_json(timing)));
  EXPECT_FALSE(task_evaluation_from_json(json::object{{"task", "t"}, {"kind", "poem"}, {"n", 1}}));
}

}  // namespace
}  // namespace slm::evaluate
