#include "finetune/tasks.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "core/file.h"
#include "core/hash.h"
#include "finetune/artifact.h"
#include "finetune/memory.h"
#include "finetune/peft.h"
#include "finetune/source.h"
#include "finetune/task_data.h"
#include "nn/export.h"
#include "nn/plan.h"
#include "nn/process_memory.h"
#include "schema/artifacts.h"

namespace slm::finetune {
namespace {

namespace fs = std::filesystem;

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

MemoryPlanner memory_planner(const TaskContext& context, const TaskSettings& settings, const Base& base) {
  MemoryPlanner out(base.config, settings.dtype,
                    {.rank = settings.full ? 0 : settings.lora.rank,
                     .dropout = settings.lora.dropout > 0,
                     .dora = settings.lora.dora,
                     .nf4 = settings.nf4});
  int64_t budget = settings.memory_bytes;
  if (budget == 0 && settings.device == "cpu")
    budget =
        memory_share(nn::machine_memory_bytes(), context.processes == nullptr ? 1 : context.processes->local_size());
  const int64_t teacher = base.teacher ? nn::plan_serve(base.teacher->config(), settings.dtype, 1, 1).weight_bytes : 0;
  out.set_budget(budget > 0 ? budget : std::numeric_limits<int64_t>::max(), teacher);
  return out;
}

// Of the first micro-batches: the plan of the one that takes most, what it would take with all activations held, how
// many are computed again, and how many tokens of calls one computed token serves.
struct FirstSteps {
  nn::TrainPlan memory;
  int64_t held_bytes = 0, budget_bytes = 0;
  double recomputed = 0, sharing = 1;
};
Result<FirstSteps> first_steps(const TaskContext& context, const Base& base, const TaskData& data,
                               const TaskSettings& settings) {
  constexpr int64_t kSteps = 64;
  ShuffledSource source(data.train.sequences, data.train.sessions, source_options(context, settings));
  const MemoryPlanner planner = memory_planner(context, settings, base);
  FirstSteps out;
  out.budget_bytes = planner.budget_bytes();
  int64_t n_tokens = 0, n_computed = 0, n_batches = 0, n_recomputed = 0;
  for (int64_t step = 0; step < std::min(kSteps, data.n_steps); ++step) {
    SLM_TRY(const auto batches, source.next());
    for (const auto& batch : batches) {
      n_tokens += batch.n_tokens;
      n_computed += batch.size();
      const auto plan = planner.plan(batch);
      ++n_batches;
      n_recomputed += plan.recompute;
      if (plan.total_bytes > out.memory.total_bytes) out.memory = plan;
      out.held_bytes = std::max(out.held_bytes, planner.plan_held(batch).total_bytes);
    }
  }
  out.recomputed = static_cast<double>(n_recomputed) / static_cast<double>(std::max<int64_t>(1, n_batches));
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
              {"shuffle_calls", settings.shuffle_calls},
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
    options.recomputes = [this, planner = memory_planner(context_, settings_, base_)](const nn::ForestBatch& batch) {
      return recomputes(planner, batch);
    };
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
      json::object line{{"step", r.step}, {"loss", r.loss}, {"rate", r.rate}, {"grad_norm", r.grad_norm}};
      if (r.n_recomputed > 0) line["recomputed"] = r.n_recomputed;
      record(std::move(line));
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
    if (result->n_recomputed > 0) manifest.summary["recomputed"] = result->n_recomputed;
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
  // Says so the first time, and what to do where it is too much all the same.
  bool recomputes(const MemoryPlanner& planner, const nn::ForestBatch& batch) {
    const auto plan = planner.plan(batch);
    const auto gb = [](int64_t bytes) { return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9); };
    if (plan.recompute && !std::exchange(said_recomputes_, true))
      context_.progress.note(fmt::format(
          "{}: {} tokens at once would take {}, the budget is {} (--memory-gb): where it must be, layers are computed "
          "again on the way back, in {}",
          data_.task->id.value, batch.size(), gb(planner.plan_held(batch).total_bytes), gb(planner.budget_bytes()),
          gb(plan.total_bytes)));
    if (plan.total_bytes > planner.budget_bytes() && !std::exchange(said_too_much_, true))
      context_.progress.warn(fmt::format("{}: {} tokens at once take {}, the budget is {}: lower --batch-tokens",
                                         data_.task->id.value, batch.size(), gb(plan.total_bytes),
                                         gb(planner.budget_bytes())));
    return plan.recompute;
  }
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
  bool said_recomputes_ = false, said_too_much_ = false;
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
  options.recomputes = [planner = memory_planner(context, settings, base)](const nn::ForestBatch& batch) {
    return planner.plan(batch).recompute;
  };
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
                     .held_bytes = first.held_bytes,
                     .budget_bytes = first.budget_bytes,
                     .recomputed = first.recomputed,
                     .coverage = coverage(data.train),
                     .sharing = first.sharing,
                     .tokens_per_s = speed,
                     .minutes = speed > 0 ? tokens / speed / 60 : 0,
                     .mask = mask_of(*base.codec, data.train.sequences.front())});
  }
  return plans;
}

}  // namespace slm::finetune
