#include "finetune/tasks.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "cluster/artifact.h"
#include "core/file.h"
#include "core/hash.h"
#include "dataset/view.h"
#include "finetune/artifact.h"
#include "finetune/peft.h"
#include "finetune/source.h"
#include "finetune/teacher.h"
#include "finetune/top_k.h"
#include "model/codec.h"
#include "nn/export.h"
#include "nn/plan.h"
#include "schema/artifacts.h"
#include "score/match.h"
#include "select/artifact.h"

namespace slm::finetune {
namespace {

namespace fs = std::filesystem;
using dataset::Side;
using dataset::View;

// A base model; its weights are loaded when the first task needs them.
struct Base {
  fs::path path;
  std::unique_ptr<model::Codec> codec;
  nn::ModelConfig config;
  std::string digest;
  std::optional<nn::Decoder> decoder;
  std::optional<Teacher> teacher;  // of distillation, fitted to it
  std::optional<TopK> top_k;       // of distillation from logged probabilities
};

// What all tasks of a run share.
struct Setting {
  cluster::LoadedTasks tasks;
  View view;
};

struct Examples {
  std::vector<nn::Sequence> sequences;
  std::vector<uint32_t> sessions;  // session group of each sequence
  int64_t n_in = 0, n_tokens = 0, n_completion = 0, longest = 0;
  int64_t n_with_logprobs = 0, n_covered = 0;  // calls, and tokens of theirs, when learning from logged probabilities
  std::map<std::string, int64_t> dropped;
  std::string digest;  // of the rows asked for
};

struct TaskData {
  const cluster::TaskInfo* task = nullptr;
  Examples train, validation;
  int64_t steps_per_epoch = 0, n_steps = 0;
};

Result<Setting> prepare(const TaskContext& context) {
  SLM_TRY(auto tasks, cluster::load_tasks(context.store));
  std::unordered_map<CallId, View::TaskOf> task_of;
  task_of.reserve(tasks.calls.size());
  for (const auto& call : tasks.calls) task_of[call.id] = {call.task, call.outlier};
  SLM_TRY(auto view, View::build(context.store, task_of, "finetune"));
  return Setting{std::move(tasks), std::move(view)};
}

// The base of one task: the one given, else what select chose for it. `base` is kept while it stays the same.
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

uint32_t index_of(const Setting& setting, const cluster::TaskInfo& task) {
  return static_cast<uint32_t>(&task - setting.tasks.map.tasks().data());
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

double coverage(const Examples& train) {
  return static_cast<double>(train.n_covered) / static_cast<double>(std::max<int64_t>(1, train.n_completion));
}

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
  if (!settings.whole_sessions) std::iota(data.train.sessions.begin(), data.train.sessions.end(), 0u);
  data.steps_per_epoch = count_steps(data.train.sessions, settings.batch, settings.seed, 1);
  data.n_steps = count_steps(data.train.sessions, settings.batch, settings.seed, settings.epochs);
  if (settings.max_steps > 0) data.n_steps = std::min(data.n_steps, settings.max_steps);
  return data;
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

// A task of --all without a call to train on is left out, and said; one that was named, or the only one, is an error.
class LeftOut {
 public:
  LeftOut(const TaskContext& context, const TaskChoice& choice, size_t n_chosen)
      : context_(context), choice_(choice), n_chosen_(n_chosen) {}
  // True: pass over it.
  Result<bool> ask(const TaskData& data) {
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

 private:
  const TaskContext& context_;
  const TaskChoice& choice_;
  size_t n_chosen_, n_ = 0;
};

TrainOptions train_options(const TaskContext& context, const TaskData& data, const TaskSettings& settings, Base& base) {
  TrainOptions options;
  options.processes = context.processes;
  options.schedule = {.peak = settings.learning_rate,
                      .warmup_steps = std::llround(settings.warmup_ratio * static_cast<double>(data.n_steps)),
                      .n_steps = data.n_steps};
  options.adamw = {.weight_decay = settings.weight_decay, .clip_norm = settings.clip_norm};
  options.seed = settings.seed;
  if (settings.n_validations > 0 && !data.validation.sequences.empty())
    options.validate_every = std::max<int64_t>(1, data.n_steps / settings.n_validations);
  options.patience = settings.patience;
  options.checkpoint_every = settings.checkpoint_every;
  if (base.teacher) {
    options.teacher = &base.teacher->decoder();
    options.distil = {settings.distil_share, settings.distil_temperature, base.teacher->n_common()};
  }
  if (base.top_k) {
    options.logged = true;
    options.distil.share = settings.distil_share;
  }
  return options;
}

// A shared token would have one mask of dropout for all its calls.
ShuffledSource::Options source_options(const TaskContext& context, const TaskSettings& settings) {
  const auto* processes = context.processes;
  return {.batch = settings.batch,
          .max_batch_tokens = settings.max_batch_tokens,
          .seed = settings.seed,
          .share_prefixes = settings.full || settings.lora.dropout == 0,
          .rank = processes == nullptr ? 0 : processes->rank(),
          .n_ranks = processes == nullptr ? 1 : processes->size()};
}

// Of the first micro-batches: the plan of the one that takes most, and how many tokens of calls one computed token
// serves.
struct FirstSteps {
  nn::TrainPlan memory;
  double sharing = 1;
};
Result<FirstSteps> first_steps(const TaskContext& context, const Base& base, const TaskData& data,
                               const TaskSettings& settings) {
  constexpr int64_t kSteps = 64;
  ShuffledSource source(data.train.sequences, data.train.sessions, source_options(context, settings));
  FirstSteps out;
  nn::TrainPlan& most = out.memory;
  int64_t n_tokens = 0, n_computed = 0;
  for (int64_t step = 0; step < std::min(kSteps, data.n_steps); ++step) {
    SLM_TRY(const auto batches, source.next());
    for (const auto& batch : batches) {
      n_tokens += batch.n_tokens;
      n_computed += batch.size();
      const auto plan =
          nn::plan_train(base.config, settings.dtype,
                         {.batch_tokens = batch.size(),
                          .longest = 1 + *std::max_element(batch.positions.begin(), batch.positions.end()),
                          .rank = settings.full ? 0 : settings.lora.rank,
                          .dropout = settings.lora.dropout > 0,
                          .dora = settings.lora.dora,
                          .nf4 = settings.nf4});
      if (plan.total_bytes > most.total_bytes) most = plan;
    }
  }
  if (base.teacher) most.total_bytes += nn::plan_serve(base.teacher->config(), settings.dtype, 1, 1).weight_bytes;
  out.sharing = static_cast<double>(n_tokens) / static_cast<double>(std::max<int64_t>(1, n_computed));
  return out;
}

Manifest planned_manifest(const Setting& setting, const Base& base, const TaskData& data,
                          const TaskSettings& settings) {
  Manifest m;
  m.step = "finetune";
  m.seed = settings.seed;
  m.config = {{"task", data.task->id.value},
              {"base", base.path.string()},
              {"base_digest", base.digest},
              {"method", settings.full ? kFull : "lora"},
              {"learning_rate", settings.learning_rate},
              {"warmup_ratio", settings.warmup_ratio},
              {"weight_decay", settings.weight_decay},
              {"clip_norm", settings.clip_norm},
              {"batch", settings.batch},
              {"whole_sessions", settings.whole_sessions},
              {"n_steps", data.n_steps},
              {"n_validations", settings.n_validations},
              {"patience", settings.patience},
              {"dtype", settings.dtype == nn::DType::kFloat32    ? "float32"
                        : settings.dtype == nn::DType::kBFloat16 ? "bfloat16"
                                                                 : "auto"}};
  if (!settings.full) {
    json::array targets;
    for (const auto& target : settings.lora.targets) targets.emplace_back(target);
    const json::object lora{{"rank", settings.lora.rank},       {"alpha", settings.lora.alpha},
                            {"dropout", settings.lora.dropout}, {"rslora", settings.lora.rslora},
                            {"dora", settings.lora.dora},       {"targets", targets}};
    m.config.insert(lora.begin(), lora.end());
  }
  if (settings.nf4) m.config["base_quantisation"] = kNf4;
  if (settings.distil != Distil::kNo)
    m.config["distill"] = base.teacher ? "logits" : base.top_k ? "logged" : "sequence";
  if (base.top_k) m.config["distill_weight"] = settings.distil_share;
  if (base.teacher) {
    m.config["teacher"] = base.teacher->dir().string();
    m.config["distill_weight"] = settings.distil_share;
    m.config["temperature"] = settings.distil_temperature;
  }
  m.inputs = {{"tasks", setting.tasks.manifest.digest()},
              {"base", base.digest},
              {"train", data.train.digest},
              {"validation", data.validation.digest}};
  if (base.teacher) m.inputs["teacher"] = base.teacher->digest();
  m.n_in = data.train.n_in;
  m.n_out = static_cast<int64_t>(data.train.sequences.size());
  m.dropped = data.train.dropped;
  m.device = settings.device;
  return m;
}

at::ScalarType compute_type(nn::DType dtype) {
  if (dtype == nn::DType::kAuto) return nn::cpu_has_bf16() ? at::kBFloat16 : at::kFloat;
  return dtype == nn::DType::kBFloat16 ? at::kBFloat16 : at::kFloat;
}

Status load_weights(const TaskSettings& settings, Base& base) {
  if (settings.threads > 0) at::set_num_threads(settings.threads);
  nn::Decoder::Options options;
  options.compute = compute_type(settings.dtype);
  SLM_TRY(options.device, nn::open_device(settings.device));
  if (base.teacher) SLM_CHECK(base.teacher->load(options));
  if (base.decoder) return {};
  options.trainable = settings.full;
  if (settings.nf4) options.nf4 = nn::Nf4Base::kPacked;
  SLM_TRY(base.decoder, nn::Decoder::load(base.path, options));
  return {};
}

// This process's part of what validates.
std::vector<nn::Sequence> validation_part(const TaskContext& context, const TaskData& data) {
  const auto& all = data.validation.sequences;
  if (context.processes == nullptr) return all;
  std::vector<uint32_t> order(all.size());
  std::iota(order.begin(), order.end(), 0u);
  std::vector<int64_t> lengths;
  for (const auto& sequence : all) lengths.push_back(std::ssize(sequence.ids));
  const auto parts = cut_step(order, lengths, context.processes->size());
  std::vector<nn::Sequence> out;
  for (const uint32_t i : parts[static_cast<size_t>(context.processes->rank())]) out.push_back(all[i]);
  return out;
}

// Checkpoints lie sealed: weights count as curated data.
fs::path checkpoint_path(const fs::path& store, const std::string& task) {
  return artifact_dir(store, "finetune", fmt::format("checkpoint.{}", task));
}

class TaskRun {
 public:
  TaskRun(const TaskContext& context, const TaskSettings& settings, TaskData& data, Base& base)
      : context_(context), settings_(settings), data_(data), base_(base) {}

  Result<TaskOutcome> train(Manifest manifest) {
    const auto& task = *data_.task;
    if (!settings_.full) SLM_CHECK(base_.decoder->add_lora(settings_.lora, settings_.seed, true));
    if (settings_.lora.dropout > 0)
      context_.progress.note("dropout draws a mask for every token of every call: shared beginnings are computed anew");
    ShuffledSource source(std::move(data_.train.sequences), data_.train.sessions, source_options(context_, settings_));
    TrainOptions options = train_options(context_, data_, settings_, base_);
    options.identity = manifest.input_digest();
    Trainer trainer(*base_.decoder, source, std::move(options), context_.clock);
    trainer.set_validation(
        nn::make_forests(validation_part(context_, data_), {.max_tokens = settings_.max_batch_tokens}));
    const fs::path checkpoint = checkpoint_path(context_.store.dir(), task.id.value);
    std::error_code ec;
    if (settings_.resume && fs::exists(checkpoint, ec)) {
      SLM_TRY(const Bytes bytes, context_.store.open_sealed_file(checkpoint, checkpoint.filename().string()));
      SLM_CHECK(trainer.resume(bytes));
      context_.progress.note(fmt::format("{}: going on from a checkpoint", task.id.value));
    } else if (settings_.resume) {
      context_.progress.note(fmt::format("{}: no checkpoint to go on from, training starts anew", task.id.value));
    }

    std::string metrics;
    TrainHooks hooks;
    const auto record = [&](json::object line) {
      metrics += json::serialize(line) + '\n';
      if (!context_.metrics) return;
      line["task"] = task.id.value;
      context_.metrics(line);
    };
    hooks.on_step = [&](const StepReport& r) {
      record({{"step", r.step}, {"loss", r.loss}, {"rate", r.rate}, {"grad_norm", r.grad_norm}});
      context_.progress.advance(static_cast<uint64_t>(r.step),
                                fmt::format("loss {:.3f}, {:.0f} tokens/s", r.loss, r.tokens_per_s));
    };
    hooks.on_validation = [&](const ValidationReport& r) {
      record({{"step", r.step}, {"validation_loss", r.loss}, {"validation_accuracy", r.accuracy}});
    };
    const bool writes = context_.processes == nullptr || context_.processes->is_first();
    if (writes)
      hooks.save = [&](const Bytes& bytes) -> Status {
        SLM_CHECK(make_dirs(checkpoint.parent_path()));
        return context_.store.seal_file(checkpoint, checkpoint.filename().string(), bytes);
      };
    context_.progress.start(fmt::format("finetune {} {}", task.id.value, task.name),
                            static_cast<uint64_t>(data_.n_steps));
    const double start_s = context_.clock.monotonic_s();
    auto result = trainer.run(hooks);
    context_.progress.finish();
    if (!result) {
      Error error = result.error();
      if (error.code == ErrorCode::kInterrupted)
        error = {ErrorCode::kInterrupted,
                 fmt::format("interrupted while training {}; a checkpoint was sealed", task.id.value),
                 "the same command with --resume"};
      return fail(std::move(error));
    }

    if (!writes) {
      if (settings_.full) base_.decoder.reset();
      SLM_CHECK(wait_for_first());
      return TaskOutcome{
          .task = task.id.value, .name = task.name, .manifest = std::move(manifest), .changed = true, .train = *result};
    }
    SLM_TRY(const nn::AdapterFiles files, trained_files());
    manifest.summary = {{"n_steps", result->n_steps},
                        {"n_tokens", result->n_tokens},
                        {"n_validation", static_cast<int64_t>(data_.validation.sequences.size())},
                        {"best_step", result->best_step},
                        {"validation_loss", result->best_loss},
                        {"validation_accuracy", result->best_accuracy},
                        {"loss", result->loss},
                        {"stopped_early", result->stopped_early}};
    if (base_.top_k) manifest.summary["coverage"] = coverage(data_.train);
    manifest.made_ms = context_.clock.now_ms();
    manifest.seconds = context_.clock.monotonic_s() - start_s;
    SLM_CHECK(save_adapter(context_.store, manifest, files, metrics));
    fs::remove(checkpoint, ec);
    if (context_.processes != nullptr) SLM_CHECK(wait_for_first());
    if (settings_.full) base_.decoder.reset();  // the next task starts from the base again
    return TaskOutcome{
        .task = task.id.value, .name = task.name, .manifest = std::move(manifest), .changed = true, .train = *result};
  }

 private:
  // Until the first process has written what was trained; all of them call it.
  Status wait_for_first() const { return context_.processes->sum(at::zeros({1}, at::kFloat)); }
  // All weights are kept in the type they were computed with: what was validated is what is served.
  Result<nn::AdapterFiles> trained_files() const {
    if (!settings_.full) return peft_files(*base_.decoder, base_.path.filename().string());
    const bool wide = base_.decoder->options().compute == at::kFloat;
    SLM_TRY(Bytes weights, nn::weight_file(*base_.decoder, wide ? nn::DType::kFloat32 : nn::DType::kBFloat16));
    return nn::AdapterFiles{.config_json = {}, .weights = std::move(weights), .full = true};
  }

  const TaskContext& context_;
  const TaskSettings& settings_;
  TaskData& data_;
  Base& base_;
};

// Tokens a second of a whole step (forward and backward), measured on the first batches.
Result<double> measure_speed(const TaskContext& context, const TaskData& data, const TaskSettings& settings,
                             Base& base) {
  nn::Decoder& decoder = *base.decoder;
  if (!settings.full) SLM_CHECK(decoder.add_lora(settings.lora, settings.seed, true));
  ShuffledSource source(data.train.sequences, data.train.sessions, source_options(context, settings));
  TrainOptions options = train_options(context, data, settings, base);
  options.schedule.n_steps = 3;
  options.validate_every = 0;
  double first_s = 0, last_s = 0;
  int64_t first_tokens = 0, last_tokens = 0;
  TrainHooks hooks;
  hooks.on_step = [&](const StepReport& r) {  // the first step also warms up
    (r.step == 1 ? first_s : last_s) = context.clock.monotonic_s();
    (r.step == 1 ? first_tokens : last_tokens) = r.n_tokens;
  };
  Trainer trainer(decoder, source, options, context.clock);
  SLM_CHECK(trainer.run(hooks));
  return last_s > first_s ? static_cast<double>(last_tokens - first_tokens) / (last_s - first_s) : 0.0;
}

// Special tokens by their text, others by their number only: they are the call's text.
std::vector<std::string> spell(const model::Codec& codec, std::span<const int32_t> ids) {
  std::vector<std::string> out;
  size_t n_plain = 0;
  const auto end_plain = [&] {
    if (n_plain > 0) out.push_back(fmt::format("{}", n_plain));
    n_plain = 0;
  };
  for (const int32_t& id : ids) {
    const std::string text = codec.decode_text({&id, 1}, true);
    if (text.empty() || !codec.decode_text({&id, 1}, false).empty()) {
      ++n_plain;
      continue;
    }
    end_plain();
    out.push_back(text);
  }
  end_plain();
  return out;
}

std::string mask_of(const model::Codec& codec, const nn::Sequence& s) {
  const std::span<const int32_t> ids(s.ids);
  auto masked = spell(codec, ids.first(s.n_prompt)), trained = spell(codec, ids.subspan(s.n_prompt));
  constexpr size_t kShown = 6;  // of each side, nearest to the border and to the end
  if (masked.size() > kShown) {
    masked.erase(masked.begin(), masked.end() - kShown);
    masked.insert(masked.begin(), "…");
  }
  if (trained.size() > kShown) {
    trained.erase(trained.begin() + kShown / 2, trained.end() - kShown / 2);
    trained.insert(trained.begin() + kShown / 2, "…");
  }
  return fmt::format("-{}: {} | +{}: {}", s.n_prompt, fmt::join(masked, " "), s.ids.size() - s.n_prompt,
                     fmt::join(trained, " "));
}

}  // namespace

Result<std::vector<TaskOutcome>> finetune_tasks(const TaskContext& context, const TaskChoice& choice,
                                                const TaskSettings& settings) {
  SLM_TRY(const Setting setting, prepare(context));
  SLM_TRY(const auto chosen, choose(context, setting, choice));
  Base base;
  LeftOut left_out(context, choice, chosen.size());
  std::vector<TaskOutcome> outcomes;
  for (const auto* task : chosen) {
    if (interrupted())
      return fail(ErrorCode::kInterrupted, fmt::format("interrupted before {}", task->id.value),
                  "the same command with --resume");
    SLM_CHECK(use_base(context, *task, settings, base));
    SLM_TRY(TaskData data, load_task(context, setting, base, *task, settings));
    Manifest manifest = planned_manifest(setting, base, data, settings);
    if (context.processes != nullptr)
      SLM_CHECK(context.processes->agree("settings or data of " + task->id.value, manifest.input_digest()));
    SLM_TRY(const bool pass_over, left_out.ask(data));
    if (pass_over) {
      outcomes.push_back(
          {.task = task->id.value, .name = task->name, .manifest = std::move(manifest), .left_out = true});
      continue;
    }
    if (auto same = unchanged(context.store.dir(), manifest, task->id.value)) {
      outcomes.push_back({.task = task->id.value, .name = task->name, .manifest = std::move(*same)});
      continue;
    }
    SLM_CHECK(load_weights(settings, base));
    SLM_TRY(TaskOutcome outcome, TaskRun(context, settings, data, base).train(std::move(manifest)));
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

Result<std::vector<TaskPlan>> plan_tasks(const TaskContext& context, const TaskChoice& choice,
                                         const TaskSettings& settings) {
  SLM_TRY(const Setting setting, prepare(context));
  SLM_TRY(const auto chosen, choose(context, setting, choice));
  Base base;
  LeftOut left_out(context, choice, chosen.size());
  std::vector<TaskPlan> plans;
  for (const auto* task : chosen) {
    SLM_CHECK(use_base(context, *task, settings, base));
    SLM_TRY(const TaskData data, load_task(context, setting, base, *task, settings));
    SLM_TRY(const bool pass_over, left_out.ask(data));
    if (pass_over) {
      plans.push_back({.task = task->id.value, .name = task->name, .left_out = true, .dropped = data.train.dropped});
      continue;
    }
    SLM_CHECK(load_weights(settings, base));
    SLM_TRY(const auto first, first_steps(context, base, data, settings));
    SLM_TRY(const double speed, measure_speed(context, data, settings, base));
    const double tokens = static_cast<double>(data.train.n_tokens) * static_cast<double>(data.n_steps) /
                          static_cast<double>(data.steps_per_epoch);
    plans.push_back({.task = task->id.value,
                     .name = task->name,
                     .n_examples = static_cast<int64_t>(data.train.sequences.size()),
                     .n_validation = static_cast<int64_t>(data.validation.sequences.size()),
                     .n_tokens = data.train.n_tokens,
                     .n_completion_tokens = data.train.n_completion,
                     .longest = data.train.longest,
                     .n_steps = data.n_steps,
                     .dropped = data.train.dropped,
                     .memory_bytes = first.memory.total_bytes,
                     .n_parameters = first.memory.n_adapter_parameters,
                     .coverage = coverage(data.train),
                     .sharing = first.sharing,
                     .tokens_per_s = speed,
                     .minutes = speed > 0 ? tokens / speed / 60 : 0,
                     .mask = mask_of(*base.codec, data.train.sequences.front())});
  }
  return plans;
}

}  // namespace slm::finetune
