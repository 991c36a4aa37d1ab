// The training loop for full weights and LoRA alike: batches from a source, AdamW, validation with early stopping,
// checkpoints that continue exactly.
//
// A step's loss is Σ weight · token loss / Σ weight over all its micro-batches, so that how a step is cut into
//   micro-batches doesn't matter. Before clipping, its gradient is scaled by how full the step is, so that what is left
//   over at the end of an epoch weighs no more than it would in a full step.
// Several processes: each has its part of every step's examples and of the validation. Losses, weights and gradients
//   are summed over all of them before the step is clipped and taken, so that all of them hold the same weights. A
//   checkpoint is the same for any number of them. When another one is lost, what the last whole step left is handed
//   to `save`; if it was to be validated, whoever goes on from there does that first.
// A run diverges where its loss or gradient isn't finite any more, or where the loss, averaged over some ten steps, is
//   half as much again as that of guessing among all tokens and three times what it began with.
// Errors: kInterrupted (after a checkpoint was handed to `save`) when the interrupt flag is set; kUnexpected when it
//   diverges; kManifestMismatch when a checkpoint belongs to another model or other settings; what the source
//   and `save` return.
// Threads: one trainer at a time per decoder.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/time.h"
#include "finetune/optimiser.h"
#include "finetune/processes.h"
#include "nn/decoder.h"

namespace slm::finetune {

// Where training batches come from. Its state is small: a position that leads to the same batches again.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // The micro-batches of the next step: this process's part of them, which may be empty where there are several.
  virtual Result<std::vector<nn::ForestBatch>> next() = 0;
  // What next() gave last, as a share of a full step; in (0, 1].
  virtual double fullness() const { return 1; }
  virtual json::object position() const = 0;
  virtual Status seek(const json::object& position) = 0;
};

struct StepReport {
  int64_t step = 0, n_steps = 0;   // step counts from 1
  double loss = 0;                 // nats a token
  double rate = 0, grad_norm = 0;  // the norm before clipping
  int64_t n_tokens = 0;            // seen so far
  int64_t n_recomputed = 0;        // micro-batches of this process whose layers were computed twice
  double tokens_per_s = 0;         // of this run
  double seconds_left = 0;
};
struct ValidationReport {
  int64_t step = 0;
  double loss = 0, accuracy = 0;  // of tokens, predicted with the truth before them
  bool best = false;
};

struct TrainOptions {
  Schedule schedule;
  AdamWOptions adamw;
  uint64_t seed = 0;
  int64_t validate_every = 0;      // steps; 0: never
  int patience = 0;                // stop after so many validations without a better one; 0: never
  int64_t checkpoint_every = 0;    // steps; 0: only when interrupted
  nn::Decoder* teacher = nullptr;  // with one, the loss of training is that of distillation from it
  nn::DistilOptions distil;
  bool logged = false;             // the loss of training is that of distillation from the lists in its batches
  Processes* processes = nullptr;  // of a data-parallel run; null: alone
  // Whether a micro-batch's layers are computed again on the way back, for want of memory; empty: never. The bits are
  // the same either way.
  std::function<bool(const nn::ForestBatch&)> recomputes;
  std::string identity;  // of data and settings, by the caller; a checkpoint with another one is refused
};

struct TrainResult {
  int64_t n_steps = 0, n_tokens = 0;  // of the whole training
  int64_t n_tokens_this_run = 0;      // without what a checkpoint brought
  int64_t n_recomputed = 0;           // in this run, by this process: micro-batches whose layers were computed twice
  double seconds = 0;                 // of this run
  double loss = 0;                    // of the last step
  int64_t best_step = 0;              // 0: no validation
  double best_loss = 0, best_accuracy = 0;
  bool stopped_early = false;
};

struct TrainHooks {
  std::function<void(const StepReport&)> on_step;
  std::function<void(const ValidationReport&)> on_validation;
  std::function<Status(const Bytes& checkpoint)> save;
};

class Trainer {
 public:
  Trainer(nn::Decoder& decoder, BatchSource& source, TrainOptions options, Clock& clock);

  // Batches that validation measures, this process's part of them; none, in one process: no validation.
  void set_validation(std::vector<nn::ForestBatch> batches) { validation_ = std::move(batches); }
  // Continues from a checkpoint's bytes: same weights, moments, position and early-stopping state.
  Status resume(ByteSpan checkpoint);
  // Trains to the end of the schedule or until validation stops it; with validation, the best weights are put back.
  Result<TrainResult> run(const TrainHooks& hooks = {});

 private:
  Result<StepReport> one_step();
  bool diverges(double loss, double grad_norm);
  Result<ValidationReport> validate();
  // Adds up what the processes gathered in a step: gradients, and `figures`.
  Status gather(at::Tensor figures);
  Bytes checkpoint();
  void keep_best();
  void restore_best();

  nn::Decoder& decoder_;
  BatchSource& source_;
  TrainOptions options_;
  Clock& clock_;
  AdamW optimiser_;
  std::vector<nn::ForestBatch> validation_;
  int64_t step_ = 0, n_tokens_ = 0;
  bool stop_ = false;  // one of the processes was interrupted
  bool lost_ = false;  // a sum over them failed
  bool due_ = false;   // what the last step left is yet to be validated
  double last_loss_ = 0, first_loss_ = 0, mean_loss_ = 0;
  int64_t best_step_ = 0;
  double best_loss_ = 0, best_accuracy_ = 0;
  int since_best_ = 0;
  std::vector<at::Tensor> best_;
};

}  // namespace slm::finetune
