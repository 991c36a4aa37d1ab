// How much each task's calls cost in the log, and in what span of time: from the metas of all curated calls.
//
// Units: usd per 30 days; ms; tokens as billed. Calls that scrubbing dropped aren't in here, so volumes are lower
// bounds.
// Errors: those of the store.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataset/view.h"
#include "score/cost.h"
#include "store/store.h"

namespace slm::evaluate {

struct TaskVolume {
  int64_t n_calls = 0, n_outliers = 0;
  int64_t n_with_tokens = 0;                        // calls whose log says how many tokens they took
  std::map<std::string, score::TokenCount> tokens;  // by model
};

struct Volumes {
  std::vector<TaskVolume> tasks;  // by task index
  std::optional<int64_t> first_ms, last_ms;
  // Days that the log spans; none below one day: a month can't be told from hours.
  std::optional<double> days() const;
};
Result<Volumes> measure_volumes(store::Store& store, const std::unordered_map<CallId, dataset::View::TaskOf>& task_of,
                                size_t n_tasks);

struct TaskMoney {
  double calls_per_month = 0;
  double cost_usd = 0;  // of the large model
};
// None where time, tokens or a price is missing; `why` then says which.
std::optional<TaskMoney> monthly_cost(const TaskVolume& volume, std::optional<double> days,
                                      const score::PriceList& prices, std::string& why);

}  // namespace slm::evaluate
