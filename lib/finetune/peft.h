// A decoder's adapters as the two files of a PEFT adapter directory.
//
// The configuration holds the keys that PEFT has had since 0.9 and no more, so that older releases load it too.
// Source: peft `tuners/lora/config.py`, `utils/save_and_load.py`; loaded by peft 0.21.2 in scripts/interop/.
#pragma once

#include <string>

#include "nn/decoder.h"
#include "nn/engine.h"

namespace slm::finetune {

// Requires: the decoder has adapters. base_name goes into base_model_name_or_path.
Result<nn::AdapterFiles> peft_files(const nn::Decoder& decoder, const std::string& base_name);

}  // namespace slm::finetune
