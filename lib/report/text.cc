#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/report.h"

namespace slm::report {

std::string ratio_text(std::optional<double> value) { return value ? fmt::format("{:.2f}", *value) : "–"; }

std::string money_text(std::optional<double> usd) {
  if (!usd) return "–";
  return std::abs(*usd) >= 100 ? fmt::format("${:.0f}", *usd) : fmt::format("${:.2f}", *usd);
}

std::string verdict_text(std::string_view verdict) {
  if (verdict == "need_more") return "need more";
  if (verdict == "not_measurable") return "not measurable";
  if (verdict == "not_evaluated") return "not evaluated";
  return std::string(verdict);
}

std::string headline(const ReportData& data) {
  const auto replaced =
      std::count_if(data.tasks.begin(), data.tasks.end(), [](const TaskRow& t) { return t.verdict == "replace"; });
  double saving = 0, cost = 0;
  for (const auto& t : data.tasks) {
    saving += t.saving_usd.value_or(0);
    cost += t.cost_usd.value_or(0);
  }
  std::string text = fmt::format("{} of {} tasks can move to a small model", replaced, data.tasks.size());
  if (replaced > 0 && cost > 0)
    text += fmt::format(", saving {} of {} in 30 days at this log's rate ({:.0f} %)", money_text(saving),
                        money_text(cost), 100 * saving / cost);
  return text;
}

json::object summary_json(const ReportData& data) {
  auto number = [](const auto& value) -> json::value {
    if (value) return json::value(*value);
    return nullptr;
  };
  json::array tasks;
  for (const auto& t : data.tasks) {
    tasks.push_back({{"task", t.id},
                     {"name", t.name},
                     {"kind", t.kind},
                     {"n", t.n_units},
                     {"n_calls", t.n_calls},
                     {"base", number(t.base)},
                     {"tuned", number(t.tuned)},
                     {"llm", number(t.llm)},
                     {"majority", number(t.majority)},
                     {"nearest", number(t.nearest)},
                     {"bound", number(t.bound)},
                     {"delta", t.delta},
                     {"agreement", t.agreement},
                     {"verdict", t.verdict},
                     {"need_sessions", number(t.need_sessions)},
                     {"saving_usd", number(t.saving_usd)}});
  }
  return {{"schema", 1}, {"made", data.made}, {"tool", data.tool}, {"headline", headline(data)}, {"tasks", tasks}};
}

std::string markdown(const ReportData& data) {
  std::string out = fmt::format("# {}\n\n{}.\n\n", data.title, headline(data));
  if (data.demo_store) out += "**Demonstration store: its keys come from a known seed and protect nothing.**\n\n";
  out +=
      "| task | kind | calls | base | tuned | LLM | bound | verdict | saving |\n| --- | --- | ---: | ---: | ---: | "
      "---: | ---: | --- | ---: |\n";
  for (const auto& t : data.tasks)
    out += fmt::format("| {} {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", t.id, t.name, t.kind, t.n_calls,
                       ratio_text(t.base), ratio_text(t.tuned), ratio_text(t.llm), ratio_text(t.bound),
                       verdict_text(t.verdict), money_text(t.saving_usd));
  out += fmt::format(
      "\nbase, tuned, LLM: share of held-out sessions answered right{}. bound: what replacing the LLM loses at most, "
      "at the task's "
      "Holm level; a task is replaced when it is at most the margin δ = {:.2f}. saving: per 30 days, with the "
      "fallback's share inside.\n",
      std::any_of(data.tasks.begin(), data.tasks.end(), [](const TaskRow& t) { return t.agreement; })
          ? " (where the log keeps no truth: agreement with the logged answer)"
          : "",
      data.delta);
  bool any = false;
  for (const auto& t : data.tasks) {
    if (t.reason.empty()) continue;
    if (!any) out += "\n## Why\n\n";
    any = true;
    out += fmt::format("- **{} {}**: {}\n", t.id, t.name, t.reason);
  }
  out +=
      "\n## Beside it\n\n| task | units | nearest answer | majority | ms a call | LLM ms | tokens/s | trained on |\n| "
      "--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
  for (const auto& t : data.tasks) {
    auto n = [](const auto& v) { return v ? fmt::format("{:.0f}", static_cast<double>(*v)) : std::string("–"); };
    out += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} |\n", t.id, t.n_units, ratio_text(t.nearest),
                       ratio_text(t.majority), n(t.latency_ms), n(t.llm_latency_ms), n(t.tokens_per_s), n(t.n_train));
  }
  if (data.scrub) {
    out += fmt::format("\n## Records\n\n{} raw calls, {} kept.\n\n| left out because | calls |\n| --- | ---: |\n",
                       data.scrub->n_in, data.scrub->n_out);
    for (const auto& [reason, n] : data.scrub->dropped) out += fmt::format("| {} | {} |\n", reason, n);
  }
  if (!data.found_by_type.empty()) {
    out += "\n## Private data replaced\n\n| type | values |\n| --- | ---: |\n";
    for (const auto& [type, n] : data.found_by_type) out += fmt::format("| {} | {} |\n", type, n);
  }
  out += fmt::format("\nMade {} by {}", data.made, data.tool);
  if (!data.device.empty()) out += fmt::format(" on {}", data.device);
  if (!data.prices.empty()) out += fmt::format("; {}", data.prices);
  out += ". Artefacts:";
  for (const auto& [step, id] : data.artefacts) out += fmt::format(" {} `{}`", step, id);
  out += ".\n";
  return out;
}

}  // namespace slm::report
