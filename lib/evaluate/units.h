// The units of one task: one test call a session group, with its request and what its answer is graded against.
//
// Errors: those of the store.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "core/error.h"
#include "dataset/view.h"
#include "evaluate/looks.h"
#include "model/codec.h"

namespace slm::evaluate {

struct Unit {
  CallId id;
  model::Prompt prompt;
  json::object reference;  // truth, or the logged answer under agreement
  json::object logged;     // what the large model said
  std::optional<double> llm_latency_ms;
};

struct UnitChoice {
  std::vector<uint32_t> rows;              // of the view, in store order
  bool all_have_truth = false;             // false without rows
  int64_t n_in = 0;                        // calls of the task on the test side
  std::map<std::string, int64_t> dropped;  // n_in = rows + these
};

struct UnitOptions {
  uint32_t task = 0;
  int64_t max_sessions = 0;  // 0: all; else those with the smallest keyed hash
  const SeenGroups* barrier = nullptr;
  const std::unordered_set<std::string>* linked = nullptr;  // groups known by now to repeat what lies on another side
};
// Outliers aren't units: a router leaves them to the large model.
Result<UnitChoice> choose_units(const dataset::View& view, const store::Store& store, const UnitOptions& options);

// Keyed digest of these calls: ids, metas and bodies as they are now, so that a text scrubbed otherwise is another
// unit.
Result<std::string> units_digest(const dataset::View& view, store::Store& store, const std::vector<uint32_t>& rows);

// by_truth: the reference is the truth. Units without a reference are left out.
Result<std::vector<Unit>> load_units(const dataset::View& view, store::Store& store, const std::vector<uint32_t>& rows,
                                     bool by_truth);

}  // namespace slm::evaluate
