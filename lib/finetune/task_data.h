// What tasks train on: the base model of each, its examples out of the store's curated calls, and what is left out.
//
// Errors: as in finetune/tasks.h.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/artifact.h"
#include "dataset/view.h"
#include "finetune/tasks.h"
#include "finetune/teacher.h"
#include "finetune/top_k.h"
#include "model/codec.h"

namespace slm::finetune {

// A base model; its weights are loaded when the first task needs them.
struct Base {
  std::filesystem::path path;
  std::unique_ptr<model::Codec> codec;
  nn::ModelConfig config;
  std::string digest;
  std::optional<nn::Decoder> decoder;
  std::optional<Teacher> teacher;  // of distillation, fitted to it
  std::optional<TopK> top_k;       // of distillation from logged probabilities
};

// What all tasks of a run share.
struct Setting {
  cluster::LoadedTasks tasks;
  dataset::View view;
};

struct Examples {
  std::vector<nn::Sequence> sequences;
  std::vector<uint32_t> sessions;  // session group of each sequence
  int64_t n_in = 0, n_tokens = 0, n_completion = 0, longest = 0;
  int64_t n_with_logprobs = 0, n_covered = 0;  // calls, and tokens of theirs, when learning from logged probabilities
  std::map<std::string, int64_t> dropped;
  std::string digest;  // of the rows asked for
};

struct TaskData {
  const cluster::TaskInfo* task = nullptr;
  Examples train, validation;
  int64_t steps_per_epoch = 0, n_steps = 0;
};

Result<Setting> prepare(const TaskContext& context);
// The base of one task: the one given, else what select chose for it. `base` is kept while it stays the same.
Status use_base(const TaskContext& context, const cluster::TaskInfo& task, const TaskSettings& settings, Base& base);
// The tasks of a choice; those of `all` that can't be measured are left out, and said.
Result<std::vector<const cluster::TaskInfo*>> choose(const TaskContext& context, const Setting& setting,
                                                     const TaskChoice& choice);
Result<TaskData> load_task(const TaskContext& context, const Setting& setting, const Base& base,
                           const cluster::TaskInfo& task, const TaskSettings& settings);
// Share of the trained tokens that logged probabilities cover.
double coverage(const Examples& train);

// A task of --all without a call to train on is left out, and said; one that was named, or the only one, is an error.
class LeftOut {
 public:
  LeftOut(const TaskContext& context, const TaskChoice& choice, size_t n_chosen)
      : context_(context), choice_(choice), n_chosen_(n_chosen) {}
  // True: pass over it.
  Result<bool> ask(const TaskData& data);

 private:
  const TaskContext& context_;
  const TaskChoice& choice_;
  size_t n_chosen_, n_ = 0;
};

}  // namespace slm::finetune
