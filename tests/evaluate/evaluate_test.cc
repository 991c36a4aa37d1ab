// The whole step over a store in memory: real task map, real baselines and verdicts, a model whose answers we decide.
#include "evaluate/evaluate.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "cluster/cluster.h"
#include "evaluate/fake_model.h"
#include "finetune/artifact.h"
#include "schema/artifacts.h"
#include "scrub/artifact.h"
#include "select/artifact.h"
#include "support/fake_store.h"

namespace slm::evaluate {
namespace {

namespace fs = std::filesystem;
using Space = store::Store::Space;

constexpr std::string_view kRoute = "Route the message to one department. Answer with a single word and nothing else.";
constexpr std::string_view kPoem = "Write a friendly and personal note of a few sentences that thanks for an order.";

class RecordingProgress : public Progress {
 public:
  void start(std::string_view, uint64_t) override {}
  void advance(uint64_t, std::string_view) override {}
  void finish() override {}
  void note(std::string_view) override {}
  void warn(std::string_view line) override { warnings.emplace_back(line); }
  std::vector<std::string> warnings;
};

class Evaluating : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / fmt::format("slmconv_evaluate_{}", getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_ / "base");
    std::ofstream(dir_ / "base" / "config.json") << "{}";
    std::ofstream(dir_ / "base" / "model.safetensors") << "weights";
    store_ = std::make_unique<test::FakeStore>(dir_ / "store");
  }
  void TearDown() override { fs::remove_all(dir_); }

  struct Spec {
    std::string group, user, answer, truth;
    std::string_view system = kRoute;
    bool test = false;
  };
  void add(const Spec& spec) {
    Call call;
    call.meta.session = fmt::format("{}-{}", spec.group, n_calls_);
    call.meta.group = spec.group;
    call.meta.split = spec.test ? "test" : "train";
    call.meta.model = "gpt-4o";
    call.meta.usage.n_in = 200, call.meta.usage.n_out = 10;
    call.meta.time_ms = 1'700'000'000'000 + n_calls_ * 3'600'000;
    call.meta.latency_ms = 900;
    call.body.messages = {json::object{{"role", "system"}, {"content", spec.system}},
                          json::object{{"role", "user"}, {"content", spec.user}}};
    call.body.choices = {json::object{{"message", says(spec.answer)}, {"finish_reason", "stop"}}};
    if (!spec.truth.empty()) {
      call.body.truth = says(spec.truth);
      call.meta.has_truth = true;
    }
    store_->add(std::move(call), Space::kCurated);
    ++n_calls_;
  }

  // `n` sessions of routing on each side; the right answer to "parcel …" is shipping, to "invoice …" billing.
  void add_routing(int n, int first = 0) {
    for (int i = first; i < first + n; ++i) {
      for (const bool test : {false, true}) {
        const bool parcel = i % 3 != 0;
        Spec spec;
        spec.group = fmt::format("{}-{}", test ? "test" : "train", i);
        spec.user = fmt::format("{} number {} please", parcel ? "my parcel is late" : "the invoice is wrong", 1000 + i);
        spec.answer = parcel ? "shipping" : "billing";
        spec.test = test;
        add(spec);
      }
    }
  }
  void add_poems(int n) {
    for (int i = 0; i < n; ++i) {
      Spec spec;
      spec.group = fmt::format("poem-{}", i);
      spec.user = fmt::format("write to customer {} about gardens and kettles", i);
      std::string text;
      for (int word = 0; word < 60; ++word) text += fmt::format("word{} ", (i * 7919 + word * 104729) % 5003);
      spec.answer = text;
      spec.system = kPoem;
      spec.test = i % 2 == 0;
      add(spec);
    }
  }

  void cluster(size_t k) {
    cluster::ClusterOptions options;
    options.k = k;
    options.clock = clock_.get();
    const auto made = cluster::run_cluster(*store_, options);
    ASSERT_TRUE(made) << made.error().message;
    tasks_ = made->tasks;
    tasks_digest_ = made->manifest.digest();
    for (const cluster::TaskInfo& task : tasks_) {
      if (task.kind == score::TaskKind::kLabel) route_ = task.id;
      if (task.kind == score::TaskKind::kOpenText) poem_ = task.id;
    }
    ASSERT_FALSE(route_.value.empty());
  }

  void train(const TaskId& task, const std::string& adapter, bool nf4 = false) {
    Manifest manifest;
    manifest.step = "finetune";
    const auto digest = select::model_digest(dir_ / "base");
    ASSERT_TRUE(digest);
    manifest.config = {{"task", task.value}, {"base", (dir_ / "base").string()}, {"base_digest", *digest}};
    if (nf4) manifest.config["base_quantisation"] = "nf4";
    manifest.inputs["tasks"] = tasks_digest_;
    ASSERT_TRUE(finetune::save_adapter(*store_, manifest, {adapter, Bytes{1, 2, 3}}));
  }

  Result<EvaluateResult> evaluate(const EvaluateOptions& options = lenient()) {
    progress_.warnings.clear();
    return evaluate_tasks({*store_, *clock_, progress_, opener()}, options);
  }
  OpenModel opener() {
    return [this](const fs::path&, const nn::EngineOptions& options) -> Result<std::unique_ptr<model::Model>> {
      opened_nf4_.push_back(options.nf4);
      return std::unique_ptr<model::Model>(std::make_unique<FakeModel>(say_, &n_answers_));
    };
  }
  static EvaluateOptions lenient() {
    EvaluateOptions options;
    options.delta = 0.10;
    return options;
  }
  const TaskEvaluation& route(const Result<EvaluateResult>& result) { return *result->evaluation.find(route_); }

  // The base answers nothing right; an adapter named "good" is always right, "half" on parcels alone.
  Say say_ = [](const std::string& user, const std::string& adapter) -> std::string {
    const bool parcel = user.find("parcel") != std::string::npos;
    if (adapter == "good") return parcel ? "shipping" : "billing";
    if (adapter == "half") return parcel ? "shipping" : "nothing";
    return "I don't know";
  };
  fs::path dir_;
  std::unique_ptr<test::FakeStore> store_;
  std::unique_ptr<Clock> clock_ = fixed_clock(1'760'000'000'000, 10);
  RecordingProgress progress_;
  std::vector<cluster::TaskInfo> tasks_;
  std::string tasks_digest_;
  TaskId route_, poem_;
  int64_t n_calls_ = 0, n_answers_ = 0;
  std::vector<bool> opened_nf4_;  // of every base opened
};

// Its verdict is of what will be served.
TEST_F(Evaluating, AQloraIsTriedOverTheQuantisedBase) {
  add_routing(60);
  cluster(1);
  train(route_, "good", true);
  const auto result = evaluate();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_THAT(opened_nf4_, ::testing::ElementsAre(true));
}

TEST_F(Evaluating, ArmsSideBySideAndTheVerdict) {
  add_routing(60);
  add_poems(40);
  add({"test-1", "my parcel is late number 1001 please", "shipping", "", kRoute, true});  // a second call of a session
  cluster(2);
  ASSERT_FALSE(poem_.value.empty());
  train(route_, "good");
  const auto result = evaluate();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(result->changed);
  const TaskEvaluation& row = route(result);
  EXPECT_EQ(row.verdict, "replace") << row.reason;
  EXPECT_TRUE(row.agreement);
  EXPECT_FALSE(row.llm) << "right by construction says nothing";
  EXPECT_DOUBLE_EQ(row.tuned->exact, 1);
  EXPECT_DOUBLE_EQ(row.base->exact, 0);
  EXPECT_NEAR(row.majority->exact, 2.0 / 3, 0.1);
  EXPECT_GT(row.nearest->exact, row.majority->exact);
  EXPECT_LT(*row.p_base, 1e-9);
  EXPECT_EQ(row.b, 0);
  EXPECT_LE(*row.bound, 0.10);
  EXPECT_EQ(row.look, 1);
  EXPECT_EQ(n_answers_, 2 * row.n) << "base and tuned once each";
  EXPECT_THAT(opened_nf4_, ::testing::ElementsAre(false));
  const Manifest& manifest = result->evaluation.manifest;
  EXPECT_EQ(manifest.n_in, 61) << "calls of the task on the test side";
  EXPECT_EQ(manifest.n_out, row.n);
  const auto outliers = manifest.dropped.find("outlier");
  EXPECT_EQ(row.n, 60 - (outliers == manifest.dropped.end() ? 0 : outliers->second)) << "one unit a session group";

  const TaskEvaluation& poem = *result->evaluation.find(poem_);
  EXPECT_EQ(poem.verdict, "not_measurable");
  EXPECT_FALSE(poem.tuned);

  const auto loaded = load_evaluation(store_->dir());
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(canonical_json(to_json(*loaded->find(route_))), canonical_json(to_json(row)));
}

TEST_F(Evaluating, CostWithTheFallbackAndTheMachineInside) {
  add_routing(60);
  cluster(1);
  train(route_, "good");
  EvaluateOptions options = lenient();
  options.machine_usd_per_hour = 0;
  auto result = evaluate(options);
  ASSERT_TRUE(result) << result.error().message;
  const auto of = [&](const Result<EvaluateResult>& r) { return r->evaluation.timings[0]; };
  // 120 calls an hour apart; 200 tokens in at 2.5 and 10 out at 10 usd a million.
  const double usd = 120 * (200 * 2.5 + 10 * 10.0) / 1e6 * 30 / (119.0 / 24);
  EXPECT_NEAR(*of(result).cost_usd, usd, 1e-9);
  const double share = route(result).fallback_share;
  EXPECT_NEAR(*of(result).saving_usd, usd * (1 - share), 1e-9);
  EXPECT_NEAR(*of(result).llm_latency_ms, 900, 1e-9);

  const double free = *of(result).saving_usd;
  options.machine_usd_per_hour = 100;
  result = evaluate(options);
  ASSERT_TRUE(result);
  EXPECT_LT(*of(result).saving_usd, free);
  options.log_days = 119.0 / 24 * 2;
  const double before = *of(result).cost_usd;
  result = evaluate(options);
  EXPECT_NEAR(*of(result).cost_usd, before / 2, 1e-9);
}

TEST_F(Evaluating, RunningAgainDoesNothing) {
  add_routing(40);
  cluster(1);
  train(route_, "good");
  const auto first = evaluate();
  ASSERT_TRUE(first) << first.error().message;
  const int64_t answers = n_answers_;
  const auto second = evaluate();
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->changed);
  EXPECT_EQ(second->evaluation.manifest.id, first->evaluation.manifest.id);
  EXPECT_EQ(n_answers_, answers);
  EXPECT_EQ(route(second).look, 1);
}

TEST_F(Evaluating, NewPricesAreNoNewLook) {
  add_routing(40);
  cluster(1);
  train(route_, "good");
  ASSERT_TRUE(evaluate());
  const int64_t answers = n_answers_;
  EvaluateOptions options = lenient();
  options.prices = dir_ / "prices.toml";
  std::ofstream(options.prices)
      << "date = \"2026-01\"\nsource = \"me\"\n[[price]]\nmodel = \"gpt-4o\"\nin = 1\nout = 1\n";
  const auto again = evaluate(options);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->changed);
  EXPECT_EQ(route(again).look, 1);
  EXPECT_EQ(route(again).verdict, "replace");
  EXPECT_EQ(n_answers_, answers) << "what was answered on these units isn't answered again";
}

TEST_F(Evaluating, UnitsScrubbedOtherwiseAreOtherUnits) {
  add_routing(40);
  cluster(1);
  train(route_, "good");
  ASSERT_TRUE(evaluate());
  auto& calls = store_->stored(Space::kCurated);
  for (auto& call : calls) {
    const size_t at = call.body.find("please");
    if (at != std::string::npos) call.body.replace(at, 6, "thanks");
  }
  const int64_t answers = n_answers_;
  const auto again = evaluate();
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->changed);
  EXPECT_GT(n_answers_, answers);
  EXPECT_EQ(route(again).look, 2);
}

TEST_F(Evaluating, GroupsFoundAgainOnAnotherSideAreNoUnits) {
  add_routing(40);
  cluster(1);
  train(route_, "good");
  const auto first = evaluate();
  ASSERT_TRUE(first) << first.error().message;
  scrub::Report report;
  report.linked_groups = {"test-3", "test-5"};
  report.n_in = report.n_out = 80;
  const std::string text = pretty_json(to_json(report));
  Manifest manifest;
  manifest.step = scrub::kStep;
  manifest.n_in = manifest.n_out = 80;
  manifest.outputs["report.json"] = sha256_hex(text);
  manifest.id = manifest.digest().substr(0, 16);
  const fs::path made = artifact_dir(store_->dir(), scrub::kStep, manifest.id);
  fs::create_directories(made);
  ASSERT_TRUE(write_file_atomic(made / "report.json", text));
  ASSERT_TRUE(write_manifest(made, manifest));
  ASSERT_TRUE(set_current(store_->dir(), scrub::kStep, manifest.id));
  const auto again = evaluate();
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->evaluation.manifest.dropped.at("linked_across_sides"), 2);
  EXPECT_EQ(route(again).n, route(first).n - 2);
}

TEST_F(Evaluating, TheUnchangedCandidateLooksAgainWithMoreSessions) {
  add_routing(20);
  cluster(1);
  train(route_, "good");
  const auto first = evaluate();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(route(first).verdict, "need_more");
  ASSERT_TRUE(route(first).need);
  add_routing(40, 100);
  cluster(1);
  const auto second = evaluate();
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(route(second).look, 2);
  EXPECT_GT(route(second).n, 50) << "old and new sessions together";
  EXPECT_EQ(route(second).verdict, "replace");
  ASSERT_FALSE(progress_.warnings.empty());
  EXPECT_NE(progress_.warnings[0].find("earlier task map"), std::string::npos);
}

TEST_F(Evaluating, AnotherCandidateIsTestedOnLaterSessionsOnly) {
  add_routing(40);
  cluster(1);
  train(route_, "half");
  const auto first = evaluate();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(route(first).verdict, "keep");

  train(route_, "good");
  int64_t answers = n_answers_;
  const auto second = evaluate();
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(route(second).n, 0) << "all sessions were seen before this candidate was made";
  EXPECT_EQ(route(second).verdict, "need_more");
  EXPECT_EQ(route(second).look, 0) << "nothing was looked at";
  ASSERT_EQ(second->evaluation.history.size(), 1u);
  EXPECT_EQ(second->evaluation.history[0].task.look, 1) << "and the look before isn't forgotten";
  EXPECT_EQ(n_answers_, answers);
  EXPECT_NE(route(second).reason.find("first seen after it"), std::string::npos) << route(second).reason;
  EXPECT_EQ(second->evaluation.manifest.dropped.at("seen_before_candidate"), route(first).n);

  add_routing(60, 200);
  cluster(1);
  const auto third = evaluate();
  ASSERT_TRUE(third) << third.error().message;
  EXPECT_EQ(route(third).look, 2);
  EXPECT_LE(route(third).n, 60);
  EXPECT_GT(route(third).n, 50);
  EXPECT_EQ(route(third).verdict, "replace") << route(third).reason;
}

TEST_F(Evaluating, AnotherMarginIsAnotherCandidate) {
  add_routing(40);
  cluster(1);
  train(route_, "good");
  ASSERT_TRUE(evaluate());
  EvaluateOptions options = lenient();
  options.delta = 0.2;
  const auto again = evaluate(options);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(route(again).n, 0) << "the margin is fixed before the test side is opened";
  const int64_t answers = n_answers_;
  const auto back = evaluate();
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(route(back).verdict, "replace") << "with the margin of the test, its verdict stands again";
  EXPECT_EQ(route(back).look, 1);
  EXPECT_GT(route(back).n, 0);
  EXPECT_EQ(n_answers_, answers);
  EXPECT_TRUE(back->evaluation.history.empty());
}

TEST_F(Evaluating, ATaskThatLeavesTheMapKeepsItsLooks) {
  add_routing(40);
  add_poems(40);
  cluster(2);
  train(route_, "half");
  const auto first = evaluate();
  ASSERT_TRUE(first) << first.error().message;
  const TaskId tested = route_;
  const fs::path file = dir_ / "tasks.toml";
  std::ofstream(file) << fmt::format("[{}]\nmerge = \"{}\"\n", route_.value, poem_.value);
  cluster::ClusterOptions merged;
  merged.k = 2;
  merged.clock = clock_.get();
  merged.tasks_file = file;
  const auto map = cluster::run_cluster(*store_, merged);
  ASSERT_TRUE(map) << map.error().message;
  ASSERT_EQ(map->tasks.size(), 1u);
  EvaluateOptions only;
  only.delta = 0.10;
  only.tasks = {map->tasks[0].id.value};
  tasks_digest_ = map->manifest.digest();
  train(map->tasks[0].id, "good");
  const auto without = evaluate(only);
  ASSERT_TRUE(without) << without.error().message;
  ASSERT_EQ(without->evaluation.history.size(), 1u);
  EXPECT_EQ(without->evaluation.history[0].task.task, tested);

  cluster(2);
  ASSERT_EQ(route_, tested) << "the split task has its id again";
  train(route_, "good");
  const auto again = evaluate();
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(route(again).n, 0) << "its sessions were looked at with another candidate";
}

TEST_F(Evaluating, TruthCountsWhereEveryUnitHasIt) {
  for (int i = 0; i < 60; ++i)
    for (const bool test : {false, true}) {
      Spec spec;
      spec.group = fmt::format("{}-{}", test, i);
      spec.user = fmt::format("my parcel is late number {} please", 1000 + i);
      spec.truth = "shipping";
      spec.answer = i % 10 == 0 ? "billing" : "shipping";  // the log is wrong in one of ten
      spec.test = test;
      add(spec);
    }
  cluster(1);
  train(route_, "good");
  const auto result = evaluate();
  ASSERT_TRUE(result) << result.error().message;
  const TaskEvaluation& row = route(result);
  EXPECT_FALSE(row.agreement);
  EXPECT_DOUBLE_EQ(row.tuned->exact, 1);
  ASSERT_TRUE(row.llm);
  EXPECT_NEAR(row.llm->exact, 0.9, 0.03);
  EXPECT_EQ(row.b, 0);
  EXPECT_EQ(row.c, static_cast<int64_t>(std::llround((1 - row.llm->exact) * static_cast<double>(row.n))));
  EXPECT_LT(row.loss, 0);
}

TEST_F(Evaluating, OneUnitWithoutTruthMakesItAgreement) {
  for (int i = 0; i < 40; ++i) {
    Spec spec;
    spec.group = fmt::format("g{}", i);
    spec.user = fmt::format("my parcel is late number {} please", 1000 + i);
    spec.answer = "shipping";
    if (i != 7) spec.truth = "shipping";
    spec.test = i % 4 != 0;
    add(spec);
  }
  cluster(1);
  train(route_, "good");
  const auto result = evaluate();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(route(result).agreement);
}

TEST_F(Evaluating, MaxSessionsIsDrawnNotTakenInOrder) {
  add_routing(60);
  cluster(1);
  train(route_, "good");
  EvaluateOptions options = lenient();
  options.max_sessions = 10;
  const auto result = evaluate(options);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(route(result).n, 10);
  EXPECT_GT(result->evaluation.manifest.dropped.at("over_max_sessions"), 40);
}

TEST_F(Evaluating, ErrorsAreShownFromTheSealedOutcomes) {
  add_routing(40);
  cluster(1);
  train(route_, "half");
  ASSERT_TRUE(evaluate());
  std::vector<ErrorExample> shown;
  const auto status =
      show_errors({*store_, *clock_, progress_, opener()}, lenient(), 3, [&](const ErrorExample& e) -> Status {
        shown.push_back(e);
        return {};
      });
  ASSERT_TRUE(status) << status.error().message;
  ASSERT_EQ(shown.size(), 3u);
  for (const ErrorExample& example : shown) {
    EXPECT_EQ(content_text(example.reference), "billing");
    EXPECT_EQ(content_text(example.answer), "nothing");
    EXPECT_NE(content_text(example.messages.back().as_object()).find("invoice"), std::string::npos);
  }
  train(route_, "good");
  EXPECT_EQ(show_errors({*store_, *clock_, progress_, opener()}, lenient(), 3,
                        [](const ErrorExample&) -> Status { return {}; })
                .error()
                .code,
            ErrorCode::kManifestMismatch);
}

TEST_F(Evaluating, TheArtefactHoldsNoText) {
  add_routing(40);
  add({"test-secret", "my parcel is late, ask Quillfeather at the Zanzibar depot please", "Petrichor", "", kRoute,
       true});
  add({"train-secret", "my parcel is late, ask Quillfeather at the Zanzibar depot please", "Petrichor", ""});
  cluster(1);
  train(route_, "half");
  const auto result = evaluate();
  ASSERT_TRUE(result) << result.error().message;
  const fs::path dir = artifact_dir(store_->dir(), kStep, result->evaluation.manifest.id);
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(dir)) {
    files.insert(entry.path().filename().string());
    const std::string text = read_file(entry.path()).value();
    // Sealing is the store's; this fake writes what it is given, so even what would be sealed is looked at.
    for (const char* planted : {"Quillfeather", "quillfeather", "Zanzibar", "Petrichor", "test-secret"})
      EXPECT_EQ(text.find(planted), std::string::npos) << planted << " in " << entry.path();
  }
  EXPECT_EQ(files, (std::set<std::string>{"manifest.json", "outcomes.jsonl.sealed", "seen.sealed", "timing.json"}));
}

TEST_F(Evaluating, AnInterruptionLeavesNothing) {
  add_routing(20);
  cluster(1);
  train(route_, "good");
  const EvaluateContext context{*store_, *clock_, progress_,
                                [](const fs::path&, const nn::EngineOptions&) -> Result<std::unique_ptr<model::Model>> {
                                  return fail(ErrorCode::kInterrupted, "interrupted");
                                }};
  EXPECT_EQ(evaluate_tasks(context, lenient()).error().code, ErrorCode::kInterrupted);
  EXPECT_FALSE(current_artifact(store_->dir(), kStep));
  EXPECT_EQ(route(evaluate()).look, 1) << "nothing was looked at";
}

TEST_F(Evaluating, Refusals) {
  add_routing(20);
  cluster(1);
  EXPECT_EQ(evaluate().error().code, ErrorCode::kManifestMismatch) << "no adapter yet";
  train(route_, "good");
  EvaluateOptions options = lenient();
  options.tasks = {"t99"};
  EXPECT_EQ(evaluate(options).error().code, ErrorCode::kBadInput);
  options = lenient();
  options.delta = 1;
  EXPECT_EQ(evaluate(options).error().code, ErrorCode::kUsage);
  std::ofstream(dir_ / "base" / "model.safetensors") << "other weights";
  const auto other = evaluate();
  EXPECT_EQ(other.error().code, ErrorCode::kManifestMismatch) << "another base than the adapter's";
  EXPECT_FALSE(current_artifact(store_->dir(), kStep)) << "what fails leaves nothing";
}

}  // namespace
}  // namespace slm::evaluate
