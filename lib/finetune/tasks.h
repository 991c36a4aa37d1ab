// Finetunes one adapter a task from the store's curated calls: chooses the examples, trains, keeps the best by
// validation, seals the adapter.
//
// Examples are calls of the training side that succeeded; where the truth is kept and the logged answer is wrong, the
// call is left out. Calls that the model's chat template refuses (many refuse two messages of one role in a row) or
// that are longer than its context are left out too, all counted, never cut.
// Several processes (finetune/processes.h) take part in every task: each reads the same store, trains on its part of
// every step, and only the first one writes.
// Requires: a store opened as trainer, for writing; a task map; weights on disk.
// Units: tokens; ratios in [0,1].
// Errors: kBadInput (no such task, no examples in any or in one that was named), kUnsupportedModel, kInterrupted (a
//   sealed checkpoint was left: go on with `resume`), kManifestMismatch (a checkpoint of other data or settings),
//   kOutOfMemory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/time.h"
#include "finetune/trainer.h"
#include "nn/engine.h"
#include "nn/plan.h"
#include "schema/manifest.h"
#include "store/store.h"

namespace slm::finetune {

inline constexpr double kFullRate = 2e-5;

// What the answers are learnt from.
enum class Distil {
  kNo,        // the logged answers, without a word about it
  kSequence,  // the same: they are a large model's (sequence-level distillation)
  kLogits,    // them and a teacher's distribution at each of their tokens (nn/distil.h): of the model given, or the
              // likeliest tokens that the log has (finetune/top_k.h)
};

struct TaskSettings {
  std::filesystem::path base;  // model directory; empty: what select chose for each task
  bool full = false;           // all weights instead of adapters
  nn::LoraConfig lora;
  bool nf4 = false;  // QLoRA: the base's linears in 4 bits, here and wherever the adapter is used
  Distil distil = Distil::kNo;
  std::filesystem::path teacher;                      // of kLogits: a model directory; empty: what was logged
  double distil_share = 0.5, distil_temperature = 2;  // α and T
  double learning_rate = 2e-4;                        // of adapters; all weights bear a tenth of it (kFullRate)
  double warmup_ratio = 0.06;                         // of all steps
  double weight_decay = 0.0, clip_norm = 1.0;
  int64_t batch = nn::kTrainBatch;  // examples a step
  double epochs = 3;
  int64_t max_steps = 0;                             // 0: as the epochs say
  int64_t max_examples = 0;                          // 0: all of the training side
  int64_t max_validation = 256;                      // examples; 0: all
  int64_t max_batch_tokens = nn::kTrainBatchTokens;  // of a micro-batch
  bool shuffle_calls = false;      // a step's calls from all sessions; else a session's stay together and share more
  int n_validations = 8;           // spread over the run
  int patience = 3;                // validations without a better one
  int64_t checkpoint_every = 200;  // steps
  uint64_t seed = 1;
  nn::DType dtype = nn::DType::kAuto;
  std::string device = "cpu";
  int threads = 0;  // to compute with; 0: as torch has them
  // Of this process. Where a micro-batch's activations don't fit, its layers are computed again on the way back. 0: a
  // part of the machine's on the CPU, any amount elsewhere.
  int64_t memory_bytes = 0;
  bool resume = false;
};

struct TaskChoice {
  std::vector<std::string> tasks;  // ids or names
  bool all = false;                // every task that can be measured; what has no call to train on is left out
};

// What a run would do, for --dry-run.
struct TaskPlan {
  std::string task, name;
  bool left_out = false;  // of `all`, and without a call to train on: dropped says why, nothing else is set
  int64_t n_examples = 0, n_validation = 0, n_tokens = 0, n_completion_tokens = 0, longest = 0, n_steps = 0;
  std::map<std::string, int64_t> dropped;
  int64_t memory_bytes = 0, n_parameters = 0;
  int64_t held_bytes = 0;  // what memory_bytes would be, were all activations held
  int64_t budget_bytes = 0;
  double recomputed = 0;    // share of the first steps' micro-batches whose layers are computed again, to fit
  double coverage = 0;      // of the trained tokens, by logged probabilities; 0 unless they are learnt from
  double sharing = 1;       // tokens of calls that one computed token serves, of the first steps
  double tokens_per_s = 0;  // of two measured steps
  double minutes = 0;
  // One example as the loss sees it: how many tokens are masked ('-') and trained ('+'), then on each side special
  // tokens by their text and runs of others by their number, e.g. with ChatML
  // "-97: <|im_start|> 31 <|im_end|> 1 <|im_start|> 2 | +23: 22 <|im_end|>". Never the call's own text.
  std::string mask;
};

struct TaskOutcome {
  std::string task, name;
  Manifest manifest;
  bool changed = false;   // false: the same adapter was there already
  bool left_out = false;  // of `all`, and without a call to train on: the manifest counts why, no adapter was made
  TrainResult train;
};

struct TaskContext {
  store::Store& store;
  Clock& clock;
  Progress& progress;
  // Called with what metrics.jsonl gets, a line each; may be empty.
  std::function<void(const json::object&)> metrics = {};
  Processes* processes = nullptr;  // null: alone
};

Result<std::vector<TaskOutcome>> finetune_tasks(const TaskContext& context, const TaskChoice& choice,
                                                const TaskSettings& settings);
Result<std::vector<TaskPlan>> plan_tasks(const TaskContext& context, const TaskChoice& choice,
                                         const TaskSettings& settings);

}  // namespace slm::finetune
