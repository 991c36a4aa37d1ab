#include "commands/collect.h"

#include <fmt/format.h>

#include <algorithm>

#include "call/dialects/dialect.h"
#include "collect/importer.h"
#include "commands/collect_live.h"
#include "commands/collect_otlp.h"
#include "commands/store.h"

namespace slm::cli {
namespace {

struct CollectFlags {
  std::vector<std::string> paths;
  collect::ImportOptions import;
  bool dry_run = false;
  LiveFlags live;
  std::string otlp;  // address
  double otlp_hold_s = 30;
};

std::string formats_help() {
  std::string text = "Dialect to read every record as, instead of finding it:";
  for (const auto& dialect : dialects::all()) text += fmt::format("\n  {} ({})", dialect.name, dialect.about);
  return text;
}

std::string shown_name(const std::string& name) { return name.empty() ? "(none)" : name; }

json::object to_json(const std::map<std::string, int64_t>& counts) {
  json::object out;
  for (const auto& [name, n] : counts) out.emplace(name, n);
  return out;
}

json::object calls_by_name(const std::map<std::string, collect::Tally>& tallies) {
  json::object out;
  for (const auto& [name, tally] : tallies) out.emplace(shown_name(name), tally.n_calls);
  return out;
}

std::string list_counts(const std::map<std::string, int64_t>& counts) {
  std::string text;
  for (const auto& [name, n] : counts) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", n, name);
  return text;
}

void show_sites(Reporter& out, const collect::Report& report) {
  std::vector<std::pair<std::string, collect::Tally>> sites(report.sites.begin(), report.sites.end());
  std::stable_sort(sites.begin(), sites.end(), [](auto& a, auto& b) { return a.second.n_calls > b.second.n_calls; });
  for (const auto& [site, tally] : sites)
    out.row({{"site", shown_name(site)},
             {"n_calls", tally.n_calls},
             {"n_human_facing", tally.n_hci},
             {"n_failed", tally.n_failed},
             {"n_in_tokens", tally.n_in},
             {"n_out_tokens", tally.n_out}});
  if (!report.sites.empty()) out.end_table();
}

std::vector<std::string> describe(const collect::Report& report, bool dry_run) {
  std::vector<std::string> lines;
  lines.push_back(fmt::format("{} records in {} file{}, {} calls: {} {}", report.n_records, report.n_files,
                              report.n_files == 1 ? "" : "s", report.n_calls, report.n_added,
                              dry_run ? "would be stored" : "stored now"));
  if (!report.dropped.empty()) lines.push_back("left out: " + list_counts(report.dropped));
  std::map<std::string, int64_t> names;
  for (const auto& [name, tally] : report.dialects) names[name] = tally.n_calls;
  lines.push_back("dialect: " + list_counts(names));
  if (dry_run) {
    names.clear();
    for (const auto& [name, tally] : report.models) names[shown_name(name)] = tally.n_calls;
    lines.push_back("model: " + list_counts(names));
  }
  if (report.first_ms)
    lines.push_back(fmt::format("time: {} to {}", format_utc(*report.first_ms), format_utc(*report.last_ms)));
  lines.push_back(fmt::format("human-facing: {}", report.n_hci));
  if (!report.failed.empty()) lines.push_back("failed, kept with a flag: " + list_counts(report.failed));
  if (report.n_bad_session > 0) lines.push_back(fmt::format("of failed sessions: {}", report.n_bad_session));
  return lines;
}

Summary summarise(const collect::Report& report, const CollectFlags& flags) {
  Summary summary;
  summary.n_in = report.n_in();
  summary.n_out = report.n_added;
  summary.dropped = report.dropped;
  summary.changed = !flags.dry_run && report.n_added > 0;
  summary.lines = describe(report, flags.dry_run);
  json::object& extra = summary.extra;
  extra["dry_run"] = flags.dry_run;
  extra["n_files"] = report.n_files;
  extra["n_bytes"] = report.n_bytes;
  extra["n_records"] = report.n_records;
  extra["n_unreadable"] = report.n_bad;
  extra["n_calls"] = report.n_calls;
  extra["n_human_facing"] = report.n_hci;
  extra["n_bad_session"] = report.n_bad_session;
  extra["n_truth"] = report.n_truth;
  extra["failed"] = to_json(report.failed);
  extra["dialects"] = calls_by_name(report.dialects);
  extra["sites"] = calls_by_name(report.sites);
  extra["models"] = calls_by_name(report.models);
  extra["first"] = report.first_ms ? json::value(format_utc(*report.first_ms)) : json::value();
  extra["last"] = report.last_ms ? json::value(format_utc(*report.last_ms)) : json::value();
  if (report.too_many_skipped) {
    summary.code = ErrorCode::kTooManySkipped;
    summary.message = fmt::format("{} of {} records could not be read, more than --max-skipped {} allows", report.n_bad,
                                  report.n_records, flags.import.max_skipped);
    summary.hint = "look at the warnings above; --max-skipped 1 accepts any share";
  }
  return summary;
}

// The three ways to collect, and what goes with which.
enum Way { kFiles = 1, kListen = 2, kOtlp = 4 };
constexpr struct {
  const char* flag;
  int ways;
} kFlagsOfWays[] = {{"paths", kFiles},
                    {"--dialect", kFiles},
                    {"--dry-run", kFiles},
                    {"--max-skipped", kFiles},
                    {"--max-line-bytes", kFiles},
                    {"--batch-calls", kFiles},
                    {"--listen", kListen},
                    {"--upstream", kListen},
                    {"--admin", kListen},
                    {"--ca", kListen},
                    {"--session-header", kListen},
                    {"--session-field", kListen},
                    {"--site-header", kListen},
                    {"--source-header", kListen},
                    {"--human-facing", kListen},
                    {"--on-store-failure", kListen},
                    {"--memory-mb", kListen},
                    {"--max-connections", kListen},
                    {"--max-header-bytes", kListen},
                    {"--upstream-timeout", kListen},
                    {"--drain-timeout", kListen},
                    {"--cert", kListen | kOtlp},
                    {"--key", kListen | kOtlp},
                    {"--client-ca", kListen | kOtlp},
                    {"--token-file", kListen | kOtlp},
                    {"--durability", kListen | kOtlp},
                    {"--spool-mb", kListen | kOtlp},
                    {"--anchor", kListen | kOtlp},
                    {"--anchor-command", kListen | kOtlp},
                    {"--anchor-every", kListen | kOtlp},
                    {"--otlp", kOtlp},
                    {"--otlp-hold", kOtlp}};

// Nothing that was asked for is passed over in silence. A configuration file may hold what another way uses.
Status check_way(const CLI::App& sub, const CollectFlags& flags) {
  const Way way = !flags.otlp.empty() ? kOtlp : !flags.live.listen.empty() ? kListen : kFiles;
  if (const auto* config = sub.get_parent()->get_config_ptr(); config != nullptr && config->count() > 0) return {};
  for (const auto& row : kFlagsOfWays) {
    if ((row.ways & way) != 0 || sub.get_option(row.flag)->count() == 0) continue;
    const std::string_view name = row.flag == std::string_view("paths") ? "files" : row.flag;
    if (way == kFiles)
      return fail(ErrorCode::kUsage, fmt::format("{} goes with {}, not with files", name,
                                                 row.ways == kOtlp     ? "--otlp"
                                                 : row.ways == kListen ? "--listen"
                                                                       : "--listen or --otlp"));
    return fail(ErrorCode::kUsage, fmt::format("{} doesn't go with {}", way == kOtlp ? "--otlp" : "--listen", name));
  }
  return {};
}

Result<Summary> run_collect(Context& context, const CLI::App& sub, const CollectFlags& flags) {
  SLM_CHECK(check_way(sub, flags));
  if (!flags.otlp.empty()) {
    collect::OtlpOptions options;
    options.no_hci = flags.import.no_hci;
    options.hold_s = flags.otlp_hold_s;
    return run_otlp(context, flags.otlp, std::move(options), flags.live);
  }
  if (!flags.live.listen.empty()) {
    LiveFlags live = flags.live;
    live.proxy.recorder.no_hci = flags.import.no_hci;
    return run_live(context, std::move(live));
  }
  if (flags.paths.empty())
    return fail(ErrorCode::kUsage, "paths: nothing to collect",
                "slmconv collect LOG.jsonl, or slmconv collect --listen ADDR --upstream URL");
  std::unique_ptr<store::Store> store;
  if (!flags.dry_run) {
    if (context.globals.store.empty())
      return fail(ErrorCode::kUsage, "collect needs a store", "slmconv --store DIR collect …, or collect --dry-run");
    SLM_TRY(store, open_store(context, store::Role::kCollector));
  }
  SLM_TRY(const auto inputs, collect::expand_inputs(flags.paths));
  const collect::ImportTools tools{store.get(), context.out, context.in};
  SLM_TRY(const auto report, collect::import_logs(inputs, flags.import, tools));
  if (flags.dry_run) show_sites(*context.out, report);
  return summarise(report, flags);
}

}  // namespace

void add_collect(CLI::App& app, Context& context) {
  auto* sub = app.add_subcommand(
      "collect", "S1: store logged calls, from files or as they pass, sealed and with their sources anonymised");
  auto flags = std::make_shared<CollectFlags>();
  auto& import = flags->import;
  sub->add_option(
         "paths", flags->paths,
         "Log files, plain, .gz or .zst, folders of them (*.json, *.jsonl, *.ndjson), patterns; - is standard input")
      ->type_name("PATH");
  sub->add_option("--dialect,--format", import.format, formats_help())->type_name("DIALECT");
  sub->add_flag("--no-hci", import.no_hci, "Leave out calls whose answer speaks to a human");
  sub->add_flag("--dry-run", flags->dry_run, "Say what the log holds and store nothing; needs no store");
  sub->add_option("--max-skipped", import.max_skipped, "Share of unreadable records above which the exit code is 3")
      ->check(CLI::Range(0.0, 1.0));
  sub->add_option("--max-line-bytes", import.max_record_bytes, "Longest record that is read")
      ->check(CLI::Range(uint64_t{1024}, uint64_t{1} << 32));
  sub->add_option("--batch-calls", import.batch_calls, "Calls per signed batch: what a crash can lose")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  add_live_flags(*sub, flags->live);
  sub->add_option("--otlp", flags->otlp, "Receive OTLP/HTTP (POST /v1/traces, /v1/logs): HOST:PORT, customarily 4318")
      ->type_name("ADDR")
      ->group("Live capture");
  sub->add_option("--otlp-hold", flags->otlp_hold_s, "Seconds that a trace waits for its spans and log records")
      ->check(CLI::Range(0.0, 3600.0))
      ->group("Live capture");
  sub->footer(
      "Examples:\n"
      "  slmconv collect --dry-run logs/  # what the log holds; stores nothing\n"
      "  slmconv --store store collect --no-hci logs/\n"
      "  slmconv --store store collect traces.json.gz --dialect otlp\n"
      "  xz -dc log.jsonl.xz | slmconv --store store collect -\n"
      "  slmconv --store store collect --listen 127.0.0.1:8080 --upstream https://api.openai.com\n"
      "  slmconv --store store collect --otlp 127.0.0.1:4318");
  context.on(sub, "collect", [&context, sub, flags] { return run_collect(context, *sub, *flags); });
}

}  // namespace slm::cli
