// A model directory as one GGUF file: weights and settings (nn/gguf_model.h, model/gguf_hybrid.h), the tokenizer
// (text/gguf_vocabulary.h), the chat template and what ends a turn. A prompt rendered by that template gets the ids
// there that it gets here.
//
// The template is written with the choices that training made: its thinking switch off, its dates those of the day that
// training showed it.
// Errors: kUnsupportedModel for what llama.cpp doesn't take, naming it; kBadInput, kIo.
// Source: llama.cpp `src/llama-vocab.cpp`, `common/chat.cpp` for what is done with each key.
#pragma once

#include <filesystem>
#include <string>

#include "nn/gguf_model.h"

namespace slm::model {

struct GgufExport {
  nn::GgmlType type = nn::GgmlType::kF16;
  std::string name;         // general.name
  std::string description;  // general.description: what the weights were made from; empty: none
};
// Whether export_gguf would refuse, without a look at the weights.
Status check_gguf(const std::filesystem::path& dir);
Status export_gguf(const std::filesystem::path& dir, const GgufExport& options, const std::filesystem::path& out);
// A LoRA adapter for the file that export_gguf makes of `base`.
Status export_gguf_adapter(const std::filesystem::path& base, const nn::AdapterFiles& adapter,
                           const nn::GgufOptions& options, const std::filesystem::path& out);
// Of any family.
Result<nn::GgufSettings> gguf_settings_of(const nn::ModelConfig& config);

}  // namespace slm::model
