// The reference of tests/data/families (see its README): models, adapters and what transformers, peft and bitsandbytes
// computed.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/file.h"
#include "nn/adapter.h"
#include "nn/decoder.h"
#include "nn/safetensors.h"

namespace slm::testing {

namespace fs = std::filesystem;

inline at::Tensor to_tensor(const nn::TensorView& view) {
  at::Tensor out = at::empty(view.shape, view.dtype == "I32" ? at::kInt : view.dtype == "U8" ? at::kByte : at::kFloat);
  std::memcpy(out.data_ptr(), view.data.data(), view.data.size());
  return out;
}

struct Reference {
  fs::path dir;
  nn::SafeTensors expected;
  at::Tensor get(const std::string& name) const {
    const auto it = expected.tensors().find(name);
    if (it == expected.tensors().end()) throw std::runtime_error("expected.safetensors has no " + name);
    return to_tensor(it->second);
  }
  bool has(const std::string& name) const { return expected.tensors().contains(name); }
  int n_examples() const {
    int n = 0;
    while (has("ids." + std::to_string(n))) ++n;
    return n;
  }
  std::vector<int32_t> ids(int i) const {
    const at::Tensor t = get("ids." + std::to_string(i));
    return {t.data_ptr<int32_t>(), t.data_ptr<int32_t>() + t.numel()};
  }
  size_t n_prompt(int i) const { return static_cast<size_t>(get("n_prompt." + std::to_string(i)).item<int32_t>()); }
  nn::AdapterFiles adapter() const {
    const auto weights = read_file(dir / "adapter" / "adapter_model.safetensors").value();
    const bool nf4 = dir.filename().string().find("-nf4") != std::string::npos;
    return {read_file(dir / "adapter" / "adapter_config.json").value(), Bytes(weights.begin(), weights.end()), nf4};
  }
};

// The models of tests/data/families (see its README), or fresh ones where scripts/interop/run.sh has made them.
inline std::vector<fs::path> family_dirs() {
  fs::path root = fs::path(SLM_SOURCE_DIR) / "tests/data/families";
  if (const char* fresh = std::getenv("SLMCONV_INTEROP_FAMILIES")) root = fresh;
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(root))
    if (entry.is_directory()) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}
inline Reference reference_in(const fs::path& dir) {
  return {dir, nn::SafeTensors::open(dir / "expected.safetensors").value()};
}
// Two Llamas: one tied, with adapters on some linears; one untied, with adapters on all.
inline std::vector<Reference> references() {
  const fs::path root = fs::path(SLM_SOURCE_DIR) / "tests/data/families";
  return {reference_in(root / "llama-partial"), reference_in(root / "llama-wide")};
}
inline bool is_nf4(const fs::path& dir) { return dir.filename().string().find("-nf4") != std::string::npos; }

inline nn::Decoder load(const fs::path& dir, at::ScalarType compute = at::kFloat, bool trainable = false) {
  auto decoder =
      nn::Decoder::load(dir, {compute, at::kCPU, trainable, is_nf4(dir) ? nn::Nf4Base::kPacked : nn::Nf4Base::kNo});
  if (!decoder) throw std::runtime_error(decoder.error().message);
  return std::move(*decoder);
}

// Side by side, nothing shared; loss on everything from n_prompt on.
inline nn::ForestBatch batch_of(const std::vector<std::vector<int32_t>>& sequences,
                                const std::vector<size_t>& n_prompt) {
  std::vector<nn::Sequence> all;
  for (size_t i = 0; i < sequences.size(); ++i) all.push_back({sequences[i], n_prompt[i], 0, 0});
  return nn::make_forests(all, {.max_tokens = 1 << 20, .share_prefixes = false})[0];
}

// Logits of one sequence, [T, V].
inline at::Tensor logits_of(nn::Decoder& decoder, const std::vector<int32_t>& ids) {
  const nn::Sequence s{ids, ids.size(), 0, nn::rope_key(decoder.config(), std::ssize(ids))};
  return decoder.logits(nn::make_forests({&s, 1}, {})[0]);
}

inline nn::ForestBatch reference_batch(const Reference& reference) {
  std::vector<std::vector<int32_t>> sequences;
  std::vector<size_t> n_prompt;
  for (int i = 0; i < reference.n_examples(); ++i) {
    sequences.push_back(reference.ids(i));
    n_prompt.push_back(reference.n_prompt(i));
  }
  return batch_of(sequences, n_prompt);
}

// Where asked, a line for the support table.
inline void record_deviation(const fs::path& dir, const char* what, double deviation) {
  const char* path = std::getenv("SLMCONV_INTEROP_TABLE");
  if (path == nullptr) return;
  std::ofstream(path, std::ios::app) << fmt::format("{{\"row\":\"{}\",\"{}\":{:.3e}}}\n", dir.filename().string(), what,
                                                    deviation);
}

inline double relative_max(const at::Tensor& ours, const at::Tensor& theirs) {
  return (ours.to(at::kDouble) - theirs.to(at::kDouble)).abs().max().item<double>() /
         theirs.to(at::kDouble).abs().max().item<double>();
}
inline double relative_norm(const at::Tensor& ours, const at::Tensor& theirs) {
  return (ours.to(at::kDouble) - theirs.to(at::kDouble)).norm().item<double>() /
         theirs.to(at::kDouble).norm().item<double>();
}

}  // namespace slm::testing
