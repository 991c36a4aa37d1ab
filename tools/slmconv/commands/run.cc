#include "commands/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "core/file.h"
#include "pipeline.h"

namespace slm::cli {
namespace {

// Shows what a step says about its progress and warnings; keeps its tables and results back, except the last step's.
class StepReporter final : public Reporter {
 public:
  StepReporter(Reporter& outer, bool show_results) : outer_(outer), show_(show_results) {}
  void start(std::string_view label, uint64_t total) override { outer_.start(label, total); }
  void advance(uint64_t done, std::string_view note) override { outer_.advance(done, note); }
  void finish() override { outer_.finish(); }
  void note(std::string_view line) override { outer_.note(line); }
  void warn(std::string_view line) override { outer_.warn(line); }
  void row(const json::object& fields) override {
    if (show_) outer_.row(fields);
  }
  void end_table() override {
    if (show_) outer_.end_table();
  }
  void text(std::string_view text) override {
    if (show_) outer_.text(text);
  }
  void summary(std::string_view, const Summary&) override {}
  void error(std::string_view command, const Error& error) override { outer_.error(command, error); }
  bool is_json() const override { return outer_.is_json(); }

 private:
  Reporter& outer_;
  bool show_;
};

struct RunOptions {
  std::string file, work;
};

Error in_step(size_t i, const PipelineStep& step, Error error) {
  error.message = fmt::format("step {} ({}): {}", i + 1, step.command, error.message);
  return error;
}

Result<Summary> run_pipeline(Context& context, const RunOptions& options) {
  SLM_TRY(const Pipeline pipeline, read_pipeline(options.file, options.work));
  for (size_t i = 0; i < pipeline.steps.size(); ++i)
    if (auto checked = check_command_line(pipeline.steps[i].args, context); !checked)
      return fail(in_step(i, pipeline.steps[i], checked.error()));
  SLM_CHECK(make_dirs(pipeline.work));
  // A pipeline that makes a demonstration store itself, as the quickstart does, may put calls into it.
  for (const PipelineStep& step : pipeline.steps)
    if (std::find(step.args.begin(), step.args.end(), "--demo-seed") != step.args.end()) setenv("SLMCONV_DEMO", "1", 1);
  Summary total;
  json::array steps;
  const double start_s = context.clock->monotonic_s();
  for (size_t i = 0; i < pipeline.steps.size(); ++i) {
    const auto& step = pipeline.steps[i];
    if (interrupted())
      return fail(ErrorCode::kInterrupted, fmt::format("interrupted before step {} ({})", i + 1, step.command),
                  "slmconv run " + options.file);
    const double step_s = context.clock->monotonic_s();
    Summary summary;
    std::error_code ec;
    const bool skipped = step.only_if_missing && std::filesystem::exists(step.makes, ec);
    if (!skipped) {
      StepReporter reporter(*context.out, i + 1 == pipeline.steps.size());
      auto result = run_nested(step.args, context, reporter);
      if (!result) return fail(in_step(i, step, result.error()));
      summary = std::move(*result);
    }
    const double seconds = context.clock->monotonic_s() - step_s;
    total.changed = total.changed || summary.changed;
    const bool last = i + 1 == pipeline.steps.size();
    std::string line = fmt::format("{:<10} {:>7.1f} s  ", step.command, seconds);
    if (skipped || (!summary.changed && !last))
      line += "unchanged";
    else
      line += fmt::format("{} in, {} out{}", summary.n_in, summary.n_out,
                          summary.artifact.empty() ? "" : "  " + summary.artifact);
    context.out->note(line);
    steps.push_back({{"command", step.command},
                     {"seconds", seconds},
                     {"changed", summary.changed},
                     {"artifact", summary.artifact},
                     {"n_in", summary.n_in},
                     {"n_out", summary.n_out},
                     {"exit_code", exit_code(summary.code)}});
    if (summary.code != ErrorCode::kOk) {
      if (!step.allow_fail) {
        total.code = summary.code;
        total.message = fmt::format("step {} ({}): {}", i + 1, step.command, summary.message);
        total.hint = summary.hint;
        break;
      }
      context.out->warn(fmt::format("step {} ({}): {}", i + 1, step.command, summary.message));
    }
    if (last) total.lines = summary.lines;
  }
  const double seconds = context.clock->monotonic_s() - start_s;
  total.n_in = total.n_out = static_cast<int64_t>(steps.size());
  total.extra["steps"] = std::move(steps);
  total.extra["seconds"] = seconds;
  total.lines.push_back(fmt::format("{}: {} steps in {:.0f} s, {}", pipeline.name, total.n_in, seconds,
                                    total.changed ? "changed" : "nothing new"));
  return total;
}

}  // namespace

void add_run(CLI::App& app, Context& context) {
  auto* sub =
      app.add_subcommand("run", "Run a pipeline file from collect to report; skips steps whose inputs are unchanged");
  auto options = std::make_shared<RunOptions>();
  sub->add_option("pipeline", options->file, "Pipeline file, e.g. pipelines/quickstart/pipeline.toml")
      ->required()
      ->type_name("FILE.toml")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--work", options->work, "Folder of everything it makes, instead of the file's own")
      ->type_name("DIR");
  sub->footer(
      "Examples:\n"
      "  slmconv run pipelines/quickstart/pipeline.toml --work /tmp/quickstart");
  context.on(sub, "run", [&context, options] { return run_pipeline(context, *options); });
}

}  // namespace slm::cli
