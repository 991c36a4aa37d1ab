#include "evaluate/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/file.h"
#include "core/hash.h"
#include "evaluate/explain.h"
#include "evaluate/setting.h"
#include "evaluate/trial.h"
#include "evaluate/volume.h"
#include "schema/artifacts.h"
#include "score/interval.h"

namespace slm::evaluate {
namespace {

namespace fs = std::filesystem;

// What will be done with one chosen task; fixed before anything is answered.
struct Plan {
  size_t task = 0;
  bool measurable = false;
  Manifest adapter;
  std::string candidate, units;
  LookPlan look;
  UnitChoice choice;
  bool reuse = false;  // the same candidate was tested on the same units
};

std::string prices_text(const score::PriceList& prices) {
  std::set<std::string> sources;
  for (const score::Price& price : prices.prices) sources.insert(fmt::format("{} ({})", price.date, price.source));
  return fmt::format("prices of {}", fmt::join(sources, "; "));
}

std::string prices_digest(const score::PriceList& prices) {
  Sha256 hash;
  for (const score::Price& p : prices.prices)
    hash.update(fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n", p.model, p.in_usd_per_mtok, p.out_usd_per_mtok,
                            p.cached_usd_per_mtok.value_or(-1), p.date, p.source));
  return to_hex(hash.finish());
}

class Evaluator {
 public:
  Evaluator(const EvaluateContext& context, const EvaluateOptions& options)
      : context_(context), options_(options), bases_(context, options.engine) {}

  Result<EvaluateResult> run() {
    const double started_s = context_.clock.monotonic_s();
    SLM_TRY(Setting opened, open_setting(context_.store));
    setting_ = std::make_unique<Setting>(std::move(opened));
    SLM_TRY(prices_, options_.prices.empty() ? score::default_prices() : score::read_prices(options_.prices));
    SLM_TRY(const std::vector<size_t> chosen, choose_tasks(*setting_, context_.store.dir(), options_.tasks));
    for (const size_t task : chosen) {
      SLM_TRY(Plan plan, plan_task(task));
      plans_.push_back(std::move(plan));
    }

    EvaluateResult out;
    Manifest& manifest = out.evaluation.manifest;
    manifest = planned_manifest();
    if (unchanged(context_.store.dir(), manifest)) {
      SLM_TRY(out.evaluation, load_evaluation(context_.store.dir()));
      return out;
    }
    SLM_TRY(volumes_, measure_volumes(context_.store, setting_->task_of, setting_->tasks.map.tasks().size()));
    rows_.resize(setting_->tasks.map.tasks().size());
    timings_.resize(rows_.size());
    for (size_t task = 0; task < rows_.size(); ++task) SLM_CHECK(start_row(task));
    for (Plan& plan : plans_) SLM_CHECK(test(plan, manifest));
    judge();
    for (size_t task = 0; task < rows_.size(); ++task) price(task);
    manifest.made_ms = context_.clock.now_ms();
    manifest.seconds = context_.clock.monotonic_s() - started_s;
    SLM_CHECK(write(out.evaluation));
    out.changed = true;
    return out;
  }

 private:
  Result<Plan> plan_task(size_t task) {
    const cluster::TaskInfo& info = setting_->info(task);
    Plan out;
    out.task = task;
    UnitOptions units;
    units.task = static_cast<uint32_t>(task);
    units.max_sessions = options_.max_sessions;
    units.linked = &setting_->linked;
    SLM_TRY(out.choice, choose_units(setting_->view, context_.store, units));
    out.measurable = score::is_measurable(info.kind, out.choice.all_have_truth);
    if (!out.measurable) return out;

    SLM_TRY(out.adapter, fitting_adapter(*setting_, context_.store, task, context_.progress));
    out.candidate = candidate_digest(out.adapter, info.kind, options_);
    const PastTest* before = setting_->before(task);
    out.look = plan_look(before ? &before->task : nullptr, out.candidate, born_after(info.id));
    if (!out.look.barrier.empty()) {
      SLM_TRY(units.barrier, seen_in(out.look.barrier));
      SLM_TRY(out.choice, choose_units(setting_->view, context_.store, units));
    }
    SLM_TRY(out.units, units_digest(setting_->view, context_.store, out.choice.rows));
    out.reuse = before && !out.look.changed && before->task.units == out.units;
    if (out.reuse) out.look.look = before->task.look;
    return out;
  }

  std::string born_after(const TaskId& task) const {
    if (setting_->past.empty() || setting_->previous->knows(task)) return {};
    return setting_->previous->manifest.id;
  }

  // Sessions known when that evaluation was made.
  Result<const SeenGroups*> seen_in(const std::string& evaluation) {
    if (const auto found = seen_.find(evaluation); found != seen_.end()) return &found->second;
    const fs::path dir = artifact_dir(context_.store.dir(), kStep, evaluation);
    SLM_TRY(const Bytes bytes,
            context_.store.open_sealed_file(sealed_path(dir, kSeenFile), sealed_name(evaluation, kSeenFile)));
    SLM_TRY(SeenGroups groups, parse_seen(bytes));
    return &seen_.emplace(evaluation, std::move(groups)).first->second;
  }

  Manifest planned_manifest() const {
    Manifest out;
    out.step = kStep;
    json::array tasks;
    out.inputs["tasks"] = setting_->tasks.manifest.digest();
    out.inputs["prices"] = prices_digest(prices_);
    for (const Plan& plan : plans_) {
      const std::string& id = setting_->info(plan.task).id.value;
      tasks.push_back(json::value(id));
      if (!plan.measurable) continue;
      out.inputs[fmt::format("candidate {}", id)] = plan.candidate;
      out.inputs[fmt::format("units {}", id)] = plan.units;
    }
    out.config = {{"tasks", std::move(tasks)},
                  {"delta", options_.delta},
                  {"max_sessions", options_.max_sessions},
                  {"max_new_tokens", options_.max_new_tokens},
                  {"machine_usd_per_hour", options_.machine_usd_per_hour},
                  {"log_days", options_.log_days}};
    out.device = options_.engine.device;
    return out;
  }

  // Was the evaluation before made from this task map, with this margin?
  bool same_question() const {
    const auto tasks = setting_->previous->manifest.inputs.find("tasks");
    return tasks != setting_->previous->manifest.inputs.end() && tasks->second == setting_->tasks.manifest.digest() &&
           setting_->previous->delta == options_.delta;
  }

  // A task that isn't looked at now keeps its row if nothing about it has changed.
  Status start_row(size_t task) {
    const cluster::TaskInfo& info = setting_->info(task);
    TaskEvaluation& row = rows_[task];
    const bool chosen = std::any_of(plans_.begin(), plans_.end(), [&](const Plan& plan) { return plan.task == task; });
    const PastTest* before = setting_->before(task);
    if (before && !chosen && same_question() && setting_->previous->find(info.id)->look > 0) {
      row = before->task;
      timings_[task] = before->timing;
    }
    row.task = info.id;
    row.name = info.name;
    row.kind = info.kind;
    if (row.verdict == kNotEvaluated && !chosen) {
      SLM_TRY(const bool has_truth, setting_->view.units_have_truth(context_.store, static_cast<uint32_t>(task)));
      if (!score::is_measurable(info.kind, has_truth))
        row.verdict = score::verdict_name(score::Verdict::kNotMeasurable);
      row.reason = explain(row, options_.delta, false);
    }
    return {};
  }

  Status test(Plan& plan, Manifest& manifest) {
    TaskEvaluation& row = rows_[plan.task];
    manifest.n_in += plan.choice.n_in;
    for (const auto& [reason, n] : plan.choice.dropped) manifest.dropped[reason] += n;
    const auto n_rows = static_cast<int64_t>(plan.choice.rows.size());
    if (!plan.measurable) {
      row.verdict = score::verdict_name(score::Verdict::kNotMeasurable);
      row.reason = explain(row, options_.delta, false);
      if (n_rows > 0) manifest.dropped["not_measurable"] += n_rows;
      return {};
    }
    row.agreement = !plan.choice.all_have_truth;
    row.adapter = plan.adapter.id;
    row.base_model = fs::path(std::string(get_string(plan.adapter.config, "base"))).filename().string();
    if (plan.reuse) {
      const PastTest& before = *setting_->before(plan.task);
      row = before.task;
      row.name = setting_->info(plan.task).name;
      timings_[plan.task] = before.timing;
    } else if (n_rows > 0) {
      SLM_CHECK(try_out(plan, row));
    }
    manifest.n_out += row.n;
    if (row.n < n_rows) manifest.dropped["no_reference"] += n_rows - row.n;
    return {};
  }

  Status try_out(const Plan& plan, TaskEvaluation& row) {
    SLM_TRY(const std::vector<Unit> units,
            load_units(setting_->view, context_.store, plan.choice.rows, !row.agreement));
    if (units.empty()) return {};
    TrainingOptions training_options;
    training_options.task = static_cast<uint32_t>(plan.task);
    SLM_TRY(const TrainingAnswers training, load_training(setting_->view, context_.store, training_options));
    SLM_TRY(const finetune::LoadedAdapter adapter, finetune::load_adapter(context_.store, row.task));
    SLM_TRY(model::Model * model, bases_.open(adapter));
    TrialOptions trial;
    trial.label = fmt::format("evaluate {}", row.task.value);
    trial.kind = row.kind;
    trial.by_truth = !row.agreement;
    trial.max_new_tokens = options_.max_new_tokens;
    trial.batch = options_.batch;
    SLM_TRY(const TrialResult result,
            run_trial({*model, adapter.files, units, training}, trial, context_.clock, context_.progress));
    take(result, static_cast<int64_t>(training.answers.size()), row);
    row.candidate = plan.candidate;
    row.barrier = plan.look.barrier;
    row.units = plan.units;
    row.look = plan.look.look;
    row.tested_in.clear();
    note_outcomes(row.task, result.outcomes);

    TaskTiming& timing = timings_[plan.task];
    timing.latency_ms = result.latency_ms;
    timing.base_latency_ms = result.base_latency_ms;
    timing.llm_latency_ms = result.llm_latency_ms;
    timing.tokens_per_s = result.tokens_per_s;
    timing.tokens_per_call = result.tokens_per_call;
    return {};
  }

  static void take(const TrialResult& result, int64_t n_train, TaskEvaluation& row) {
    row.n = static_cast<int64_t>(result.outcomes.size());
    row.n_train = n_train;
    row.n_unanswered = result.n_unanswered;
    row.b = result.b;
    row.c = result.c;
    row.base = result.base;
    row.tuned = result.tuned;
    // Under agreement the log is right by construction, which says nothing about the large model.
    if (!row.agreement) row.llm = result.llm;
    const auto against = [&](bool UnitOutcome::*arm) {
      int64_t only_tuned = 0, only_other = 0;
      for (const UnitOutcome& unit : result.outcomes) {
        only_tuned += unit.tuned && !(unit.*arm);
        only_other += !unit.tuned && unit.*arm;
      }
      return score::mcnemar_exact(only_tuned, only_other);
    };
    row.p_base = against(&UnitOutcome::base);
    if (!result.has_training) return;
    row.majority = result.majority;
    row.nearest = result.nearest;
    row.p_majority = against(&UnitOutcome::majority);
    row.p_nearest = against(&UnitOutcome::nearest);
  }

  void note_outcomes(const TaskId& task, const std::vector<UnitOutcome>& outcomes) {
    for (const UnitOutcome& unit : outcomes) {
      const json::object line = {{"call", unit.call.hex()}, {"task", task.value}, {"llm", unit.llm},
                                 {"tuned", unit.tuned},     {"base", unit.base},  {"majority", unit.majority},
                                 {"nearest", unit.nearest}};
      outcomes_ += json::serialize(line) + "\n";
    }
  }

  // The verdicts of the tasks tested now; every measurable task has its place in Holm's order.
  void judge() {
    std::vector<score::TaskEvidence> evidence(rows_.size());
    for (size_t task = 0; task < rows_.size(); ++task) {
      const bool measurable = rows_[task].verdict != score::verdict_name(score::Verdict::kNotMeasurable);
      evidence[task].measurable = measurable && !setting_->info(task).excluded;
      const PastTest* before = setting_->before(task);
      evidence[task].look = std::max({1, rows_[task].look, before ? before->task.look : 0});
    }
    for (const Plan& plan : plans_) {
      if (!plan.measurable) continue;
      const TaskEvaluation& row = rows_[plan.task];
      evidence[plan.task].agreement = row.agreement;
      evidence[plan.task].n = row.n;
      evidence[plan.task].b = row.b;
      evidence[plan.task].c = row.c;
      if (row.n == 0) evidence[plan.task].look = plan.look.look;
    }
    score::VerdictRule rule;
    rule.margin = options_.delta;
    const std::vector<score::Decision> decisions = score::decide(evidence, rule);
    for (const Plan& plan : plans_) {
      if (!plan.measurable) continue;
      TaskEvaluation& row = rows_[plan.task];
      const score::Decision& made = decisions[plan.task];
      row.verdict = score::verdict_name(made.verdict);
      row.loss = made.loss;
      row.p_replace = made.p_replace;
      row.p_keep = made.p_keep;
      row.level = made.level;
      row.bound.reset();
      row.keep_bound.reset();
      if (row.n > 0) {
        row.bound = made.bound;
        row.keep_bound = made.keep_bound;
      }
      row.hopeless = made.hopeless;
      row.need = made.need;
      row.reason = explain(row, options_.delta, plan.look.changed || !plan.look.barrier.empty());
    }
  }

  void price(size_t task) {
    TaskEvaluation& row = rows_[task];
    TaskTiming& timing = timings_[task];
    const TaskVolume& volume = volumes_.tasks[task];
    if (volume.n_calls > 0)
      row.fallback_share = static_cast<double>(volume.n_outliers) / static_cast<double>(volume.n_calls);
    const std::optional<double> days = options_.log_days > 0 ? std::optional(options_.log_days) : volumes_.days();
    std::string why;
    const auto money = monthly_cost(volume, days, prices_, why);
    if (!why.empty()) missing_.insert(why);
    timing.cost_usd.reset();
    timing.saving_usd.reset();
    timing.saving_if_replaced_usd.reset();
    if (!money) return;
    timing.cost_usd = money->cost_usd;
    if (timing.tokens_per_call && timing.tokens_per_s) {
      score::OwnCost own;
      own.usd_per_hour = options_.machine_usd_per_hour;
      own.tokens_per_s = *timing.tokens_per_s;
      own.tokens_per_call = *timing.tokens_per_call;
      score::SavingQuestion question;
      question.calls_per_month = money->calls_per_month;
      question.llm_usd_per_call = money->cost_usd / money->calls_per_month;
      const double unanswered = row.n > 0 ? static_cast<double>(row.n_unanswered) / static_cast<double>(row.n) : 0;
      question.fallback_share = row.fallback_share + (1 - row.fallback_share) * unanswered;
      question.own_usd_per_call = score::own_usd_per_call(own);
      timing.saving_if_replaced_usd = score::saving_usd_per_month(question);
    }
    if (row.verdict == score::verdict_name(score::Verdict::kReplace)) timing.saving_usd = timing.saving_if_replaced_usd;
  }

  // Tests that this evaluation's rows don't show, by task id: looks are never forgotten.
  std::vector<PastTest> kept_history() const {
    std::map<std::string, PastTest> out(setting_->past.begin(), setting_->past.end());
    for (const TaskEvaluation& row : rows_)
      if (row.look > 0) out.erase(row.task.value);
    std::vector<PastTest> tests;
    for (auto& [id, test] : out) tests.push_back(std::move(test));
    return tests;
  }

  Status write(Evaluation& evaluation) {
    Manifest& manifest = evaluation.manifest;
    json::array rows;
    json::object timings;
    for (size_t task = 0; task < rows_.size(); ++task) {
      if (setting_->info(task).excluded && rows_[task].look == 0) continue;
      rows.push_back(to_json(rows_[task]));
      timings[rows_[task].task.value] = to_json(timings_[task]);
      evaluation.tasks.push_back(rows_[task]);
      evaluation.timings.push_back(timings_[task]);
    }
    json::array history;
    json::object old_timings;
    for (const PastTest& test : kept_history()) {
      history.push_back(to_json(test.task));
      old_timings[test.task.task.value] = to_json(test.timing);
      evaluation.history.push_back(test);
    }
    evaluation.delta = options_.delta;
    evaluation.prices = prices_text(prices_);
    for (const std::string& why : missing_) context_.progress.warn(fmt::format("no cost for some tasks: {}", why));
    manifest.summary = {
        {"delta", options_.delta}, {"text", "scrubbed"}, {"tasks", std::move(rows)}, {"history", std::move(history)}};

    const Bytes seen = serialise_seen(setting_->view);
    SLM_TRY(manifest.outputs[std::string(kSeenFile)],
            context_.store.keyed_digest(fmt::format("seen\n{}", to_hex(sha256(seen)))));
    SLM_TRY(manifest.outputs[std::string(kOutcomesFile)],
            context_.store.keyed_digest(fmt::format("outcomes\n{}", sha256_hex(outcomes_))));
    manifest.id = manifest.digest().substr(0, 16);

    const fs::path dir = artifact_dir(context_.store.dir(), kStep, manifest.id);
    std::error_code ec;
    if (!fs::exists(dir / "manifest.json", ec)) {
      SLM_CHECK(make_dirs(dir.parent_path()));
      SLM_TRY(StagedDir staged, StagedDir::create(dir));
      SLM_CHECK(
          context_.store.seal_file(sealed_path(staged.path(), kSeenFile), sealed_name(manifest.id, kSeenFile), seen));
      SLM_CHECK(context_.store.seal_file(sealed_path(staged.path(), kOutcomesFile),
                                         sealed_name(manifest.id, kOutcomesFile), as_bytes(outcomes_)));
      const json::object timing = {
          {"prices", evaluation.prices}, {"tasks", std::move(timings)}, {"history", std::move(old_timings)}};
      SLM_CHECK(write_file_atomic(staged.path() / "timing.json", pretty_json(timing)));
      SLM_CHECK(write_manifest(staged.path(), manifest));
      SLM_CHECK(staged.commit());
    }
    return set_current(context_.store.dir(), kStep, manifest.id);
  }

  const EvaluateContext& context_;
  const EvaluateOptions& options_;
  Bases bases_;
  std::unique_ptr<Setting> setting_;
  score::PriceList prices_;
  std::vector<Plan> plans_;
  std::map<std::string, SeenGroups> seen_;
  Volumes volumes_;
  std::vector<TaskEvaluation> rows_;  // by task index
  std::vector<TaskTiming> timings_;
  std::set<std::string> missing_;  // what costs couldn't be told for
  std::string outcomes_;           // JSON lines
};

}  // namespace

Result<EvaluateResult> evaluate_tasks(const EvaluateContext& context, const EvaluateOptions& options) {
  if (!(options.delta > 0 && options.delta < 1))
    return fail(ErrorCode::kUsage, fmt::format("the margin is {}, must be above 0 and below 1", options.delta),
                "slmconv evaluate --delta 0.05");
  return Evaluator(context, options).run();
}

}  // namespace slm::evaluate
