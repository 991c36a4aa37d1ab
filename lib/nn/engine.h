// The network as the other rooms see it: token ids in, float logits out; no torch header.
//
// Shapes: B rows of a batch, T tokens, V vocabulary. Logits are float32 rows of V, row-major.
// Errors: kUnsupportedModel (unknown architecture or field: names itself and what is known), kBadInput (truncated or
//   inconsistent file: names file, tensor, expected and found), kOutOfMemory, kIo.
// Threads: one call at a time per engine.
// Source: safetensors (README of huggingface/safetensors), PEFT adapter files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/error.h"
#include "nn/config.h"

namespace slm::nn {

enum class DType { kAuto, kFloat32, kBFloat16 };   // kAuto: bf16 where the CPU computes it, else fp32
Result<DType> parse_dtype(std::string_view name);  // "auto", "float32", "bfloat16"

struct EngineOptions {
  DType dtype = DType::kAuto;
  std::string device = "cpu";  // "cpu", "cuda", "cuda:1"
  int threads = 0;             // 0: all
  bool nf4 = false;            // the layers' linears as they are after 4-bit quantisation (nf4.h): the base of a QLoRA
};

// What training left, in memory: a PEFT adapter's two files, or all weights anew. (They lie sealed in the store, so a
// path isn't enough.)
struct AdapterFiles {
  std::string config_json;  // adapter_config.json; empty where all weights are new
  Bytes weights;            // adapter_model.safetensors, or model.safetensors
  bool nf4_base = false;    // it was trained over a base in NF4, and answers for no other
  bool full = false;        // all weights of a model like the base
};

// Keys and values of the rows of one batch; opaque. Grows by what prefill and step append.
class Cache {
 public:
  virtual ~Cache() = default;
  virtual size_t n_rows() const = 0;
  // Tokens in the cache of a row.
  virtual int64_t length(size_t row) const = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  // Loads config.json and the weights (model.safetensors or its sharded index) of a Hugging Face directory.
  static Result<std::unique_ptr<Engine>> load(const std::filesystem::path& dir, const EngineOptions& options = {});

  virtual const ModelConfig& config() const = 0;
  virtual DType dtype() const = 0;
  // Replaces the active adapter; weights of the base stay as they are, also beside a full set of new ones. Errors:
  // kManifestMismatch when shapes don't fit, or the adapter needs a base in NF4 and this one isn't.
  virtual Status set_adapter(const AdapterFiles& files) = 0;
  virtual void clear_adapter() = 0;

  // Logits at every position of one sequence, T × V.
  virtual Result<std::vector<float>> logits(std::span<const int32_t> ids) = 0;

  // Runs the prompts (ragged) and returns the logits after each one's last token, B × V.
  virtual Result<std::unique_ptr<Cache>> prefill(std::span<const std::vector<int32_t>> prompts,
                                                 std::vector<float>& logits) = 0;
  // Appends one token to each row and returns the next logits, B × V. Requires: ids.size() == cache.n_rows().
  virtual Status step(Cache& cache, std::span<const int32_t> ids, std::vector<float>& logits) = 0;
  // Keeps only these rows, in this order (finished rows leave the batch).
  virtual Status keep(Cache& cache, std::span<const size_t> rows) = 0;
};

// True if this CPU computes bf16 matrix products natively (AVX512-BF16 or AMX).
bool cpu_has_bf16();

}  // namespace slm::nn
