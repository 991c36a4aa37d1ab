// PEFT LoRA adapters: files → tensors. (finetune/peft.h writes them.)
//
// Errors: kUnsupportedModel for what this program doesn't compute (DoRA, biases, modules_to_save, per-module ranks,
// another
//   peft_type), naming field and value; kBadInput for damaged files or a half pair.
// Source: peft `tuners/lora/config.py`, `utils/save_and_load.py`.
#pragma once

#include <vector>

#include "nn/decoder.h"

namespace slm::nn {

struct Adapter {
  LoraConfig config;
  std::vector<LoraPair> pairs;
  std::string base_name;  // base_model_name_or_path
};
Result<Adapter> parse_adapter(const AdapterFiles& files);

// "base_model.model." stands before every module's name in an adapter file.
inline constexpr std::string_view kAdapterPrefix = "base_model.model.";

}  // namespace slm::nn
