// `slmconv models tokenize DIR [FILE|-] [--text TEXT]`: token ids and pieces of a text.
#pragma once

#include "command.h"

namespace slm::cli {
void add_models_tokenize(CLI::App& models, Context& context);
}
