#include "finetune/peft.h"

#include <cmath>
#include <set>

#include "nn/adapter.h"
#include "nn/safetensors.h"
#include "schema/json.h"

namespace slm::finetune {

namespace {
// peft writes an integer alpha as one, and older releases expect it.
json::value whole_if_whole(double x) {
  return std::floor(x) == x ? json::value(static_cast<int64_t>(x)) : json::value(x);
}
}  // namespace

Result<nn::AdapterFiles> peft_files(const nn::Decoder& decoder, const std::string& base_name) {
  if (!decoder.has_lora()) return fail(ErrorCode::kUnexpected, "a PEFT directory of a model without adapters");
  return nn::guarded([&]() -> Result<nn::AdapterFiles> {
    const auto& lora = decoder.lora();
    const auto pairs = decoder.lora_pairs();
    std::set<std::string> targets;  // sorted, so that the same adapter gives the same bytes
    for (const auto& pair : pairs) targets.insert(pair.module.substr(pair.module.rfind('.') + 1));
    json::array names;
    for (const auto& t : targets) names.push_back(json::string(t));
    const json::object config{{"alpha_pattern", json::object()},
                              {"base_model_name_or_path", base_name},
                              {"bias", "none"},
                              {"fan_in_fan_out", false},
                              {"inference_mode", true},
                              {"init_lora_weights", true},
                              {"lora_alpha", whole_if_whole(lora.alpha)},
                              {"lora_dropout", lora.dropout},
                              {"modules_to_save", nullptr},
                              {"peft_type", "LORA"},
                              {"r", lora.rank},
                              {"rank_pattern", json::object()},
                              {"target_modules", names},
                              {"task_type", "CAUSAL_LM"},
                              {"use_dora", lora.dora},
                              {"use_rslora", lora.rslora}};
    std::vector<at::Tensor> held;
    held.reserve(pairs.size() * 3);
    std::vector<nn::TensorToWrite> tensors;
    const auto add = [&](const std::string& name, const at::Tensor& value) {
      held.push_back(value.detach().cpu().to(at::kFloat).contiguous());
      const at::Tensor& t = held.back();
      tensors.push_back({std::string(nn::kAdapterPrefix) + name,
                         "F32",
                         t.sizes().vec(),
                         {static_cast<const uint8_t*>(t.data_ptr()), static_cast<size_t>(t.nbytes())}});
    };
    for (const auto& pair : pairs) {
      add(pair.module + ".lora_A.weight", pair.a);
      add(pair.module + ".lora_B.weight", pair.b);
      if (pair.magnitude.defined()) add(pair.module + ".lora_magnitude_vector", pair.magnitude);
    }
    return nn::AdapterFiles{pretty_json(config), nn::write_safetensors(tensors)};
  });
}

}  // namespace slm::finetune
