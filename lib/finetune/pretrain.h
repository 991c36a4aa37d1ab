// A small base model from scratch: full weights on a corpus of rendered text, streamed; a Hugging Face directory out.
//
// Corpus: JSON lines, each {"prompt": "...", "completion": "..."} or {"text": "..."}, special tokens spelled out as the
//   chat template would ("<|im_start|>user\n…"). A completion's tokens weigh 1 in the loss, a prompt's
//   `prompt_weight`, a text's 1. Nothing is added: a line that should end a turn says so.
// Memory: flat in the corpus's size; one chunk of lines is held at a time.
// Errors: kBadInput (no usable line), kIo, kUsage, kInterrupted after a checkpoint; as in trainer.h.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/time.h"
#include "finetune/trainer.h"
#include "nn/engine.h"

namespace slm::finetune {

struct PretrainOptions {
  std::filesystem::path config;                // config.json of the model to make
  std::filesystem::path tokenizer;             // directory whose tokenizer files are read, and copied to `out`
  std::vector<std::filesystem::path> corpora;  // one epoch = all of them in order; repeated as needed
  std::filesystem::path held_out;              // empty: the corpora's first n_held_out lines, never trained on
  std::filesystem::path out;
  int64_t n_held_out = 256;
  int64_t n_steps = 1000;
  int64_t n_tokens = 0;         // > 0: n_steps = n_tokens / batch_tokens
  int64_t batch_tokens = 8192;  // of one step, at most
  int64_t micro_tokens = 8192;  // of one forward and backward pass
  int64_t length = 256;         // of a line; longer ones are left out and counted
  double prompt_weight = 0.3;
  double rate = 2e-3;
  double final_rate = 0.05;  // of the peak, at the end
  int64_t warmup_steps = 100;
  double weight_decay = 0.1;
  uint64_t seed = 1;
  int64_t save_every = 500;  // steps: checkpoint and model files
  int64_t validate_every = 250;
  int64_t log_every = 20;
  bool resume = false;
  int threads = 0;  // 0: all
  nn::DType compute = nn::DType::kAuto;
  nn::DType stored = nn::DType::kBFloat16;  // of the weight file
};

struct PretrainResult {
  TrainResult train;
  int64_t n_parameters = 0;
  int64_t n_lines = 0;                     // read in this run, all epochs
  std::map<std::string, int64_t> dropped;  // reason → lines of this run
};

// Writes out/{config.json, generation_config.json, model.safetensors, tokenizer files, metrics.jsonl}; during training
// also out/checkpoint.safetensors, removed at the end.
Result<PretrainResult> pretrain(const PretrainOptions& options, Clock& clock, Progress& progress);

}  // namespace slm::finetune
