// finetune and models export as a person uses them: dry run, unchanged, Ctrl-C and --resume, who may, what lies on
// disk.
#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "core/file.h"
#include "core/progress.h"
#include "tiny_pipeline.h"

namespace slm::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class FinetuneCommand : public TinyPipeline {
 protected:
  void TearDown() override { interrupt_flag() = false; }
  static fs::path artefacts() { return root_ / "store" / "artifacts" / "finetune"; }
};

TEST_F(FinetuneCommand, DryRunSaysWhatItWouldDoAndTrainsNothing) {
  const Ran ran = run({"finetune", "--all", "--lora", "--rank", "3", "--dry-run"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  const auto plans = rows(ran);
  ASSERT_EQ(plans.size(), 1u);  // the open-ended task is left out
  EXPECT_GT(*get_int(plans[0], "examples"), 50);
  EXPECT_GT(*get_int(plans[0], "tokens"), *get_int(plans[0], "trained"));
  EXPECT_GT(*get_number(plans[0], "GB"), 0);
  EXPECT_THAT(std::string(get_string(plans[0], "mask")), testing::MatchesRegex("-[0-9]+ \\+[0-9]+"));
  EXPECT_EQ(get_bool(ran.last(), "changed"), false);
  int64_t n = *get_int(ran.last(), "n_out");
  for (const auto& reason : *get_object(ran.last(), "dropped")) n += reason.value().as_int64();
  EXPECT_EQ(n, get_int(ran.last(), "n_in"));
}

TEST_F(FinetuneCommand, TheSameSettingsAgainAreUnchanged) {
  const Ran ran = run({"finetune", "--all", "--lora", "--rank", "2", "--max-steps", "2", "--dtype", "float32"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  EXPECT_EQ(get_bool(ran.last(), "changed"), false);
}

TEST_F(FinetuneCommand, CtrlCLeavesASealedCheckpointThatResumeGoesOnFrom) {
  const std::string task = label_task();
  const std::vector<std::string> settings = {"finetune",    task,      "--lora",   "--rank", "2",
                                             "--max-steps", "300",     "--epochs", "1000",   "--validations",
                                             "0",           "--dtype", "float32",  "--lr",   "1e-3"};
  std::thread ctrl_c([] {
    // Training has begun when the checkpoint's folder has something to hold; before that an interrupt leaves nothing.
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    interrupt_flag() = true;
  });
  const Ran stopped = run(settings);
  ctrl_c.join();
  interrupt_flag() = false;
  ASSERT_EQ(stopped.rc, 130) << stopped.out;
  EXPECT_THAT(stopped.out, HasSubstr("--resume"));
  auto again = settings;
  again.emplace_back("--resume");
  const Ran resumed = run(again);
  ASSERT_EQ(resumed.rc, 0) << resumed.out;
  EXPECT_EQ(get_bool(resumed.last(), "changed"), true);
  EXPECT_EQ(get_int(rows(resumed).at(0), "steps"), 300);
  EXPECT_FALSE(fs::exists(artefacts() / ("checkpoint." + task)));
}

TEST_F(FinetuneCommand, NoTaskNoMethodNoSuchTask) {
  EXPECT_EQ(run({"finetune", "--lora"}).rc, 2);
  EXPECT_EQ(run({"finetune", "--all"}).rc, 2);
  const Ran ran = run({"finetune", "t99", "--lora"});
  EXPECT_EQ(ran.rc, 20);
  EXPECT_THAT(ran.out, HasSubstr("t99"));
  EXPECT_EQ(run({"finetune", "--all", "--lora", "--targets", "w_proj"}).rc, 2);
}

TEST_F(FinetuneCommand, OnlyATrainerMay) {
  const Ran ran = run_cli({"--json", "--store", (root_ / "store").string(), "--identity",
                           (root_ / "keys" / "collector.key").string(), "finetune", "--all", "--lora"});
  EXPECT_EQ(ran.rc, 12) << ran.out;
}

TEST_F(FinetuneCommand, AdaptersLieSealedAndExportWritesAPeftDirectory) {
  for (const auto& entry : fs::recursive_directory_iterator(artefacts())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(read_file(entry.path())->find("lora_A"), std::string::npos) << entry.path();
  }
  const fs::path out = root_ / "peft";
  const Ran ran = run({"models", "export", label_task(), "--out", out.string()});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  EXPECT_TRUE(fs::exists(out / "adapter_config.json"));
  EXPECT_NE(read_file(out / "adapter_model.safetensors")->find("lora_A"), std::string::npos);
  EXPECT_EQ(run({"models", "export", label_task(), "--out", out.string()}).rc, 2);
  EXPECT_EQ(run({"models", "export", "t99", "--out", (root_ / "none").string()}).rc, 21);
  EXPECT_FALSE(fs::exists(root_ / "none"));
}

TEST_F(FinetuneCommand, StatusAndReportsKnowTheTasks) {
  const Ran tasks = run({"report", "tasks"});
  ASSERT_EQ(tasks.rc, 0);
  EXPECT_EQ(rows(tasks).size(), 2u);
  const Ran calls = run({"report", "calls"});
  ASSERT_EQ(calls.rc, 0);
  EXPECT_EQ(rows(calls).size(), 200u);
  EXPECT_THAT(calls.out, testing::Not(HasSubstr("parcel")));
  EXPECT_EQ(run({"status"}).rc, 0);
  const fs::path out = root_ / "report";
  const Ran report = run({"report", "--out", out.string()});
  ASSERT_EQ(report.rc, 0) << report.out;
  const auto summary = read_json_file(out / "summary.json");
  ASSERT_TRUE(summary);
  const auto valid = validate_json(*summary, "schemas/summary.schema.json");
  EXPECT_TRUE(valid) << valid.error().message;
  EXPECT_EQ(read_file(out / "report.html")->find("parcel"), std::string::npos);
}

}  // namespace
}  // namespace slm::cli
