// Distillation from what was logged of a large model's likeliest tokens: which of a student's tokens they speak of.
//
// Tokens of two tokenisers mean the same where they cover the same bytes of the answer, from the same byte to the same
// byte. There the logged list counts, each entry as the student's token of the same bytes; an entry that is no token of
// the student adds to what all others have together. Elsewhere nothing is known.
// Threads: const calls from any.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "call/logprobs.h"
#include "model/codec.h"
#include "nn/batch.h"

namespace slm::finetune {

// Where less than this share of the trained tokens is covered, distillation would be in name only.
inline constexpr double kLeastCoverage = 0.2;

class TopK {
 public:
  explicit TopK(std::shared_ptr<const model::Vocabulary> vocabulary);
  // By the index of the token in the example.
  std::vector<nn::LoggedTopK> match(const model::Example& example, std::span<const LoggedToken> logged) const;

 private:
  std::shared_ptr<const model::Vocabulary> vocabulary_;
  std::unordered_map<std::string, int32_t> id_of_;
};

}  // namespace slm::finetune
