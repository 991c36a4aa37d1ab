// Packing of sequences into rows, under this room's name: see nn/batch.h.
#pragma once

#include "nn/batch.h"

namespace slm::finetune {

using nn::join_rows;
using nn::pack_rows;
using nn::PackOptions;
using nn::Sequence;

}  // namespace slm::finetune
