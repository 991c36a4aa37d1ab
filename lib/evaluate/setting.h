// What evaluating and showing errors both start from: the tasks, the view of calls, the evaluation before this one, and
// one open base model at a time.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cluster/artifact.h"
#include "dataset/view.h"
#include "evaluate/evaluate.h"
#include "evaluate/looks.h"
#include "finetune/artifact.h"

namespace slm::evaluate {

inline constexpr std::string_view kOutcomesFile = "outcomes.jsonl";
inline constexpr std::string_view kSeenFile = "seen";

std::filesystem::path sealed_path(const std::filesystem::path& dir, std::string_view file);
// The name an encapsulation is kept under.
std::string sealed_name(std::string_view evaluation, std::string_view file);

struct Setting {
  cluster::LoadedTasks tasks;
  std::unordered_map<CallId, dataset::View::TaskOf> task_of;
  dataset::View view;
  std::unordered_map<std::string, PastTest> past;  // by task id: its last test, tested_in filled in
  std::optional<Evaluation> previous;
  std::unordered_set<std::string> linked;  // test groups that scrubbing found again on another side: no units

  const cluster::TaskInfo& info(size_t task) const { return tasks.map.tasks()[task]; }
  // The task's last test; null if there was none.
  const PastTest* before(size_t task) const {
    const auto found = past.find(info(task).id.value);
    return found == past.end() ? nullptr : &found->second;
  }
};
Result<Setting> open_setting(store::Store& store);

// The tasks to look at, by index: those named, or all with an adapter that aren't excluded.
Result<std::vector<size_t>> choose_tasks(const Setting& setting, const std::filesystem::path& store_dir,
                                         const std::vector<std::string>& names);

// Manifest of a task's current adapter. One trained on an earlier task map is fine, with a warning: a task's id is
// permanent, and which side a session is on never changes.
Result<Manifest> fitting_adapter(const Setting& setting, store::Store& store, size_t task, Progress& progress);

// Digest of all that is fixed before the test side is opened: adapter, base, kind (how it is graded), margin, how
// answers are generated.
std::string candidate_digest(const Manifest& adapter, score::TaskKind kind, const EvaluateOptions& options);

// Opens base models one after the other, quantised where the adapter was trained over one in NF4; checks that each is
// the one the adapter was trained on.
class Bases {
 public:
  explicit Bases(const EvaluateContext& context, const nn::EngineOptions& options)
      : context_(context), options_(options) {}
  Result<model::Model*> open(const finetune::LoadedAdapter& adapter);

 private:
  const EvaluateContext& context_;
  const nn::EngineOptions& options_;
  std::filesystem::path path_;
  std::string digest_;
  bool nf4_ = false;
  std::unique_ptr<model::Model> model_;
};

}  // namespace slm::evaluate
