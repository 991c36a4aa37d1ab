#include "commands/finetune.h"

#include <fmt/format.h>
#include <sched.h>

#include <cstdlib>
#include <thread>

#include "commands/store.h"
#include "finetune/tasks.h"

namespace slm::cli {
namespace {

struct Options {
  finetune::TaskChoice choice;
  finetune::TaskSettings settings;
  std::string base, dtype = "auto";
  bool lora = false, qlora = false, dry_run = false;
  double memory_gb = 0;
  bool own_rate = false;  // --lr was given
  bool own_temperature = false;
  std::string distil, teacher;
};

void say_left_out(int64_t n_tasks, Summary& summary) {
  summary.extra["n_tasks_left_out"] = n_tasks;
  if (n_tasks > 0)
    summary.lines.push_back(
        fmt::format("{} task{} left out: no call to train on", n_tasks, n_tasks == 1 ? " was" : "s were"));
}

// Where memory is short: what is done about it. Empty: it isn't.
std::string tightness(const finetune::TaskPlan& plan) {
  const bool fits = plan.memory_bytes <= plan.budget_bytes;
  if (plan.recomputed == 0 && fits) return {};
  const auto gb = [](int64_t bytes) { return static_cast<double>(bytes) / 1e9; };
  std::string out = fmt::format("{}: with all activations held it takes {:.2f} GB, the budget is {:.2f} (--memory-gb)",
                                plan.task, gb(plan.held_bytes), gb(plan.budget_bytes));
  if (plan.recomputed > 0)
    out += fmt::format(": {:.0f} % of the micro-batches compute their layers again on the way back",
                       100 * plan.recomputed);
  if (!fits) out += plan.recomputed > 0 ? ", and it doesn't fit even so" : " and can't be lowered so";
  return fits ? out : out + ": lower --batch-tokens";
}

Summary show_plans(Context& context, const std::vector<finetune::TaskPlan>& plans, int n_processes) {
  Summary summary;
  double minutes = 0;
  int64_t n_left_out = 0;
  std::vector<std::string> masks, tight;
  for (const auto& plan : plans) {
    for (const auto& [reason, n] : plan.dropped) {
      summary.n_in += n;
      summary.dropped[reason] += n;
    }
    if (plan.left_out) {
      ++n_left_out;
      continue;
    }
    json::object row{{"task", plan.task},
                     {"name", plan.name},
                     {"examples", plan.n_examples},
                     {"valid", plan.n_validation},
                     {"tokens", plan.n_tokens},
                     {"trained", plan.n_completion_tokens},
                     {"longest", plan.longest},
                     {"steps", plan.n_steps},
                     {"tok/s", std::round(plan.tokens_per_s)},
                     {"min", plan.minutes},
                     {"GB", static_cast<double>(plan.memory_bytes) / 1e9},
                     {"sharing", std::round(plan.sharing * 100) / 100}};
    if (plan.coverage > 0) row["coverage"] = std::round(plan.coverage * 100) / 100;
    if (n_processes > 1) row["processes"] = n_processes;
    if (context.out->is_json()) {
      row["mask"] = plan.mask;
      row["recomputed"] = std::round(plan.recomputed * 100) / 100;
    } else {
      for (const char* wide : {"valid", "longest", "tok/s"}) row.erase(wide);  // a terminal has 80 columns
      masks.push_back(fmt::format("  {}  {}", plan.task, plan.mask));
    }
    if (auto line = tightness(plan); !line.empty()) tight.push_back(std::move(line));
    context.out->row(row);
    summary.n_in += plan.n_examples;
    summary.n_out += plan.n_examples;
    minutes += plan.minutes;
  }
  context.out->end_table();
  summary.extra["minutes"] = minutes;
  say_left_out(n_left_out, summary);
  summary.lines.insert(summary.lines.end(), tight.begin(), tight.end());
  if (!masks.empty()) {
    summary.lines.emplace_back(
        "an example of each: masked (-) and trained (+) tokens, special ones by name, others counted");
    summary.lines.insert(summary.lines.end(), masks.begin(), masks.end());
  }
  if (n_processes > 1)
    summary.lines.push_back(
        fmt::format("{} processes share every step: tok/s and minutes are of all of them, GB of one", n_processes));
  summary.lines.push_back(fmt::format("nothing was trained; all of it would take about {:.1f} minutes", minutes));
  return summary;
}

// What one of several processes computes with, unless told otherwise: its share of the machine.
void share_machine(const finetune::ProcessPlace& place, finetune::TaskSettings& settings) {
  if (settings.threads == 0 && std::getenv("OMP_NUM_THREADS") == nullptr) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    // A launcher that binds its processes has shared out the cores already.
    const auto all = static_cast<int>(std::thread::hardware_concurrency());
    const int mine = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : all;
    settings.threads = mine < all ? mine : std::max(1, all / place.local_size);
  }
  if (settings.device == "cuda") settings.device = fmt::format("cuda:{}", place.local_rank);
}

// A process that isn't the first one does its part and says nothing unless it fails.
Result<Summary> follow(finetune::TaskContext context, const Options& options) {
  finetune::TaskContext silent{context.store, context.clock, null_progress(), {}, context.processes};
  if (options.dry_run)
    SLM_CHECK(finetune::plan_tasks(silent, options.choice, options.settings));
  else
    SLM_CHECK(finetune::finetune_tasks(silent, options.choice, options.settings));
  Summary summary;
  summary.silent = true;
  return summary;
}

Result<Summary> run_finetune(Context& context, Options options) {
  if (options.choice.tasks.empty() && !options.choice.all)
    return fail(ErrorCode::kUsage, "no task given",
                "slmconv finetune --all --lora, or slmconv report tasks for their names");
  if (!options.lora && !options.qlora && !options.settings.full)
    return fail(ErrorCode::kUsage, "no method given: --lora, --qlora or --full", "slmconv finetune --all --lora");
  if (options.settings.full && !options.own_rate) options.settings.learning_rate = finetune::kFullRate;
  options.settings.nf4 = options.qlora;
  if (options.distil == "logits" && options.teacher.empty() && options.own_temperature)
    return fail(ErrorCode::kUsage, "--temperature needs a whole distribution, and only the likeliest tokens are logged",
                "--teacher DIR, or no --temperature");
  if (options.distil != "logits" && !options.teacher.empty())
    return fail(ErrorCode::kUsage, "a teacher is asked for its logits only: --distill logits");
  options.settings.distil = options.distil == "logits"     ? finetune::Distil::kLogits
                            : options.distil == "sequence" ? finetune::Distil::kSequence
                                                           : finetune::Distil::kNo;
  options.settings.teacher = options.teacher;
  SLM_TRY(options.settings.dtype, nn::parse_dtype(options.dtype));
  options.settings.threads = context.globals.threads;
  options.settings.memory_bytes = std::llround(options.memory_gb * 1e9);
  SLM_TRY(const auto place, finetune::process_place([](const char* name) { return std::getenv(name); }));
  std::unique_ptr<finetune::Processes> processes;
  if (place.size > 1) {
    SLM_TRY(processes, finetune::Processes::join(place));
    share_machine(place, options.settings);
  }
  SLM_TRY(const auto store, open_store(context, store::Role::kTrainer));
  options.settings.base = options.base;
  finetune::TaskContext task_context{*store, *context.clock, *context.out, [&](const json::object& line) {
                                       context.out->metrics(line, line.contains("validation_loss"));
                                     }};
  task_context.processes = processes.get();
  if (!place.is_first()) return follow(task_context, options);
  if (processes)
    context.out->note(
        fmt::format("{} processes started by {}, {} of them here", place.size, place.launcher, place.local_size));
  if (options.dry_run) {
    SLM_TRY(const auto plans, finetune::plan_tasks(task_context, options.choice, options.settings));
    return show_plans(context, plans, place.size);
  }
  SLM_TRY(const auto outcomes, finetune::finetune_tasks(task_context, options.choice, options.settings));
  Summary summary;
  int64_t n_left_out = 0;
  for (const auto& outcome : outcomes) {
    const auto& m = outcome.manifest;
    summary.n_in += m.n_in;
    summary.n_out += m.n_out;
    for (const auto& [reason, n] : m.dropped) summary.dropped[reason] += n;
    if (outcome.left_out) {
      ++n_left_out;
      continue;
    }
    context.out->row({{"task", outcome.task},
                      {"name", outcome.name},
                      {"examples", m.n_out},
                      {"steps", get_int(m.summary, "n_steps").value_or(0)},
                      {"best at", get_int(m.summary, "best_step").value_or(0)},
                      {"valid loss", get_number(m.summary, "validation_loss").value_or(0)},
                      {"tokens right", get_number(m.summary, "validation_accuracy").value_or(0)},
                      {"seconds", m.seconds},
                      {"adapter", m.id}});
    summary.changed = summary.changed || outcome.changed;
    summary.artifact = m.id;
  }
  context.out->end_table();
  say_left_out(n_left_out, summary);
  return summary;
}

}  // namespace

void add_finetune(CLI::App& app, Context& context) {
  auto* sub = app.add_subcommand("finetune", "Train one adapter a task from its curated calls (S5)");
  auto o = std::make_shared<Options>();
  auto& s = o->settings;
  const auto not_negative = CLI::Range(int64_t{0}, int64_t{1} << 40);
  sub->add_option("task", o->choice.tasks, "Tasks by id or name");
  sub->add_flag("--all", o->choice.all,
                "Every task that can be measured: text only where the truth of the calls that test it is kept, "
                "one a session group");
  auto* lora = sub->add_flag("--lora", o->lora, "Low-rank adapters");
  auto* qlora =
      sub->add_flag("--qlora", o->qlora, "Low-rank adapters over a base whose linears are quantised to 4 bits (NF4)")
          ->excludes(lora);
  auto* full =
      sub->add_flag("--full", s.full, "All weights: the result is a model of its own")->excludes(lora)->excludes(qlora);
  sub->add_option("--distill", o->distil,
                  "sequence: learn the logged answers, as always; logits: also a teacher's distribution over each of "
                  "their tokens, or without --teacher the probabilities that were logged with them")
      ->check(CLI::IsMember({"sequence", "logits"}));
  sub->add_option("--teacher", o->teacher, "Model directory whose tokens are those of the base")
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("--distill-weight", s.distil_share, "Share of the teacher in the loss")->check(CLI::Range(0.0, 1.0));
  auto* temperature = sub->add_option("--temperature", s.distil_temperature,
                                      "Softens both distributions; what was logged is taken as it is")
                          ->check(CLI::Range(0.01, 100.0));
  sub->add_option("--base", o->base, "Model directory (default: what select chose)")
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("--rank", s.lora.rank, "LoRA rank")->check(CLI::Range(1, 4096))->excludes(full);
  sub->add_option("--alpha", s.lora.alpha, "LoRA alpha: the update is scaled by alpha/rank")
      ->check(CLI::Range(1e-6, 1e6))
      ->excludes(full);
  sub->add_option("--dropout", s.lora.dropout, "Dropout of the adapters' input")
      ->check(CLI::Range(0.0, 0.95))
      ->excludes(full);
  sub->add_option("--targets", s.lora.targets, "Linears to adapt (default: all of the base)")
      ->delimiter(',')
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(nn::kLinearNames), std::end(nn::kLinearNames))))
      ->excludes(full);
  sub->add_flag("--rslora", s.lora.rslora, "Scale by alpha/sqrt(rank)")->excludes(full);
  sub->add_flag("--dora", s.lora.dora, "Train the length of every weight row too (DoRA); vLLM can't serve it")
      ->excludes(full);
  auto* rate = sub->add_option("--lr", s.learning_rate, "Peak learning rate; with --full unless given 2e-5")
                   ->check(CLI::Range(0.0, 1.0));
  sub->add_option("--warmup", s.warmup_ratio, "Share of the steps spent warming up")->check(CLI::Range(0.0, 1.0));
  sub->add_option("--weight-decay", s.weight_decay, "AdamW weight decay")->check(CLI::Range(0.0, 1.0));
  sub->add_option("--clip", s.clip_norm, "Largest gradient norm; 0: not clipped")->check(CLI::Range(0.0, 1e6));
  sub->add_option("--batch", s.batch, "Examples a step")->check(CLI::Range(1, 1 << 20));
  sub->add_flag(
      "--shuffle-calls", s.shuffle_calls,
      "Draw a step's calls from all sessions; without it a session's stay in one step and share what is computed");
  sub->add_option("--epochs", s.epochs, "Passes over the examples; the last step of each may be short")
      ->check(CLI::Range(1e-3, 1e6));
  sub->add_option("--max-steps", s.max_steps, "Steps at most; 0: as the epochs say")->check(not_negative);
  sub->add_option("--max-examples", s.max_examples, "Examples a task at most; 0: all")->check(not_negative);
  sub->add_option("--max-validation", s.max_validation,
                  "Validation examples a task at most; 0: all (--validations 0: no validation)")
      ->check(not_negative);
  sub->add_option("--batch-tokens", s.max_batch_tokens, "Tokens of a micro-batch at most")
      ->check(CLI::Range(16, 1 << 24));
  sub->add_option(
         "--memory-gb", o->memory_gb,
         "Memory of a process; where a micro-batch needs more, its layers are computed again on the way back, "
         "which takes a third more time. 0: nine tenths of this machine's, shared by its processes; any on a GPU")
      ->check(CLI::Range(0.0, 1e6));
  sub->add_option("--validations", s.n_validations, "Validations spread over a run; 0: none")
      ->check(CLI::Range(0, 10'000));
  sub->add_option("--patience", s.patience, "Validations without a better one before stopping; 0: never stop early")
      ->check(CLI::Range(0, 10'000));
  sub->add_option("--checkpoint-every", s.checkpoint_every,
                  "Steps between sealed checkpoints; 0: only when interrupted")
      ->check(not_negative);
  sub->add_option("--seed", s.seed, "Seed of initialisation and order");
  sub->add_option("--dtype", o->dtype, "Type of the base's matrix products")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
  sub->add_option("--device", s.device, "cpu, cuda, cuda:1");
  sub->add_flag("--resume", s.resume, "Go on from the checkpoint an interrupted run left");
  sub->add_flag("--dry-run", o->dry_run, "Show examples, tokens, masks, minutes and memory; train nothing");
  sub->footer(
      "Several processes (torchrun, mpirun, srun) share every step; the first one writes.\n"
      "Examples:\n"
      "  slmconv --store store finetune --all --lora --dry-run  # minutes and memory; trains nothing\n"
      "  slmconv --store store finetune t03 --lora --rank 16 --epochs 2\n"
      "  torchrun --no-python --nproc-per-node 2 slmconv --store store finetune t03 --lora");
  context.on(sub, "finetune", [&context, o, rate, temperature] {
    o->own_rate = rate->count() > 0;
    o->own_temperature = temperature->count() > 0;
    return run_finetune(context, *o);
  });
}

}  // namespace slm::cli
