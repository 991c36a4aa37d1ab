#include "finetune/task_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>

#include "finetune/source.h"
#include "score/match.h"
#include "select/artifact.h"

namespace slm::finetune {

namespace fs = std::filesystem;
using dataset::Side;
using dataset::View;

namespace {

uint32_t index_of(const Setting& setting, const cluster::TaskInfo& task) {
  return static_cast<uint32_t>(&task - setting.tasks.map.tasks().data());
}

// Rows of one side, at most `limit` of them by keyed hash of the id, so that a limit picks no part of the log.
Result<std::vector<uint32_t>> rows_of(const TaskContext& context, const Setting& setting, const cluster::TaskInfo& task,
                                      Side side, int64_t limit) {
  auto rows = setting.view.select({.task = index_of(setting, task), .side = side});
  if (limit <= 0 || static_cast<int64_t>(rows.size()) <= limit) return rows;
  std::vector<std::pair<std::string, uint32_t>> keyed;
  keyed.reserve(rows.size());
  for (const uint32_t row : rows) {
    SLM_TRY(std::string hash, context.store.keyed_digest("example\n" + setting.view.rows()[row].id.hex()));
    keyed.emplace_back(std::move(hash), row);
  }
  std::nth_element(keyed.begin(), keyed.begin() + limit, keyed.end());
  rows.clear();
  for (int64_t i = 0; i < limit; ++i) rows.push_back(keyed[static_cast<size_t>(i)].second);
  std::sort(rows.begin(), rows.end());
  return rows;
}

Result<Examples> load_examples(const TaskContext& context, const Setting& setting, const Base& base,
                               const cluster::TaskInfo& task, const std::vector<uint32_t>& rows) {
  Examples out;
  out.n_in = static_cast<int64_t>(rows.size());
  SLM_TRY(out.digest, setting.view.digest(context.store, rows));
  const auto context_length = static_cast<size_t>(base.config.max_positions);
  SLM_CHECK(setting.view.load(context.store, rows, "finetune", [&](uint32_t row, Call& call) -> Status {
    const json::object* answer = answer_of(call.body);
    if (answer == nullptr) {
      ++out.dropped["no_answer"];
      return {};
    }
    if (const auto* truth = call.body.truth.if_object();
        truth != nullptr && !score::grade(task.kind, *answer, *truth).exact) {
      ++out.dropped["answer_wrong"];
      return {};
    }
    auto example = base.codec->encode_example({call.body.messages, call.body.tools}, *answer);
    if (!example && example.error().code != ErrorCode::kBadInput) return fail(std::move(example).error());
    if (!example) {
      ++out.dropped["template_refuses"];
      return {};
    }
    if (example->ids.size() > context_length) {
      ++out.dropped["too_long"];
      return {};
    }
    out.n_tokens += static_cast<int64_t>(example->ids.size());
    out.n_completion += static_cast<int64_t>(example->ids.size() - example->n_prompt);
    out.longest = std::max(out.longest, static_cast<int64_t>(example->ids.size()));
    const int32_t key = nn::rope_key(base.config, static_cast<int64_t>(example->ids.size()));
    std::vector<nn::LoggedTopK> logged;
    if (const auto* held = logprobs_of(call.body); base.top_k && held != nullptr) {
      logged = base.top_k->match(*example, logged_tokens(*held));
      ++out.n_with_logprobs;
      out.n_covered += std::ssize(logged);
    }
    out.sequences.push_back({std::move(example->ids), example->n_prompt, 0, key, std::move(logged)});
    out.sessions.push_back(setting.view.rows()[row].group);
    return {};
  }));
  return out;
}

// Why a task can't be trained.
Error nothing_to_train(const TaskData& data) {
  const Examples& train = data.train;
  std::vector<std::string> reasons;
  for (const auto& [reason, n] : train.dropped) reasons.push_back(fmt::format("{} {}", n, reason));
  return {ErrorCode::kBadInput,
          fmt::format("task {} ({}) has no call to train on: {} on the training side{}{}", data.task->id.value,
                      data.task->name, train.n_in, reasons.empty() ? "" : ": ", fmt::join(reasons, ", ")),
          train.dropped.contains("template_refuses") || train.dropped.contains("too_long")
              ? "another model, by --base DIR"
              : "slmconv report tasks"};
}

}  // namespace

Result<Setting> prepare(const TaskContext& context) {
  SLM_TRY(auto tasks, cluster::load_tasks(context.store));
  std::unordered_map<CallId, View::TaskOf> task_of;
  task_of.reserve(tasks.calls.size());
  for (const auto& call : tasks.calls) task_of[call.id] = {call.task, call.outlier};
  SLM_TRY(auto view, View::build(context.store, task_of, "finetune"));
  return Setting{std::move(tasks), std::move(view)};
}

Status use_base(const TaskContext& context, const cluster::TaskInfo& task, const TaskSettings& settings, Base& base) {
  fs::path path = settings.base;
  if (path.empty()) {
    SLM_TRY(const auto selection, select::load_selection(context.store.dir()));
    const auto* candidates = selection.find(task.id);
    const auto* chosen = candidates == nullptr ? nullptr : candidates->chosen();
    if (chosen == nullptr)
      return fail(ErrorCode::kManifestMismatch,
                  fmt::format("select chose no model for {} whose weights are here", task.id.value),
                  "slmconv models add DIR, then slmconv select; or --base DIR");
    path = chosen->path;
  }
  std::error_code ec;
  path = fs::weakly_canonical(path, ec);
  if (path == base.path) return {};
  base = Base{};
  SLM_TRY(base.codec, model::Codec::open(path));
  SLM_TRY(base.config, nn::read_config(path));
  SLM_TRY(base.digest, select::model_digest(path));
  base.path = path;
  if (settings.distil == Distil::kLogits && settings.teacher.empty()) {
    base.top_k.emplace(base.codec->vocabulary());
  } else if (settings.distil == Distil::kLogits) {
    SLM_TRY(base.teacher, Teacher::open(settings.teacher));
    SLM_CHECK(base.teacher->fit(path, base.config));
  }
  return {};
}

Result<std::vector<const cluster::TaskInfo*>> choose(const TaskContext& context, const Setting& setting,
                                                     const TaskChoice& choice) {
  std::vector<const cluster::TaskInfo*> out;
  for (const auto& name : choice.tasks) {
    const auto* task = setting.tasks.map.find(std::string_view(name));
    if (task == nullptr)
      return fail(ErrorCode::kBadInput, fmt::format("no task {} among {}", name, setting.tasks.map.tasks().size()),
                  "slmconv report tasks");
    out.push_back(task);
  }
  if (!choice.all) return out;
  for (const auto& task : setting.tasks.map.tasks()) {
    if (task.excluded || std::find(out.begin(), out.end(), &task) != out.end()) continue;
    if (score::needs_truth(task.kind)) {
      SLM_TRY(const bool has_truth, setting.view.units_have_truth(context.store, index_of(setting, task)));
      if (!score::is_measurable(task.kind, has_truth)) {
        context.progress.note(
            fmt::format("{} ({}): left out: text can't be measured without the truth of the calls that test it, one a "
                        "session group; name it to train it all the same",
                        task.id.value, task.name));
        continue;
      }
    }
    out.push_back(&task);
  }
  return out;
}

double coverage(const Examples& train) {
  return static_cast<double>(train.n_covered) / static_cast<double>(std::max<int64_t>(1, train.n_completion));
}

namespace {

// Says how much is known of a large model's probabilities; refuses where that is next to nothing.
Status check_coverage(const TaskContext& context, const TaskData& data) {
  const Examples& train = data.train;
  const std::string line =
      fmt::format("{}: {} of {} calls were logged with probabilities, which cover {} of {} trained tokens ({:.0f} %)",
                  data.task->id.value, train.n_with_logprobs, train.sequences.size(), train.n_covered,
                  train.n_completion, 100 * coverage(train));
  if (coverage(train) >= kLeastCoverage) {
    context.progress.note(line);
    return {};
  }
  return fail(ErrorCode::kUnsupportedModel, fmt::format("{}; at least {:.0f} % are wanted", line, 100 * kLeastCoverage),
              "--distill sequence for the logged answers alone, or --teacher DIR");
}

}  // namespace

Result<TaskData> load_task(const TaskContext& context, const Setting& setting, const Base& base,
                           const cluster::TaskInfo& task, const TaskSettings& settings) {
  TaskData data;
  data.task = &task;
  SLM_TRY(const auto train_rows, rows_of(context, setting, task, Side::kTrain, settings.max_examples));
  SLM_TRY(const auto validation_rows, rows_of(context, setting, task, Side::kValidation, settings.max_validation));
  SLM_TRY(data.train, load_examples(context, setting, base, task, train_rows));
  SLM_TRY(data.validation, load_examples(context, setting, base, task, validation_rows));
  if (data.train.sequences.empty()) return data;
  if (base.teacher) SLM_CHECK(base.teacher->reads(data.train.sequences));
  if (base.top_k) SLM_CHECK(check_coverage(context, data));
  if (settings.shuffle_calls) std::iota(data.train.sessions.begin(), data.train.sessions.end(), 0u);
  data.steps_per_epoch = count_steps(data.train.sessions, settings.batch, settings.seed, 1);
  data.n_steps = count_steps(data.train.sessions, settings.batch, settings.seed, settings.epochs);
  if (settings.max_steps > 0) data.n_steps = std::min(data.n_steps, settings.max_steps);
  return data;
}

Result<bool> LeftOut::ask(const TaskData& data) {
  if (!data.train.sequences.empty()) return false;
  const auto& named = choice_.tasks;
  const bool is_named = std::any_of(named.begin(), named.end(), [&](const std::string& name) {
    return name == data.task->id.value || name == data.task->name;
  });
  Error error = nothing_to_train(data);
  if (is_named || ++n_ == n_chosen_) return fail(std::move(error));
  context_.progress.warn(fmt::format("{}; left out", error.message));
  return true;
}

}  // namespace slm::finetune
