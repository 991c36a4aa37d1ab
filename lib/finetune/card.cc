#include "finetune/card.h"

#include <fmt/format.h>

namespace slm::finetune {

std::string base_in_words(const LoadedAdapter& adapter) {
  const std::string base = adapter.base.filename().string();
  if (!adapter.files.nf4_base) return base;
  return fmt::format("{} with its linears quantised to NF4 (blocks of 64, double quantisation)", base);
}

std::string model_card(const LoadedAdapter& adapter, bool merged) {
  const auto& config = adapter.manifest.config;
  std::string out = fmt::format("---\nbase_model: {}\n{}tags:\n- slmconv\n---\n\n", adapter.base.filename().string(),
                                merged ? "" : "library_name: peft\n");
  out += fmt::format("{} of task {}, trained by slmconv (artefact {}) on {} calls.\n\nBase: {}.\n",
                     merged ? "Model" : "Adapter", get_string(config, "task"), adapter.manifest.id,
                     adapter.manifest.n_out, base_in_words(adapter));
  if (adapter.files.nf4_base && merged)
    out += "The adapter is merged into what quantisation left of those weights, as it was trained and measured.\n";
  if (adapter.files.nf4_base && !merged)
    out +=
        "Load the base quantised (transformers: BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=\"nf4\", "
        "bnb_4bit_use_double_quant=True)); over the base as it is, answers differ from those measured.\n";
  return out;
}

}  // namespace slm::finetune
