// Training batches from examples in memory: every epoch a new seeded order of whole sessions, whose calls share what
// they begin with. A step takes sessions as long as they fit into `batch` examples; a longer session is cut. Epochs
// share no step. Of several processes each gets its part of every step. A step that isn't full counts for as much of a
// full one.
#pragma once

#include <vector>

#include "finetune/trainer.h"
#include "nn/batch.h"

namespace slm::finetune {

// Examples of each step of an epoch, by index. sessions[i]: of the i-th example; examples of one session lie together
// or apart.
std::vector<std::vector<uint32_t>> epoch_steps(const std::vector<uint32_t>& sessions, int64_t batch, uint64_t seed,
                                               int64_t epoch);
// Steps of so many epochs, at least one.
int64_t count_steps(const std::vector<uint32_t>& sessions, int64_t batch, uint64_t seed, double epochs);
// Cuts a step into n contiguous parts of about as many tokens each; a part may be empty. lengths[i]: of the i-th
// example.
std::vector<std::vector<uint32_t>> cut_step(const std::vector<uint32_t>& step, const std::vector<int64_t>& lengths,
                                            int n);

class ShuffledSource final : public BatchSource {
 public:
  struct Options {
    int64_t batch = 16;
    int64_t max_batch_tokens = 8192;
    uint64_t seed = 0;
    bool share_prefixes = true;
    int rank = 0, n_ranks = 1;  // of a run's processes: each takes its part of every step
  };
  // Requires: at least one sequence; a session for each.
  ShuffledSource(std::vector<nn::Sequence> sequences, std::vector<uint32_t> sessions, const Options& options);
  Result<std::vector<nn::ForestBatch>> next() override;
  double fullness() const override { return fullness_; }
  json::object position() const override;
  Status seek(const json::object& position) override;

 private:
  std::vector<uint32_t> part_of(std::vector<uint32_t> examples) const;

  std::vector<nn::Sequence> sequences_;
  std::vector<uint32_t> sessions_;
  Options options_;
  std::vector<std::vector<uint32_t>> steps_;  // of the epoch
  int64_t epoch_ = 0;
  size_t at_ = 0;  // next of them
  double fullness_ = 1;
};

}  // namespace slm::finetune
