// Models whose layers attend and recur, as llama.cpp takes them: Nemotron-H, Granite 4, LFM2 and Falcon-H1. What
// nn/gguf_model.h is to the other families.
//
// Matrices are stored in the type asked for (one whose rows aren't whole blocks of it in f16); norms, biases,
// convolutions and Mamba's vectors in f32. With q4_0 the matrix that makes the logits is q8_0.
// Errors: kUnsupportedModel for what llama.cpp doesn't compute, naming it; kBadInput, kManifestMismatch, kIo.
// Source: llama.cpp `src/models/{nemotron-h,granite-hybrid,granite,lfm2,falcon-h1,mamba-base}.cpp` for what is read and
//   computed, `src/llama-arch.cpp` for names and keys, `src/llama-model.cpp` for the kinds of rotation.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "nn/config.h"
#include "nn/engine.h"
#include "nn/gguf_model.h"

namespace slm::model {

// Whether this header is about the family.
bool is_gguf_hybrid(const nn::ModelConfig& config);

Result<nn::GgufSettings> gguf_hybrid_settings(const nn::ModelConfig& config);

// A tensor of the file: rows of one of the checkpoint's, a vector's values being rows of one.
struct GgufHybridTensor {
  std::string from, name;           // the checkpoint's tensor, the file's
  std::vector<int64_t> from_shape;  // of the checkpoint's
  std::vector<int64_t> shape;       // of the file's
  int64_t first = 0;                // row of the checkpoint's that is the first here
  int64_t rows = 0, columns = 0;
  int64_t paired_heads = 0;    // rows of each of so many heads: from halves to pairs; 0: rows stay
  std::vector<float> factors;  // what each row is multiplied by; empty: nothing
  bool minus_exp = false;      // x becomes -exp(x)
  bool in_f32 = false;         // whatever type is asked for
};
// In the order of the file. Requires: gguf_hybrid_settings() gave them.
std::vector<GgufHybridTensor> gguf_hybrid_tensors(const nn::ModelConfig& config);

Status write_gguf_hybrid(const std::filesystem::path& dir, const nn::GgufOptions& options,
                         const std::filesystem::path& out);
// A LoRA adapter for a file that write_gguf_hybrid makes of `base`. options.type: f32, f16 or bf16. Errors also:
// kUnsupportedModel for DoRA and for ranks or scales by module.
Status write_gguf_hybrid_adapter(const std::filesystem::path& base, const nn::AdapterFiles& adapter,
                                 const nn::GgufOptions& options, const std::filesystem::path& out);

}  // namespace slm::model
