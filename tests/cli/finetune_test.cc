// finetune and models export as a person uses them: dry run, unchanged, Ctrl-C and --resume, who may, what lies on
// disk.
#include <gmock/gmock.h>

#include <sys/wait.h>

#include <cstdlib>
#include <sstream>

#include "core/file.h"
#include "nn/gguf.h"
#include "schema/manifest.h"
#include "support/interrupting.h"
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
  EXPECT_THAT(std::string(get_string(plans[0], "mask")),
              testing::MatchesRegex("-[0-9]+: .*<.im_end.> [0-9]+ <.im_start.> [0-9]+ . .[0-9]+: [0-9]+ <.im_end.>"));
  EXPECT_EQ(get_bool(ran.last(), "changed"), false);
  int64_t n = *get_int(ran.last(), "n_out");
  for (const auto& reason : *get_object(ran.last(), "dropped")) n += reason.value().as_int64();
  EXPECT_EQ(n, get_int(ran.last(), "n_in"));
}

TEST_F(FinetuneCommand, ADryRunForPeopleShowsTheMasksBelowTheTable) {
  const Ran ran = run({"finetune", "--all", "--lora", "--rank", "3", "--dry-run"}, {}, false);
  ASSERT_EQ(ran.rc, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("special ones by name"));
  EXPECT_THAT(ran.out, HasSubstr("<|im_end|>"));
  for (const char* word : {"parcel", "invoice", "shipping", "Route"})
    EXPECT_THAT(ran.out, testing::Not(HasSubstr(word)));
}

TEST_F(FinetuneCommand, ADeviceThatIsNotThereIsSaidInALine) {
  for (const auto& [device, rc] : {std::pair("tpu", 2), {"cuda:x", 2}, {"cuda:99", 40}}) {
    const Ran ran = run({"finetune", "--all", "--lora", "--seed", "77", "--device", device});
    if (rc != 40 || !fs::exists("/dev/nvidia0")) {
      EXPECT_EQ(ran.rc, rc) << device << ran.out;
    }
    EXPECT_LT(ran.out.size(), 2000u) << ran.out;
  }
}

TEST_F(FinetuneCommand, NumbersOutOfRangeAreRefused) {
  for (const char* flag : {"--max-validation", "--max-steps", "--max-examples", "--patience", "--validations", "--clip",
                           "--alpha", "--checkpoint-every", "--epochs"})
    EXPECT_EQ(run({"finetune", "--all", "--lora", "--dry-run", flag, "-1"}).rc, 2) << flag;
  for (const char* flag : {"--alpha", "--epochs", "--batch"})
    EXPECT_EQ(run({"finetune", "--all", "--lora", "--dry-run", flag, "0"}).rc, 2) << flag;
}

TEST_F(FinetuneCommand, TheSameSettingsAgainAreUnchanged) {
  const Ran ran = run({"finetune", "--all", "--lora", "--rank", "2", "--max-steps", "2", "--dtype", "float32"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  EXPECT_EQ(get_bool(ran.last(), "changed"), false);
}

TEST_F(FinetuneCommand, CtrlCLeavesASealedCheckpointThatResumeGoesOnFrom) {
  const std::string task = label_task();
  const auto command = [&](const fs::path& store) -> std::vector<std::string> {
    return {"--json",      "--store", store.string(), "--identity", (root_ / "keys").string(),
            "finetune",    task,      "--lora",       "--rank",     "2",
            "--max-steps", "120",     "--epochs",     "1000",       "--validations",
            "8",           "--dtype", "float32",      "--lr",       "1e-3",
            "--patience",  "0"};
  };
  // The same store, where nobody interrupts.
  const fs::path calm = root_ / "calm";
  fs::copy(root_ / "store", calm, fs::copy_options::recursive);
  const Ran straight = run_cli(command(calm));
  ASSERT_EQ(straight.rc, 0) << straight.out;
  const std::string adapter(get_string(rows(straight).at(0), "adapter"));

  auto other = command(calm);
  other.insert(other.end(), {"--seed", "9", "--resume"});
  EXPECT_THAT(run_cli(other).out, HasSubstr("no checkpoint to go on from, training starts anew"));

  std::istringstream in;
  test::InterruptAt watched("\"done\":50,");
  std::ostream out(&watched);
  std::ostringstream err;
  test::HastyClock clock;
  const auto random = os_random();
  const int rc = run_command_line(command(root_ / "store"), {in, out, err, false, 80}, clock, *random);
  interrupt_flag() = false;
  ASSERT_EQ(rc, 130) << watched.str() << err.str();
  EXPECT_THAT(watched.str(), HasSubstr("--resume"));
  const fs::path checkpoint = artefacts() / ("checkpoint." + task);
  ASSERT_TRUE(fs::is_regular_file(checkpoint));
  const std::string sealed = read_file(checkpoint).value();
  EXPECT_GT(sealed.size(), 10'000u);  // weights and both moments
  for (const char* word : {"lora_A", "q_proj", "identity", "optimiser_steps"})
    EXPECT_EQ(sealed.find(word), std::string::npos) << word;

  auto again = command(root_ / "store");
  again.emplace_back("--resume");
  std::ostringstream told;
  ASSERT_EQ(run_command_line(again, {in, told, err, false, 80}, clock, *random), 0) << told.str();
  EXPECT_THAT(told.str(), HasSubstr("going on from a checkpoint"));
  EXPECT_THAT(told.str(), HasSubstr("\"done\":51,"));
  EXPECT_THAT(told.str(), testing::Not(HasSubstr("\"done\":50,")));
  EXPECT_THAT(told.str(), HasSubstr("\"adapter\":\"" + adapter + '"')) << "not what an uninterrupted run makes";
  EXPECT_FALSE(fs::exists(checkpoint));
}

// As torchrun would start them. What one process trains alone is the measure.
TEST_F(FinetuneCommand, TwoProcessesTrainOneAdapterAndTheFirstOneWritesIt) {
  const fs::path alone = root_ / "alone", both = root_ / "both";
  fs::copy(root_ / "store", alone, fs::copy_options::recursive);
  fs::copy(root_ / "store", both, fs::copy_options::recursive);
  const std::string task = label_task();
  const auto line = [&](const fs::path& store, std::string_view more) {
    return fmt::format(
        "{} --json --store {} --identity {} finetune {} --lora --rank 2 --max-steps 6 --dtype float32 --seed 5 {}",
        SLM_PROGRAM, store.string(), (root_ / "keys").string(), task, more);
  };
  const auto start = [&](int rank, std::string_view more) {
    return fmt::format(
        "RANK={0} LOCAL_RANK={0} WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT={1} "
        "OMP_NUM_THREADS=1 {2} >{3}/rank{0} 2>&1",
        rank, 20000 + getpid() % 20000, line(both, more), root_.string());
  };
  const auto shell = [](const std::string& command) { return WEXITSTATUS(std::system(command.c_str())); };
  const auto figures = [](const fs::path& store) {
    std::vector<double> out;
    for (const auto& entry : fs::recursive_directory_iterator(store / "artifacts" / "finetune")) {
      if (entry.path().filename() != "metrics.jsonl") continue;
      const std::string text = read_file(entry.path()).value();
      if (text.find("\"step\":6,") == std::string::npos) continue;  // of the pipeline before
      std::istringstream in(text);
      for (std::string row; std::getline(in, row);)
        for (const char* key : {"loss", "validation_loss"})
          if (const auto x = get_number(json::parse(row).as_object(), key)) out.push_back(*x);
    }
    return out;
  };
  ASSERT_EQ(shell(line(alone, ">/dev/null 2>&1")), 0);
  const std::string pair = fmt::format("{} & {}; rc=$?; wait $!; [ $? = 0 ] && exit $rc", start(1, ""), start(0, ""));
  ASSERT_EQ(shell(pair), 0) << read_file(root_ / "rank0").value() << read_file(root_ / "rank1").value();
  const auto one = figures(alone), two = figures(both);
  ASSERT_EQ(one.size(), 12u);
  ASSERT_EQ(two.size(), one.size());
  for (size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(two[i], one[i], 1e-4) << i;
  const std::string first = read_file(root_ / "rank0").value(), second = read_file(root_ / "rank1").value();
  EXPECT_THAT(first, HasSubstr("\"changed\":true"));
  EXPECT_THAT(second, testing::Not(HasSubstr("summary")));

  // The second one is given other settings: both end, and say why.
  EXPECT_NE(shell(fmt::format("{} & {}; rc=$?; wait $!; exit $rc", start(1, "--clip 3"), start(0, "--clip 2"))), 0);
  EXPECT_THAT(read_file(root_ / "rank1").value(), HasSubstr("process 1 of 2: not the same settings or data"));
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

TEST_F(FinetuneCommand, ExportMergesIntoAModelOfItsOwn) {
  const fs::path out = root_ / "merged";
  const Ran ran = run({"models", "export", label_task(), "--out", out.string(), "--merged", "--dtype", "float32"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  EXPECT_TRUE(fs::exists(out / "tokenizer.model"));
  EXPECT_FALSE(fs::exists(out / "adapter_config.json"));
  EXPECT_EQ(run_cli({"--json", "models", "check", out.string()}).rc, 0);
  EXPECT_EQ(run({"models", "export", label_task(), "--out", (root_ / "x").string(), "--merged", "--dtype", "int4"}).rc,
            2);
}

// Logits of the models command, a row a position.
std::vector<std::vector<double>> logits_of(const std::vector<std::string>& args) {
  std::vector<std::string> all{"--json", "models", "logits"};
  all.insert(all.end(), args.begin(), args.end());
  all.insert(all.end(), {"--ids", "5,9,2,30,11", "--dtype", "float32"});
  const Ran ran = run_cli(all);
  EXPECT_EQ(ran.rc, 0) << ran.out;
  std::vector<std::vector<double>> out;
  const json::object last = ran.last();
  if (const auto* rows = get_array(last, "logits"))
    for (const auto& row : *rows) {
      out.emplace_back();
      for (const auto& x : row.as_array()) out.back().push_back(x.to_number<double>());
    }
  return out;
}
double largest_difference(const std::vector<std::vector<double>>& a, const std::vector<std::vector<double>>& b) {
  EXPECT_EQ(a.size(), b.size());
  double out = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    for (size_t j = 0; j < a[i].size(); ++j) out = std::max(out, std::abs(a[i][j] - b[i][j]));
  return out;
}

// In a store of its own, whose adapter may be another one afterwards.
class OtherMethods : public FinetuneCommand {
 protected:
  void SetUp() override {
    FinetuneCommand::SetUp();
    store_ = root_ / ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::copy(root_ / "store", store_, fs::copy_options::recursive);
  }
  Ran run_here(std::vector<std::string> args) const {
    args.insert(args.begin(), {"--json", "--store", store_.string(), "--identity", (root_ / "keys").string()});
    return run_cli(args);
  }
  Manifest manifest_of(const std::string& id) const {
    return read_manifest(store_ / "artifacts" / "finetune" / id).value();
  }
  std::string last_adapter(const Ran& ran) const { return std::string(get_string(rows(ran).at(0), "adapter")); }
  fs::path store_;
};

TEST_F(OtherMethods, AQloraIsMeasuredAndMergedOverItsQuantisedBase) {
  const Ran ran = run_here(
      {"finetune", label_task(), "--qlora", "--rank", "2", "--max-steps", "3", "--lr", "1e-2", "--dtype", "float32"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  EXPECT_EQ(get_string(manifest_of(last_adapter(ran)).config, "base_quantisation"), "nf4");
  EXPECT_EQ(run_here({"evaluate", "--tasks", label_task(), "--max-new-tokens", "4"}).rc, 0);

  const std::string peft = (store_ / "peft").string(), merged = (store_ / "merged").string(), base = base_.string();
  const Ran adapter = run_here({"models", "export", label_task(), "--out", peft});
  ASSERT_EQ(adapter.rc, 0) << adapter.out;
  EXPECT_THAT(std::string(get_string(adapter.last(), "base")), HasSubstr("NF4"));
  EXPECT_THAT(*read_file(fs::path(peft) / "README.md"), HasSubstr("load_in_4bit"));
  ASSERT_EQ(run_here({"models", "export", label_task(), "--out", merged, "--merged", "--dtype", "float32"}).rc, 0);
  EXPECT_THAT(*read_file(fs::path(merged) / "README.md"), HasSubstr("what quantisation left"));

  const fs::path gguf = store_ / "model.gguf";
  for (const char* kind : {"adapter", "base"})
    EXPECT_EQ(run_here({"models", "export", label_task(), "--out", gguf.string(), "--gguf", kind}).rc, 22) << kind;
  ASSERT_EQ(run_here({"models", "export", label_task(), "--out", gguf.string(), "--gguf", "model"}).rc, 0);
  EXPECT_THAT(*read_file(gguf), HasSubstr("NF4"));

  const auto as_trained = logits_of({base, "--nf4", "--adapter", peft});
  ASSERT_FALSE(as_trained.empty());
  EXPECT_LE(largest_difference(as_trained, logits_of({merged})), 1e-4);
  EXPECT_GT(largest_difference(as_trained, logits_of({base, "--adapter", peft})), 1e-2);
}

TEST_F(OtherMethods, FullWeightsAreAModelOfTheirOwn) {
  const Ran ran =
      run_here({"finetune", label_task(), "--full", "--max-steps", "3", "--lr", "1e-3", "--dtype", "float32"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  const std::string id = last_adapter(ran);
  EXPECT_EQ(get_string(manifest_of(id).config, "method"), "full");
  const fs::path dir = store_ / "artifacts" / "finetune" / id;
  EXPECT_FALSE(fs::exists(dir / "adapter_config.json.sealed"));
  EXPECT_EQ(read_file(dir / "model.safetensors.sealed")->find("embed_tokens"), std::string::npos) << "sealed";
  EXPECT_EQ(run_here({"evaluate", "--tasks", label_task(), "--max-new-tokens", "4"}).rc, 0);

  const std::string out = (store_ / "model").string();
  ASSERT_EQ(run_here({"models", "export", label_task(), "--out", out, "--dtype", "float32"}).rc, 0);
  EXPECT_EQ(run_cli({"--json", "models", "check", out}).rc, 0);
  const std::string gguf = (store_ / "model.gguf").string();
  EXPECT_EQ(run_here({"models", "export", label_task(), "--out", gguf, "--gguf", "adapter"}).rc, 22);
  EXPECT_EQ(run_here({"models", "export", label_task(), "--out", gguf, "--gguf", "model"}).rc, 0);
  EXPECT_GT(largest_difference(logits_of({base_.string()}), logits_of({out})), 1e-3);
  // The same settings again: nothing to do. A method at a time.
  EXPECT_EQ(
      get_bool(run_here({"finetune", label_task(), "--full", "--max-steps", "3", "--lr", "1e-3", "--dtype", "float32"})
                   .last(),
               "changed"),
      false);
  EXPECT_EQ(run_here({"finetune", label_task(), "--full", "--lora"}).rc, 2);
  EXPECT_EQ(run_here({"finetune", label_task(), "--full", "--dora"}).rc, 2);
  const Ran dry = run_here({"finetune", label_task(), "--full", "--dry-run"});
  EXPECT_EQ(dry.rc, 0) << dry.out;
}

TEST_F(OtherMethods, ATeacherOfTheSameTokensIsLearntFrom) {
  const auto train = [&](std::vector<std::string> more) {
    std::vector<std::string> args{"finetune", label_task(), "--lora",  "--rank",        "2", "--max-steps",
                                  "2",        "--dtype",    "float32", "--validations", "0"};
    args.insert(args.end(), more.begin(), more.end());
    return run_here(args);
  };
  // The base as its own teacher: before the first step there is nothing to learn.
  const Ran ran = train({"--distill", "logits", "--teacher", base_.string(), "--distill-weight", "1"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  const Manifest manifest = manifest_of(last_adapter(ran));
  EXPECT_EQ(get_string(manifest.config, "distill"), "logits");
  EXPECT_FALSE(manifest.inputs.at("teacher").empty());
  const auto metrics = read_file(store_ / "artifacts" / "finetune" / manifest.id / "metrics.jsonl").value();
  const auto first = parse_json(metrics.substr(0, metrics.find('\n'))).value().as_object();
  EXPECT_NEAR(*get_number(first, "loss"), 0, 1e-6);

  const Ran sequence = train({"--distill", "sequence"});
  ASSERT_EQ(sequence.rc, 0) << sequence.out;
  EXPECT_EQ(get_string(manifest_of(last_adapter(sequence)).config, "distill"), "sequence");

  // Other tokens under the same ids.
  const fs::path other = store_ / "teacher";
  fs::create_directories(other);
  for (const char* name : {"config.json", "model.safetensors"}) fs::copy_file(base_ / name, other / name);
  fs::copy_file(fs::path(SLM_SOURCE_DIR) / "tests/data/text/tokenizers/phi2.json", other / "tokenizer.json");
  const Ran refused = train({"--distill", "logits", "--teacher", other.string()});
  EXPECT_EQ(refused.rc, 22) << refused.out;
  EXPECT_THAT(refused.out, HasSubstr("--distill sequence"));
  const Ran nothing_logged = train({"--distill", "logits"});
  EXPECT_EQ(nothing_logged.rc, 22);
  EXPECT_THAT(nothing_logged.out, HasSubstr("--distill sequence"));
  EXPECT_EQ(train({"--distill", "logits", "--temperature", "2"}).rc, 2);
  EXPECT_EQ(train({"--teacher", base_.string()}).rc, 2);
  EXPECT_EQ(train({"--distill", "ideas"}).rc, 2);
}

TEST_F(OtherMethods, MetricsAreJsonLines) {
  const Ran ran = run_here({"finetune", label_task(), "--lora", "--rank", "2", "--max-steps", "4", "--validations", "2",
                            "--dtype", "float32", "--seed", "5"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  int n_steps = 0, n_validations = 0;
  std::istringstream lines(ran.out);
  for (std::string line; std::getline(lines, line);) {
    const auto value = parse_json(line);
    ASSERT_TRUE(value) << line;
    const auto valid = validate_json(*value, "schemas/message/message.schema.json");
    EXPECT_TRUE(valid) << line;
    const auto& object = value->as_object();
    if (get_string(object, "message_type") != "status" || !object.contains("task")) continue;
    n_steps += object.contains("grad_norm");
    n_validations += object.contains("validation_accuracy");
  }
  EXPECT_GE(n_steps, 1);
  EXPECT_LE(n_steps, 4);
  EXPECT_EQ(n_validations, 2);
}

TEST_F(FinetuneCommand, ExportWritesGgufFiles) {
  const auto export_to = [&](const fs::path& out, std::vector<std::string> more) {
    std::vector<std::string> args{"models", "export", label_task(), "--out", out.string()};
    args.insert(args.end(), more.begin(), more.end());
    return run(args);
  };
  const auto type_of = [](const fs::path& file, const char* tensor) {
    return nn::GgufFile::open(file).value().tensors().at(tensor).type;
  };
  const fs::path dir = root_ / "gguf";
  fs::create_directories(dir);
  const Ran adapter = export_to(dir / "adapter.gguf", {"--gguf", "adapter"});
  ASSERT_EQ(adapter.rc, 0) << adapter.out;
  EXPECT_EQ(type_of(dir / "adapter.gguf", "blk.0.attn_q.weight.lora_a"), nn::GgmlType::kF32);
  const Ran model = export_to(dir / "model.gguf", {"--gguf", "model", "--type", "q8_0"});
  ASSERT_EQ(model.rc, 0) << model.out;
  EXPECT_EQ(type_of(dir / "model.gguf", "blk.0.attn_q.weight"), nn::GgmlType::kQ8_0);
  EXPECT_EQ(get_int(model.last(), "context"), 256);
  ASSERT_EQ(export_to(dir / "base.gguf", {"--gguf", "base"}).rc, 0);
  EXPECT_EQ(type_of(dir / "base.gguf", "blk.0.attn_q.weight"), nn::GgmlType::kF16);

  EXPECT_EQ(export_to(dir / "model.gguf", {"--gguf", "model"}).rc, 2);  // exists
  const fs::path none = dir / "none.gguf";
  EXPECT_EQ(export_to(none, {"--gguf", "model", "--merged"}).rc, 2);
  EXPECT_EQ(export_to(none, {"--gguf", "model", "--dtype", "float32"}).rc, 2);
  EXPECT_EQ(export_to(none, {"--gguf", "lora"}).rc, 2);
  EXPECT_EQ(export_to(none, {"--type", "f16"}).rc, 2);
  EXPECT_EQ(export_to(none, {"--gguf", "model", "--type", "q5_1"}).rc, 2);
  EXPECT_EQ(export_to(none, {"--gguf", "adapter", "--type", "q8_0"}).rc, 2);
  const auto config = read_file(base_ / "config.json").value();
  ASSERT_TRUE(write_file_atomic(base_ / "config.json", config + " "));
  for (const char* kind : {"adapter", "model", "base"}) EXPECT_EQ(export_to(none, {"--gguf", kind}).rc, 21) << kind;
  ASSERT_TRUE(write_file_atomic(base_ / "config.json", config));
  // Nothing is left of what failed.
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(dir)) left.push_back(entry.path().filename());
  EXPECT_THAT(left, testing::UnorderedElementsAre("adapter.gguf", "model.gguf", "base.gguf"));
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
