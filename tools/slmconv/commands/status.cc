#include "commands/status.h"

#include <fmt/format.h>

#include "schema/artifacts.h"
#include "store/store.h"

namespace slm::cli {
namespace {

// Steps in order, each with the test of whether it was made from what the steps before it hold now.
struct Now {
  int64_t n_raw = 0;
  std::string curated, tasks;  // digests of what scrub and cluster made
  std::filesystem::path store;
};

bool has_input(const Manifest& made, const std::string& key, const std::string& digest) {
  const auto found = made.inputs.find(key);
  return found != made.inputs.end() && found->second == digest;
}

bool saw_all_raw(const Manifest& made, const Now& now) { return made.n_in == now.n_raw; }
bool saw_curated(const Manifest& made, const Now& now) { return has_input(made, "curated", now.curated); }
bool saw_tasks(const Manifest& made, const Now& now) { return has_input(made, "tasks", now.tasks); }
// An adapter may stay over a new map: a task's id is permanent.
bool always(const Manifest&, const Now&) { return true; }
// ... and tested the adapters that are there.
bool saw_adapters(const Manifest& made, const Now& now) {
  if (!saw_tasks(made, now)) return false;
  const json::array* tasks = get_array(made.summary, "tasks");
  for (const std::string& key : current_keys(now.store, "finetune")) {
    const auto adapter = read_current(now.store, "finetune", key);
    bool tested = false;
    for (const json::value& task : tasks ? *tasks : json::array()) {
      const json::object& row = task.as_object();
      if (get_string(row, "task") != key) continue;
      const std::string_view of = get_string(row, "adapter");
      tested = adapter && (of.empty() ? get_string(row, "verdict") == "not_measurable" : of == adapter->id);
    }
    if (!tested) return false;
  }
  return true;
}

struct StepRow {
  const char* step;
  const char* command;
  bool (*is_up_to_date)(const Manifest& made, const Now& now);
};
constexpr StepRow kSteps[] = {{"scrub", "slmconv scrub", saw_all_raw},
                              {"cluster", "slmconv cluster --k auto", saw_curated},
                              {"select", "slmconv select", saw_tasks},
                              {"finetune", "slmconv finetune --all --lora", always},
                              {"evaluate", "slmconv evaluate", saw_adapters}};

Result<Summary> run_status(Context& context) {
  const std::filesystem::path dir = context.globals.store;
  SLM_TRY(const auto info, store::Store::info(dir));
  Summary summary;
  summary.n_in = summary.n_out = info.n_raw;
  std::string next;
  Now now;
  now.n_raw = info.n_raw;
  now.store = dir;
  if (const auto made = read_current(dir, "scrub"))
    if (const auto found = made->outputs.find("curated"); found != made->outputs.end()) now.curated = found->second;
  if (const auto made = read_current(dir, "cluster")) now.tasks = made->digest();
  context.out->row({{"step", "collect"},
                    {"state", info.n_raw > 0 ? "done" : "not yet"},
                    {"made", nullptr},
                    {"in", info.n_raw},
                    {"out", info.n_raw},
                    {"artefacts", info.n_batches}});
  if (info.n_raw == 0) next = "slmconv collect PATH";
  for (const auto& row : kSteps) {
    std::vector<std::string> keys = current_keys(dir, row.step);
    const bool single = current_artifact(dir, row.step).has_value();
    if (single) keys.insert(keys.begin(), "");
    if (keys.empty()) {
      context.out->row({{"step", row.step},
                        {"state", "not yet"},
                        {"made", nullptr},
                        {"in", nullptr},
                        {"out", nullptr},
                        {"artefacts", 0}});
      if (next.empty()) next = row.command;
      continue;
    }
    int64_t n_in = 0, n_out = 0, made_ms = 0;
    bool up_to_date = true;
    for (const auto& key : keys) {
      SLM_TRY(const Manifest m, read_current(dir, row.step, key));
      up_to_date = up_to_date && row.is_up_to_date(m, now);
      n_in += m.n_in;
      n_out += m.n_out;
      made_ms = std::max(made_ms, m.made_ms);
    }
    if (!up_to_date && next.empty()) next = row.command;
    context.out->row({{"step", row.step},
                      {"state", up_to_date ? "done" : "outdated"},
                      {"made", format_utc(made_ms).substr(0, 16)},
                      {"in", n_in},
                      {"out", n_out},
                      {"artefacts", keys.size()}});
  }
  context.out->end_table();
  if (info.demo) context.out->warn("demonstration store: its keys come from a known seed and protect nothing");
  summary.extra["n_raw"] = info.n_raw;
  summary.extra["n_curated"] = info.n_curated;
  summary.extra["next"] = next;
  summary.lines.push_back(next.empty()
                              ? "all steps are up to date: slmconv report shows the result, a new log starts at collect"
                              : "next: " + next);
  return summary;
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  auto* sub = app.add_subcommand("status", "How far this store's conversion has come, and the next command");
  context.on(sub, "status", [&context] { return run_status(context); });
}

}  // namespace slm::cli
