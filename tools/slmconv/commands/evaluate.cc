#include "commands/evaluate.h"

#include <fmt/format.h>

#include "commands/store.h"
#include "core/file.h"
#include "evaluate/evaluate.h"
#include "evaluate/gate.h"

namespace slm::cli {
namespace {

struct Flags {
  evaluate::EvaluateOptions evaluate;
  std::string dtype = "auto", gate, junit, prices;
  int64_t show_errors = 0;
};

json::value exact_of(const std::optional<evaluate::ArmScores>& arm) {
  return arm ? json::value(arm->exact) : json::value(nullptr);
}
json::value number_or_null(const std::optional<double>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

json::object short_row(const evaluate::TaskEvaluation& task, const evaluate::TaskTiming& timing) {
  return {{"task", task.task.value},
          {"kind", score::kind_name(task.kind)},
          {"n", task.n},
          {"base", exact_of(task.base)},
          {"tuned", exact_of(task.tuned)},
          {"llm", task.agreement ? (task.tuned ? json::value("agreement") : json::value(nullptr)) : exact_of(task.llm)},
          {"maj", exact_of(task.majority)},
          {"near", exact_of(task.nearest)},
          {"bound", number_or_null(task.bound)},
          {"verdict", task.verdict},
          {"usd", number_or_null(timing.saving_usd)}};
}

// "0.12 → 0.97": base and tuned; nothing where the kind doesn't have that measure.
std::string before_after(const evaluate::TaskEvaluation& task, double evaluate::ArmScores::*measure, bool applies) {
  if (!applies || !task.base || !task.tuned) return "–";
  return fmt::format("{:.2f} → {:.2f}", (*task.base).*measure, (*task.tuned).*measure);
}

std::string whole_number(const std::optional<double>& value) { return value ? fmt::format("{:.0f}", *value) : "–"; }

json::object detail_row(const evaluate::TaskEvaluation& task, const evaluate::TaskTiming& timing) {
  const bool is_json = task.kind == score::TaskKind::kJson, is_call = task.kind == score::TaskKind::kToolCall;
  return {{"task", task.task.value},
          {"json fields", before_after(task, &evaluate::ArmScores::json_fields, is_json)},
          {"tool names", before_after(task, &evaluate::ArmScores::tool_names, is_call)},
          {"tool arguments", before_after(task, &evaluate::ArmScores::tool_arguments, is_call)},
          {"token F1", before_after(task, &evaluate::ArmScores::token_f1, true)},
          {"ms", whole_number(timing.latency_ms)},
          {"llm ms", whole_number(timing.llm_latency_ms)},
          {"tokens/s", whole_number(timing.tokens_per_s)}};
}

// Tuned against the others, paired: printed, never decides.
std::string comparisons(const evaluate::TaskEvaluation& task) {
  std::string out;
  const auto add = [&](std::string_view name, const std::optional<evaluate::ArmScores>& arm,
                       const std::optional<double>& p) {
    if (arm && p && task.tuned)
      out += fmt::format("{}{} {:+.2f} (p {:.2g})", out.empty() ? "; tuned against " : ", ", name,
                         task.tuned->exact - arm->exact, *p);
  };
  add("base", task.base, task.p_base);
  add("majority", task.majority, task.p_majority);
  add("nearest", task.nearest, task.p_nearest);
  return out;
}

json::object full_row(const evaluate::TaskEvaluation& task, const evaluate::TaskTiming& timing) {
  json::object out = evaluate::to_json(task);
  for (const auto& field : evaluate::to_json(timing)) out[field.key()] = field.value();
  return out;
}

void show(Reporter& out, const evaluate::Evaluation& evaluation) {
  for (size_t i = 0; i < evaluation.tasks.size(); ++i)
    out.row(out.is_json() ? full_row(evaluation.tasks[i], evaluation.timings[i])
                          : short_row(evaluation.tasks[i], evaluation.timings[i]));
  out.end_table();
  if (out.is_json()) return;
  for (size_t i = 0; i < evaluation.tasks.size(); ++i)
    if (evaluation.tasks[i].tuned) out.row(detail_row(evaluation.tasks[i], evaluation.timings[i]));
  out.end_table();
}

void show_example(Reporter& out, const evaluate::ErrorExample& example) {
  if (out.is_json()) {
    out.row({{"task", example.task.value},
             {"call", example.call.hex()},
             {"messages", example.messages},
             {"reference", example.reference},
             {"answer", example.answer}});
    return;
  }
  out.text(fmt::format("--- {} {}\nrequest:   {}\nreference: {}\nanswer:    {}\n", example.task.value,
                       example.call.hex(), json::serialize(example.messages), json::serialize(example.reference),
                       json::serialize(example.answer)));
}

void add_gate(const evaluate::GateResult& gate, Summary& summary) {
  summary.code = gate.code();
  json::array checks;
  for (const evaluate::GateCheck& check : gate.checks) {
    const char* state = check.state == evaluate::CheckState::kMet     ? "met"
                        : check.state == evaluate::CheckState::kUnmet ? "unmet"
                                                                      : "insufficient";
    checks.push_back({{"task", check.task}, {"check", check.name}, {"state", state}, {"message", check.message}});
    if (check.state != evaluate::CheckState::kMet)
      summary.lines.push_back(fmt::format("gate {}: {} {}: {}", state, check.task, check.name, check.message));
  }
  summary.extra["gate"] = std::move(checks);
  if (summary.code != ErrorCode::kOk) {
    summary.message = fmt::format("{} of {} checks of the gate aren't met", gate.n_failed(), gate.checks.size());
    summary.hint = "the lines above name value and bound";
  }
}

Summary summarise(const evaluate::EvaluateResult& result) {
  const evaluate::Evaluation& evaluation = result.evaluation;
  Summary summary;
  summary.n_in = evaluation.manifest.n_in;
  summary.n_out = evaluation.manifest.n_out;
  summary.dropped = evaluation.manifest.dropped;
  summary.artifact = evaluation.manifest.id;
  summary.changed = result.changed;
  double saving = 0;
  std::map<std::string, int64_t> verdicts;
  for (size_t i = 0; i < evaluation.tasks.size(); ++i) {
    const evaluate::TaskEvaluation& task = evaluation.tasks[i];
    ++verdicts[task.verdict];
    saving += evaluation.timings[i].saving_usd.value_or(0);
    summary.lines.push_back(
        fmt::format("{} {}: {}: {}{}", task.task.value, task.name, task.verdict, task.reason, comparisons(task)));
  }
  if (const auto left = summary.dropped.find("over_max_sessions"); left != summary.dropped.end())
    summary.lines.push_back(fmt::format("--max-sessions left {} held-out sessions untested", left->second));
  json::object counts;
  for (const auto& [verdict, n] : verdicts) counts[verdict] = n;
  summary.extra["verdicts"] = std::move(counts);
  summary.extra["delta"] = evaluation.delta;
  summary.extra["saving_usd"] = saving;
  summary.extra["prices"] = evaluation.prices;
  const double usd_per_hour = get_number(evaluation.manifest.config, "machine_usd_per_hour").value_or(0);
  summary.lines.push_back(
      fmt::format("measured on scrubbed text; maj, near: commonest and nearest training answer; usd: what replacing "
                  "saves in 30 days "
                  "at {}, calls that fall back and a machine at {:.2f} usd an hour, fully used, taken off",
                  evaluation.prices, usd_per_hour));
  return summary;
}

Result<Summary> run_evaluate(Context& context, Flags flags) {
  SLM_TRY(flags.evaluate.engine.dtype, nn::parse_dtype(flags.dtype));
  flags.evaluate.engine.threads = context.globals.threads;
  flags.evaluate.prices = flags.prices;
  // A gate that can't be read is found before hours of answering, not after.
  std::optional<evaluate::Gate> gate;
  if (!flags.gate.empty()) {
    SLM_TRY(gate, evaluate::read_gate(flags.gate));
  }
  SLM_TRY(const auto store, open_store(context, store::Role::kTrainer));
  const evaluate::EvaluateContext room{*store, *context.clock, *context.out, &model::Model::open};
  SLM_TRY(const evaluate::EvaluateResult result, evaluate::evaluate_tasks(room, flags.evaluate));
  show(*context.out, result.evaluation);
  if (flags.show_errors > 0) {
    SLM_CHECK(evaluate::show_errors(room, flags.evaluate, flags.show_errors,
                                    [&](const evaluate::ErrorExample& example) -> Status {
                                      show_example(*context.out, example);
                                      return {};
                                    }));
    context.out->end_table();
  }
  Summary summary = summarise(result);
  std::optional<evaluate::GateResult> checked;
  if (gate) {
    SLM_TRY(checked, evaluate::check_gate(*gate, result.evaluation));
    add_gate(*checked, summary);
  }
  if (!flags.junit.empty()) SLM_CHECK(write_file_atomic(flags.junit, evaluate::junit_xml(result.evaluation, checked)));
  return summary;
}

}  // namespace

void add_evaluate(CLI::App& app, Context& context) {
  auto* sub = app.add_subcommand("evaluate", "Test tuned models against the logged one on held-out sessions (S6)");
  auto flags = std::make_shared<Flags>();
  auto& e = flags->evaluate;
  sub->add_option("--tasks", e.tasks, "Tasks by id or name (default: every one with an adapter)")->delimiter(',');
  sub->add_option("--delta", e.delta, "Margin: what replacing may lose, as a share of sessions")
      ->check(CLI::Range(0.001, 0.999));
  sub->add_option("--max-sessions", e.max_sessions, "Sessions tested a task at most; 0: all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  sub->add_option("--max-new-tokens", e.max_new_tokens, "Longest answer; 0: what the longest training answer takes")
      ->check(CLI::Range(0, 1 << 20));
  sub->add_option("--batch", e.batch, "Calls answered together")->check(CLI::Range(1, 4096));
  sub->add_option("--prices", flags->prices, "Prices to use instead of the dated ones inside")
      ->type_name("FILE.toml")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--machine-usd-per-hour", e.machine_usd_per_hour, "Price of the machine that would serve")
      ->check(CLI::Range(0.0, 1e6));
  sub->add_option("--log-days", e.log_days, "Days that the log spans; 0: by its timestamps")
      ->check(CLI::Range(0.0, 1e5));
  sub->add_option("--gate", flags->gate, "Thresholds; exit 30 when one isn't met, 32 when evidence is insufficient")
      ->type_name("FILE.toml")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--junit", flags->junit, "Write a JUnit file")->type_name("FILE.xml");
  sub->add_option("--show-errors", flags->show_errors, "Print so many wrong answers a task, with their text; audited")
      ->check(CLI::Range(0, 100000));
  sub->add_option("--dtype", flags->dtype, "Type of the matrix products")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
  sub->add_option("--device", e.engine.device, "cpu, cuda, cuda:1");
  sub->footer(
      "Examples:\n"
      "  slmconv --store store evaluate --delta 0.05\n"
      "  slmconv --store store evaluate --gate gate.toml --junit gate.xml  # for CI: exit 30 or 32 if it isn't met");
  context.on(sub, "evaluate", [&context, flags] { return run_evaluate(context, *flags); });
}

}  // namespace slm::cli
