#include "nn/merge.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "nn/adapter.h"
#include "nn/nf4.h"
#include "nn/safetensors.h"

namespace slm::nn {

namespace {

at::Tensor merged(const at::Tensor& weight, const LoraPair& pair, const LoraConfig& config) {
  at::Tensor out = at::addmm(weight, pair.b, pair.a, 1, config.scale());
  if (!config.dora) return out;
  return out * (pair.magnitude / out.norm(2, 1)).unsqueeze(1);
}

Result<WeightFiles> weights_of(const std::filesystem::path& base, const AdapterFiles& adapter) {
  if (!adapter.full) return WeightFiles::open(base);
  SLM_TRY(auto file, SafeTensors::from_bytes(adapter.weights, "model.safetensors"));
  return WeightFiles::of(std::move(file));
}

}  // namespace

Status merge_weights(const std::filesystem::path& base, const AdapterFiles& adapter, DType stored,
                     const std::filesystem::path& out) {
  SLM_TRY(const ModelConfig config, read_config(base));
  SLM_TRY(const WeightFiles files, weights_of(base, adapter));
  Adapter parsed;
  if (!adapter.full) {
    SLM_TRY(parsed, parse_adapter(adapter));
  }
  std::map<std::string, const LoraPair*> pairs;  // by the tensor they change
  for (const auto& pair : parsed.pairs) pairs[own_name(config, pair.module) + ".weight"] = &pair;

  std::set<std::string> in_nf4;
  if (adapter.nf4_base) {
    for (int64_t i = 0; i < config.n_layers; ++i)
      for (const auto& site : linear_sites(config, i))
        for (const auto& part : site.parts)
          in_nf4.insert(fmt::format("{}{}.weight", layer_prefix(config, i), part.name));
  }

  std::vector<TensorToWrite> tensors;
  size_t n_found = 0;
  for (const auto& wanted : checkpoint_tensors(config)) {
    const TensorView* view = find_tensor(files, config, wanted.name);
    if (view == nullptr || view->shape != wanted.shape)
      return fail(ErrorCode::kBadInput,
                  fmt::format("{}: tensor {} is missing or of another shape than config.json says", base.string(),
                              wanted.name));
    const std::string dtype = stored == DType::kAuto ? view->dtype : stored == DType::kFloat32 ? "F32" : "BF16";
    tensors.push_back({wanted.name, dtype, wanted.shape, {}});
    const auto pair = pairs.find(wanted.name);
    if (pair == pairs.end()) continue;
    ++n_found;
    const auto& [module, a, b, magnitude] = *pair->second;
    const std::vector<int64_t> want_a{parsed.config.rank, wanted.shape[1]}, want_b{wanted.shape[0], parsed.config.rank};
    if (a.sizes().vec() != want_a || b.sizes().vec() != want_b ||
        (parsed.config.dora && magnitude.sizes().vec() != std::vector<int64_t>{wanted.shape[0]}))
      return fail(ErrorCode::kManifestMismatch, fmt::format("adapter for {} doesn't fit a weight of {} x {}", module,
                                                            wanted.shape[0], wanted.shape[1]));
  }
  if (n_found != pairs.size())
    return fail(ErrorCode::kManifestMismatch, fmt::format("{} of the adapter's {} linears aren't in {}",
                                                          pairs.size() - n_found, pairs.size(), config.architecture));
  return guarded([&]() -> Status {
    at::NoGradGuard no_grad;
    return write_safetensors_file(out, tensors, [&](size_t i) -> Result<Bytes> {
      const auto& tensor = tensors[i];
      const TensorView& view = *find_tensor(files, config, tensor.name);
      const auto pair = pairs.find(tensor.name);
      const bool quantised = in_nf4.contains(tensor.name);
      if (pair == pairs.end() && !quantised && tensor.dtype == view.dtype)
        return Bytes(view.data.begin(), view.data.end());
      SLM_TRY(at::Tensor value, tensor_of(view));
      value = value.to(at::kFloat);
      if (quantised) {
        const Nf4 held = nf4_quantise(value);
        value = nf4_dequantise({&held, 1}, at::kFloat);
      }
      if (pair != pairs.end()) value = merged(value, *pair->second, parsed.config);
      SLM_TRY(const auto type, torch_type(tensor.dtype));
      value = value.to(type).contiguous();
      const auto* bytes = static_cast<const uint8_t*>(value.data_ptr());
      return Bytes(bytes, bytes + value.nbytes());
    });
  });
}

}  // namespace slm::nn
