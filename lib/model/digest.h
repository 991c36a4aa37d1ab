// What names a model directory by content: so that an adapter is never used on another base.
#pragma once

#include <filesystem>
#include <string>

#include "core/error.h"

namespace slm::model {

// SHA-256, hexadecimal, over config.json, the tokenizer, the chat template and every weight file of the directory.
// Errors: kIo; kUnsupportedModel when it has no config.json or no *.safetensors.
Result<std::string> directory_digest(const std::filesystem::path& dir);

}  // namespace slm::model
