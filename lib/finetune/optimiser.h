// AdamW over the decoder's parameters, with clipping by the global norm and a warm-up + cosine learning rate.
//
// Units: gradients arrive as sums over a step's tokens; `divisor` (the step's summed loss weight) makes them means.
// Source: Loshchilov, Hutter, "Decoupled Weight Decay Regularization" (arXiv 1711.05101); torch.optim.AdamW for
// details.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/decoder.h"

namespace slm::finetune {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0.0;  // matrices only
  double clip_norm = 1.0;     // 0: off
};

class AdamW {
 public:
  AdamW(std::vector<nn::Parameter> parameters, const AdamWOptions& options);

  // One update from the gradients gathered so far, then clears them. Returns the norm of the mean gradient before
  // clipping; nothing changes when it isn't finite.
  double step(double learning_rate, double divisor);

  const std::vector<nn::Parameter>& parameters() const { return parameters_; }
  std::vector<at::Tensor>& first_moments() { return m_; }
  std::vector<at::Tensor>& second_moments() { return v_; }
  int64_t n_steps() const { return n_steps_; }
  void set_n_steps(int64_t n) { n_steps_ = n; }

 private:
  std::vector<nn::Parameter> parameters_;
  AdamWOptions options_;
  std::vector<at::Tensor> m_, v_;
  int64_t n_steps_ = 0;
};

struct Schedule {
  double peak = 1e-3;
  int64_t warmup_steps = 0, n_steps = 1;
  double final_ratio = 0.0;  // of the peak, at the last step
};
// step counts from 0.
double learning_rate(const Schedule& schedule, int64_t step);

}  // namespace slm::finetune
