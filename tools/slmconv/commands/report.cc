#include "commands/report.h"

#include <fmt/format.h>

#include "cluster/artifact.h"
#include "commands/store.h"
#include "core/file.h"
#include "core/hash.h"
#include "dataset/view.h"
#include "report/report.h"
#include "schema/artifacts.h"

namespace slm::cli {
namespace {

struct Options {
  std::string out;
  std::string title = "slmconv report";
};

json::value number_or_null(std::optional<double> value) {
  if (value) return json::value(*value);
  return nullptr;
}

Result<Summary> run_report(Context& context, const Options& options) {
  const std::filesystem::path dir = context.globals.store;
  SLM_TRY(auto data, report::load_report(dir));
  data.title = options.title;
  data.made = format_utc(context.clock->now_ms());
  for (const auto& t : data.tasks)
    context.out->row({{"task", t.id + " " + t.name},
                      {"kind", t.kind},
                      {"calls", t.n_calls},
                      {"base", number_or_null(t.base)},
                      {"tuned", number_or_null(t.tuned)},
                      {"bound", number_or_null(t.bound)},
                      {"verdict", report::verdict_text(t.verdict)},
                      {"saving", report::money_text(t.saving_usd)}});
  context.out->end_table();
  Summary summary;
  summary.n_in = summary.n_out = static_cast<int64_t>(data.tasks.size());
  summary.lines.push_back(report::headline(data) + ".");
  if (!options.out.empty()) {
    const std::filesystem::path out = options.out;
    SLM_CHECK(make_dirs(out));
    const std::string html = report::html(data);
    const std::string markdown = report::markdown(data);
    const std::string json = pretty_json(report::summary_json(data));
    SLM_CHECK(write_file_atomic(out / "report.html", html));
    SLM_CHECK(write_file_atomic(out / "report.md", markdown));
    SLM_CHECK(write_file_atomic(out / "summary.json", json));
    summary.extra["files"] =
        json::array{(out / "report.html").string(), (out / "report.md").string(), (out / "summary.json").string()};
    summary.lines.push_back(fmt::format("report: {}", (out / "report.html").string()));
  }
  return summary;
}

Result<Summary> run_report_tasks(Context& context) {
  SLM_TRY(const auto tasks, cluster::task_list(context.globals.store));
  Summary summary;
  for (const auto& t : tasks)
    context.out->row({{"task", t.id.value},
                      {"name", t.name},
                      {"kind", score::kind_name(t.kind)},
                      {"calls", t.n_calls},
                      {"sessions", t.n_sessions},
                      {"outliers", t.n_outliers},
                      {"p50", t.p50_tokens},
                      {"p99", t.p99_tokens},
                      {"cost_share", t.cost_share},
                      {"excluded", t.excluded}});
  context.out->end_table();
  summary.n_in = summary.n_out = static_cast<int64_t>(tasks.size());
  return summary;
}

// Each call's id, site, task, side and outcome: what another program needs to check ours. No text, but per call, so a
// trainer's key is needed and the reading is in the audit trail.
Result<Summary> run_report_calls(Context& context) {
  SLM_TRY(const auto store, open_store(context, store::Role::kTrainer));
  SLM_TRY(const auto tasks, cluster::load_tasks(*store));
  std::unordered_map<CallId, cluster::AssignedCall> assigned;
  for (const auto& call : tasks.calls) assigned[call.id] = call;
  Summary summary;
  SLM_CHECK(store->scan(
      store::Store::Space::kCurated, {.purpose = "report calls"}, [&](store::StoredCall& stored) -> Result<bool> {
        SLM_TRY(const json::value value, parse_json(stored.meta));
        SLM_TRY(CallMeta meta, call_meta_from_json(value));
        const auto found = assigned.find(stored.id);
        ++summary.n_in;
        if (found == assigned.end())
          ++summary.dropped["not_in_a_task"];
        else
          ++summary.n_out;
        json::value success = nullptr, score = nullptr;
        if (meta.success) success = *meta.success;
        if (meta.score) score = *meta.score;
        context.out->row(
            {{"id", stored.id.hex()},
             {"site", meta.site},
             {"task", found == assigned.end() ? json::value(nullptr)
                                              : json::value(tasks.map.tasks()[found->second.task].id.value)},
             {"outlier", found != assigned.end() && found->second.outlier},
             {"split", meta.split},
             {"group", dataset::group_of(meta)},
             {"success", success},
             {"score", score},
             {"has_truth", meta.has_truth}});
        return true;
      }));
  context.out->end_table();
  return summary;
}

}  // namespace

void add_report(CLI::App& app, Context& context) {
  auto* sub = app.add_subcommand("report", "Verdicts and savings as a table, Markdown, HTML and JSON");
  auto o = std::make_shared<Options>();
  sub->add_option("--out", o->out, "Folder for report.html, report.md and summary.json")->type_name("DIR");
  sub->add_option("--title", o->title, "Title of the report");
  sub->require_subcommand(0, 1);
  sub->footer(
      "Examples:\n"
      "  slmconv --store store report --out report  # report.html, report.md, summary.json\n"
      "  slmconv --store store --json report calls | jq -c .task");
  context.on(sub, "report", [&context, o] { return run_report(context, *o); });
  auto* tasks = sub->add_subcommand("tasks", "List the tasks");
  context.on(tasks, "report tasks", [&context] { return run_report_tasks(context); });
  auto* calls = sub->add_subcommand(
      "calls",
      "List each curated call's id, site, task, side and outcome (no text); the reading is an entry of the audit "
      "trail, so a trainer's key and a writable store are needed");
  context.on(calls, "report calls", [&context] { return run_report_calls(context); });
}

}  // namespace slm::cli
