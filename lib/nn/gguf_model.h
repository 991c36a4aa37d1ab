// Decoders and adapters as llama.cpp takes them: names, shapes, order of rows and settings; the tokenizer's part of a
// model file is given. Torch-free.
//
// A matrix is stored in the type asked for; one whose rows aren't whole blocks of it in f16, norms and biases in f32.
// With q4_0 the matrix that makes the logits is q8_0 (llama.cpp's own converter keeps it finer too).
// Errors: kUnsupportedModel for what llama.cpp doesn't compute, naming it; kBadInput, kManifestMismatch, kIo.
// Source: llama.cpp `src/models/*.cpp`, `src/llama-model.cpp`, `src/llama-context.cpp` and `src/llama-adapter.cpp` for
//   what is read and computed; its converter `conversion/{base,llama,gemma,granite,phi,qwen}.py` for the order of rows
//   and for keys; `gguf-py/gguf/constants.py` for names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "nn/config.h"
#include "nn/engine.h"
#include "nn/gguf.h"

namespace slm::nn {

// A model's settings in llama.cpp's terms.
struct GgufSettings {
  std::string architecture;         // general.architecture
  std::vector<GgufEntry> metadata;  // the architecture's own: "llama.block_count", …
  // Shorter than the model's own where llama.cpp has no sliding windows for the architecture: within one nothing
  // differs.
  int64_t context = 0;
  // Rotated pairs, half a head apart in a checkpoint, lie side by side: the order of the rows of q and k.
  bool pairs = false;
};
Result<GgufSettings> gguf_settings(const ModelConfig& config);

// llama.cpp's name of each of checkpoint_tensors(config), in that order.
std::vector<std::string> gguf_tensor_names(const ModelConfig& config);

struct GgufOptions {
  GgmlType type = GgmlType::kF16;
  std::string name;              // general.name
  std::vector<GgufEntry> extra;  // metadata to write after the architecture's: the tokenizer
};
// Reads the weights of a model directory. Errors also: kBadInput for a weight that the type can't hold.
Status write_gguf_model(const std::filesystem::path& dir, const GgufOptions& options, const std::filesystem::path& out);

// A LoRA adapter for a file that write_gguf_model makes of `base`; its scale (rsLoRA's too) comes out right where
// llama.cpp multiplies by alpha / rank. options.type: f32, f16 or bf16. Errors: kUnsupportedModel for DoRA.
Status write_gguf_adapter(const std::filesystem::path& base, const AdapterFiles& adapter, const GgufOptions& options,
                          const std::filesystem::path& out);

}  // namespace slm::nn
