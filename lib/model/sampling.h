// The next token from one row of logits. A logit that is not a number is never chosen: that is how a mask is laid on.
//
// Threads: pure functions.
// Source: transformers 5.23 generation/logits_process.py for the order (temperature, top-k, top-p) and for what stays:
//   top-k all logits not below the k-th largest, top-p the fewest likeliest tokens of at least that mass together.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/random.h"

namespace slm::model {

struct Sampling {
  double temperature = 0;  // 0: greedy
  double top_p = 1;        // (0, 1]; 1: all
  int top_k = 0;           // 0: all
};

struct Candidate {
  int32_t id = -1;
  double probability = 0;
};
// Requires: temperature > 0. By id, probabilities sum to 1; empty where no logit is a number.
std::vector<Candidate> candidates(std::span<const float> logits, const Sampling& sampling);

// The largest logit's id, the lowest of equals; -1 if none is a number.
int32_t best_of(std::span<const float> logits);
// best_of at temperature 0, else a draw among the candidates; -1 where there are none.
int32_t choose(std::span<const float> logits, const Sampling& sampling, Prng& random);

}  // namespace slm::model
