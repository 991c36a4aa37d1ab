#include "evaluate/volume.h"

#include <fmt/format.h>

#include <algorithm>

namespace slm::evaluate {
namespace {

constexpr double kMsPerDay = 86'400'000;
constexpr double kDaysPerMonth = 30;

}  // namespace

std::optional<double> Volumes::days() const {
  if (!first_ms || *last_ms - *first_ms < static_cast<int64_t>(kMsPerDay)) return std::nullopt;
  return static_cast<double>(*last_ms - *first_ms) / kMsPerDay;
}

Result<Volumes> measure_volumes(store::Store& store, const std::unordered_map<CallId, dataset::View::TaskOf>& task_of,
                                size_t n_tasks) {
  Volumes out;
  out.tasks.resize(n_tasks);
  store::ScanOptions options;
  options.purpose = "evaluate";
  SLM_CHECK(store.scan(store::Store::Space::kCurated, options, [&](store::StoredCall& stored) -> Result<bool> {
    const auto found = task_of.find(stored.id);
    if (found == task_of.end() || found->second.task >= n_tasks) return true;
    SLM_TRY(const json::value value, parse_json(stored.meta));
    SLM_TRY(const CallMeta meta, call_meta_from_json(value));
    TaskVolume& task = out.tasks[found->second.task];
    ++task.n_calls;
    task.n_outliers += found->second.outlier;
    if (meta.usage.n_in && meta.usage.n_out) {
      ++task.n_with_tokens;
      score::TokenCount& tokens = task.tokens[meta.model];
      tokens.n_in += *meta.usage.n_in;
      tokens.n_out += *meta.usage.n_out;
      tokens.n_cached += meta.usage.n_cached.value_or(0);
    }
    if (meta.time_ms) {
      out.first_ms = std::min(out.first_ms.value_or(*meta.time_ms), *meta.time_ms);
      out.last_ms = std::max(out.last_ms.value_or(*meta.time_ms), *meta.time_ms);
    }
    return true;
  }));
  return out;
}

std::optional<TaskMoney> monthly_cost(const TaskVolume& volume, std::optional<double> days,
                                      const score::PriceList& prices, std::string& why) {
  if (volume.n_calls == 0) return std::nullopt;
  if (!days) {
    why = "the log spans less than a day (--log-days says how long it took)";
    return std::nullopt;
  }
  if (volume.n_with_tokens == 0) {
    why = "the log says no token counts";
    return std::nullopt;
  }
  double usd = 0;
  for (const auto& [model, tokens] : volume.tokens) {
    const score::Price* price = prices.find(model);
    if (!price) {
      why = fmt::format("no price for {} (--prices)", model.empty() ? "calls without a model" : model);
      return std::nullopt;
    }
    usd += score::cost_usd(*price, tokens);
  }
  // Calls without counts are taken to be like the others.
  const double all = static_cast<double>(volume.n_calls) / static_cast<double>(volume.n_with_tokens);
  TaskMoney out;
  out.calls_per_month = static_cast<double>(volume.n_calls) / *days * kDaysPerMonth;
  out.cost_usd = usd * all / *days * kDaysPerMonth;
  return out;
}

}  // namespace slm::evaluate
