// The teacher of logit-level distillation: a model whose vocabulary means what the student's means.
//
// Errors: kUnsupportedModel where ids stand for other text, or the teacher can't read an example (ids beyond its
//   vocabulary, a length beyond its context, another set of rotary frequencies): then the logged answers are the way
//   to learn from it (--distill sequence).
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "nn/batch.h"
#include "nn/decoder.h"

namespace slm::finetune {

class Teacher {
 public:
  static Result<Teacher> open(const std::filesystem::path& dir);

  // Compares what the ids of both mean; n_common() is known then.
  Status fit(const std::filesystem::path& student, const nn::ModelConfig& config);
  // Whether it reads these examples of a student that was fitted.
  Status reads(std::span<const nn::Sequence> examples) const;
  Status load(const nn::Decoder::Options& options);

  const std::string& digest() const { return digest_; }
  const std::filesystem::path& dir() const { return dir_; }
  const nn::ModelConfig& config() const { return config_; }
  // Rows [0, n_common) of both vocabularies are the same tokens.
  int64_t n_common() const { return n_common_; }
  // Requires: load().
  nn::Decoder& decoder() { return *decoder_; }

 private:
  std::filesystem::path dir_;
  std::string digest_;
  nn::ModelConfig config_;
  int64_t n_common_ = 0;
  std::optional<nn::Decoder> decoder_;
};

}  // namespace slm::finetune
