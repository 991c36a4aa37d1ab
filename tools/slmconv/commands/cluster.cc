#include "commands/cluster.h"

#include <fmt/format.h>
#include <omp.h>

#include <charconv>

#include "cluster/cluster.h"
#include "commands/store.h"

namespace slm::cli {
namespace {

struct ClusterFlags {
  std::string k = "auto", tasks, prices;
  uint64_t seed = 1;
  size_t n_sample = 20'000;
  bool with_hci = false, anew = false;
};

Result<size_t> parse_k(const std::string& text) {
  if (text == "auto") return size_t{0};
  size_t k = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), k);
  if (error != std::errc() || end != text.data() + text.size() || k == 0)
    return fail(ErrorCode::kUsage, fmt::format("--k {}: need a number from 1, or auto", text),
                "slmconv cluster --k auto");
  return k;
}

std::string percent(double share) { return fmt::format("{:.1f}%", 100 * share); }

void show(Reporter& out, const std::vector<cluster::TaskInfo>& tasks) {
  if (tasks.empty()) return;
  for (const auto& task : tasks) {
    if (out.is_json()) {
      out.row(cluster::to_json(task));
      continue;
    }
    out.row({{"task", task.id.value},
             {"name", task.excluded ? task.name + " (excluded)" : task.name},
             {"kind", score::kind_name(task.kind)},
             {"calls", task.n_calls},
             {"sessions", task.n_sessions},
             {"tokens", task.n_in_tokens + task.n_out_tokens},
             {"cost", percent(task.cost_share)},
             {"outliers", task.n_outliers}});
  }
  out.end_table();
}

void describe_lineage(const json::object& summary, std::vector<std::string>& lines) {
  const auto* lineage = get_object(summary, "lineage");
  if (lineage == nullptr) return;
  for (const char* what : {"born", "split", "merged", "retired"}) {
    const auto* list = get_array(*lineage, what);
    if (list == nullptr || list->empty()) continue;
    std::string text;
    for (const auto& item : *list) {
      if (!text.empty()) text += ", ";
      if (const auto* object = item.if_object()) {
        const auto from = get_string(*object, "from"), into = get_string(*object, "into");
        text += fmt::format("{} {} {}", get_string(*object, "task"), from.empty() ? "into" : "from",
                            from.empty() ? into : from);
      } else if (item.is_string()) {
        text += item.get_string();
      }
    }
    lines.push_back(fmt::format("{}: {}", what, text));
  }
}

Result<Summary> run_cluster_command(Context& context, const ClusterFlags& flags) {
  cluster::ClusterOptions options;
  SLM_TRY(options.k, parse_k(flags.k));
  options.seed = flags.seed;
  options.n_sample = flags.n_sample;
  options.with_hci = flags.with_hci;
  options.anew = flags.anew;
  if (!flags.tasks.empty()) options.tasks_file = flags.tasks;
  if (!flags.prices.empty()) options.prices = flags.prices;
  options.progress = context.out;
  options.clock = context.clock;
  if (context.globals.threads > 0) omp_set_num_threads(context.globals.threads);

  SLM_TRY(const auto store, open_store(context, store::Role::kTrainer));
  SLM_TRY(const auto result, cluster::run_cluster(*store, options));

  show(*context.out, result.tasks);
  Summary summary;
  summary.n_in = result.manifest.n_in;
  summary.n_out = result.manifest.n_out;
  summary.dropped = result.manifest.dropped;
  summary.artifact = result.manifest.id;
  summary.changed = result.changed;
  const auto& facts = result.manifest.summary;
  for (const char* key : {"n_tasks", "n_sample", "n_outliers", "lineage", "priced"})
    if (const auto* value = find(facts, key)) summary.extra[key] = *value;
  if (!result.changed) {
    summary.lines.push_back("nothing new: same calls, same settings");
    return summary;
  }
  summary.lines.push_back(fmt::format("{} calls in {} tasks, {} of them outliers; map {}", summary.n_out,
                                      result.tasks.size(), get_int(facts, "n_outliers").value_or(0), summary.artifact));
  for (const auto& [reason, n] : summary.dropped) summary.lines.push_back(fmt::format("left out: {} {}", n, reason));
  if (!get_bool(facts, "priced").value_or(false))
    summary.lines.push_back("cost: some models have no price; shares count an output token as 4 input tokens");
  describe_lineage(facts, summary.lines);
  return summary;
}

}  // namespace

void add_cluster(CLI::App& app, Context& context) {
  auto* sub =
      app.add_subcommand("cluster", "S3: find the tasks in the scrubbed calls, and freeze how calls are told apart");
  auto flags = std::make_shared<ClusterFlags>();
  sub->add_option("--k", flags->k,
                  "Number of tasks, or auto: one for each instruction, template or step of an agent loop")
      ->type_name("N|auto");
  sub->add_option("--tasks", flags->tasks, "TOML file of names, merges and exclusions: [t03] name, merge, exclude")
      ->type_name("F.toml")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--prices", flags->prices, "Price file for cost shares; default: the list inside the program")
      ->type_name("F.toml")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--seed", flags->seed, "Same seed and calls, same map");
  sub->add_option("--sample", flags->n_sample, "Calls the map is fitted on; all are assigned")
      ->check(CLI::Range(size_t{1}, size_t{1} << 20));
  sub->add_flag("--with-hci", flags->with_hci, "Also calls whose answer speaks to a human");
  sub->add_flag("--anew", flags->anew,
                "Where the earlier map can't be read (damaged, or a newer slmconv's): start without it; numbers go on");
  sub->footer(
      "Examples:\n"
      "  slmconv --store store cluster --k auto\n"
      "  slmconv --store store cluster --tasks tasks.toml  # names, merges and exclusions of your own");
  context.on(sub, "cluster", [&context, flags] { return run_cluster_command(context, *flags); });
}

}  // namespace slm::cli
