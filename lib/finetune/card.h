// The README.md of an exported adapter or model, as model hubs read it: what it was made from and how.
#pragma once

#include <string>

#include "finetune/artifact.h"

namespace slm::finetune {

// What the base is, in words: its folder's name and, of a QLoRA, its quantisation.
std::string base_in_words(const LoadedAdapter& adapter);
// merged: the files are a model of its own.
std::string model_card(const LoadedAdapter& adapter, bool merged);

}  // namespace slm::finetune
