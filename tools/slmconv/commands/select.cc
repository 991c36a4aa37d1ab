#include "commands/select.h"

#include <fmt/format.h>

#include "select/select.h"
#include "store/store.h"

namespace slm::cli {
namespace {

struct Flags {
  select::SelectOptions select;
  std::vector<std::string> licences, models;
  std::string catalogue;
  int64_t show = 3;
  bool excluded = false;
};

json::object candidate_row(const select::TaskCandidates& task, const select::Candidate& candidate, int64_t rank) {
  return {{"task", task.task.value},
          {"kind", score::kind_name(task.kind)},
          {"rank", rank},
          {"model", candidate.model},
          {"parameters", candidate.n_parameters},
          {"serve_gb", static_cast<double>(candidate.serve_bytes) / 1e9},
          {"train_gb", static_cast<double>(candidate.train_bytes) / 1e9},
          {"licence", candidate.licence.empty() ? "not stated" : candidate.licence},
          {"why", candidate.why},
          {"weights", candidate.local ? candidate.path.string() : candidate.get_from}};
}

// "5.5M", "1.7B"
std::string parameters_text(int64_t n) {
  const auto value = static_cast<double>(n);
  return n >= 1'000'000'000 ? fmt::format("{:.1f}B", value / 1e9) : fmt::format("{:.1f}M", value / 1e6);
}

json::object short_row(const select::TaskCandidates& task, const select::Candidate& candidate, int64_t rank) {
  const std::string score =
      candidate.score ? fmt::format("{} {:.2f}", candidate.score->benchmark, candidate.score->value) : "–";
  return {{"task", task.task.value},
          {"kind", score::kind_name(task.kind)},
          {"rank", rank},
          {"model", candidate.model},
          {"size", parameters_text(candidate.n_parameters)},
          {"GB", static_cast<double>(candidate.serve_bytes) / 1e9},
          {"score", score},
          {"weights", candidate.local              ? "here"
                      : candidate.get_from.empty() ? "not published"
                                                   : "to get"}};
}

void show_ranked(Reporter& out, const select::Selection& selection, int64_t most) {
  for (const select::TaskCandidates& task : selection.tasks) {
    int64_t rank = 0;
    for (const select::Candidate& candidate : task.ranked)
      if (++rank <= most || out.is_json())
        out.row(out.is_json() ? candidate_row(task, candidate, rank) : short_row(task, candidate, rank));
  }
  out.end_table();
}

void show_excluded(Reporter& out, const select::Selection& selection) {
  for (const select::TaskCandidates& task : selection.tasks)
    for (const select::Candidate& candidate : task.excluded)
      for (const select::Exclusion& exclusion : candidate.exclusions)
        out.row({{"task", task.task.value},
                 {"model", candidate.model},
                 {"reason", exclusion.reason},
                 {"detail", exclusion.detail}});
  out.end_table();
}

// A line for each model shown whose weights aren't here.
std::vector<std::string> where_to_get(const select::Selection& selection, int64_t most) {
  std::map<std::string, std::string> from;
  for (const select::TaskCandidates& task : selection.tasks)
    for (size_t i = 0; i < task.ranked.size() && static_cast<int64_t>(i) < most; ++i)
      if (!task.ranked[i].local && !task.ranked[i].get_from.empty())
        from[task.ranked[i].model] = task.ranked[i].get_from;
  std::vector<std::string> out;
  out.reserve(from.size() + 1);
  for (const auto& [model, address] : from) out.push_back(fmt::format("{}: {}", model, address));
  if (!out.empty()) out.push_back("once they are here: slmconv models add DIR, then slmconv select");
  return out;
}

Result<Summary> run_select(Context& context, Flags flags) {
  SLM_CHECK(store::Store::info(context.globals.store));
  if (!flags.licences.empty()) flags.select.licences = {flags.licences.begin(), flags.licences.end()};
  flags.select.models.assign(flags.models.begin(), flags.models.end());
  flags.select.catalogue = flags.catalogue;
  SLM_TRY(const select::SelectResult result,
          select::select_models(context.globals.store, flags.select, *context.clock, *context.out));
  const select::Selection& selection = result.selection;
  show_ranked(*context.out, selection, flags.show);
  if (flags.excluded || context.out->is_json()) show_excluded(*context.out, selection);

  Summary summary;
  summary.n_in = selection.manifest.n_in;
  summary.n_out = selection.manifest.n_out;
  summary.dropped = selection.manifest.dropped;
  summary.artifact = selection.manifest.id;
  summary.changed = result.changed;
  int64_t n_chosen = 0;
  for (const select::TaskCandidates& task : selection.tasks) n_chosen += task.chosen() != nullptr;
  const auto n_tasks = static_cast<int64_t>(selection.tasks.size());
  summary.extra["n_tasks"] = n_tasks;
  summary.extra["n_with_weights"] = n_chosen;
  summary.lines.push_back(fmt::format("{} of {} tasks have a candidate whose weights are here", n_chosen, n_tasks));
  for (const std::string& line : where_to_get(selection, flags.show)) summary.lines.push_back(line);
  if (!flags.excluded && selection.manifest.n_in > selection.manifest.n_out)
    summary.lines.push_back("--excluded shows what was left out and why");
  return summary;
}

}  // namespace

void add_select(CLI::App& app, Context& context) {
  auto* sub = app.add_subcommand("select", "Rank the small models that could take over each task (S4)");
  auto flags = std::make_shared<Flags>();
  auto& s = flags->select;
  std::vector<std::string> permissive(s.licences.begin(), s.licences.end());
  sub->add_option("--licences", flags->licences,
                  fmt::format("Licences allowed (default, permissive ones: {})", fmt::join(permissive, ",")))
      ->delimiter(',')
      ->type_name("SPDX,...");
  sub->add_option("--memory-gb", s.memory_gb, "Memory for serving and for training; 0: this machine's")
      ->check(CLI::Range(0.0, 1e6));
  sub->add_option("--model", flags->models, "Folders of weights to consider besides those of `models add`")
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("--catalogue", flags->catalogue, "Catalogue to use instead of the one inside")
      ->type_name("FILE.toml")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--batch", s.serve_batch, "Calls answered together when served")->check(CLI::Range(1, 4096));
  sub->add_option("--rank", s.rank, "LoRA rank that training is planned with")->check(CLI::Range(1, 4096));
  sub->add_option("--show", flags->show, "Candidates shown a task")->check(CLI::Range(1, 1000));
  sub->add_flag("--excluded", flags->excluded, "Show what was left out, with every reason");
  sub->footer(
      "Examples:\n"
      "  slmconv --store store models add ~/models/TinyLlama --licence Apache-2.0\n"
      "  slmconv --store store select --memory-gb 16 --excluded");
  context.on(sub, "select", [&context, flags] { return run_select(context, *flags); });
}

}  // namespace slm::cli
