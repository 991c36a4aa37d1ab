#include "commands/status.h"

#include <fmt/format.h>

#include "schema/artifacts.h"
#include "store/store.h"

namespace slm::cli {
namespace {

struct StepRow {
  const char* step;
  const char* command;
};
constexpr StepRow kSteps[] = {{"scrub", "slmconv scrub"},       {"cluster", "slmconv cluster --k auto"},
                              {"select", "slmconv select"},     {"finetune", "slmconv finetune --all --lora"},
                              {"evaluate", "slmconv evaluate"}, {"report", "slmconv report"}};

Result<Summary> run_status(Context& context) {
  const std::filesystem::path dir = context.globals.store;
  SLM_TRY(const auto info, store::Store::info(dir));
  Summary summary;
  summary.n_in = summary.n_out = info.n_raw;
  std::string next;
  context.out->row({{"step", "collect"},
                    {"made", info.n_raw > 0 ? json::value("-") : json::value("not yet")},
                    {"in", info.n_raw},
                    {"out", info.n_raw},
                    {"artefacts", info.n_batches}});
  if (info.n_raw == 0) next = "slmconv collect PATH";
  for (const auto& row : kSteps) {
    std::vector<std::string> keys = current_keys(dir, row.step);
    const bool single = current_artifact(dir, row.step).has_value();
    if (single) keys.insert(keys.begin(), "");
    if (keys.empty()) {
      context.out->row({{"step", row.step}, {"made", "not yet"}, {"in", nullptr}, {"out", nullptr}, {"artefacts", 0}});
      if (next.empty()) next = row.command;
      continue;
    }
    int64_t n_in = 0, n_out = 0, made_ms = 0;
    for (const auto& key : keys) {
      SLM_TRY(const Manifest m, read_current(dir, row.step, key));
      n_in += m.n_in;
      n_out += m.n_out;
      made_ms = std::max(made_ms, m.made_ms);
    }
    context.out->row({{"step", row.step},
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
  summary.lines.push_back(next.empty() ? "all steps have been taken; a new log starts again at collect"
                                       : "next: " + next);
  return summary;
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  auto* sub = app.add_subcommand("status", "How far this store's conversion has come, and the next command");
  context.on(sub, "status", [&context] { return run_status(context); });
}

}  // namespace slm::cli
