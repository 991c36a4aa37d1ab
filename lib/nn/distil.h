// The loss of distillation: a student learns a teacher's distribution over the next token, and what was logged.
//
//   Σ weight · (α · T² · KL(teacher ‖ student, both softened by T) + (1 − α) · −log student[target])
//
// From what was logged of a teacher's likeliest tokens instead, at temperature 1: where they are known of a token,
//   α · KL over these ids and one bucket for all others + (1 − α) · −log student[target], elsewhere −log
//   student[target].
// Both vocabularies are cut to the rows they have in common before they are softened; the second term is over all of
// the student's. Logits exist only for some hundred rows at a time, in float32.
// Shapes: P positions, C width of the student, E of the teacher, V and U rows of their vocabularies.
// Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531), for T².
//   scripts/interop/families.py has the same with transformers models and torch.nn.functional.
#pragma once

#include <torch/types.h>

#include "nn/batch.h"
#include "nn/ops.h"

namespace slm::nn {

// What a model says of the positions of a batch: its logits are softcap(states · headᵀ).
struct Scores {
  at::Tensor states, head;  // [P, E], [U, E]
  double softcap = 0;       // 0: none
};
struct DistilOptions {
  double share = 0.5;      // α, in [0, 1]
  double temperature = 2;  // T > 0
  int64_t n_common = 0;    // first rows of both vocabularies that mean the same; 0: all of the student's
};
struct Distillation {
  Scores teacher;
  DistilOptions options;
  const std::vector<LoggedTopK>* logged = nullptr;  // of the batch; instead of a teacher. Only `share` counts then
};

// Gradients reach student.states and student.head where they take any. hits as of linear_cross_entropy.
CrossEntropy distil_loss(const Scores& student, const LossTargets& at, const Distillation& from);

}  // namespace slm::nn
