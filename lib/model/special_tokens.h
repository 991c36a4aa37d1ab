// The tokens that a model directory gives roles to, and the day its template sees.
#pragma once

#include <filesystem>

#include "core/error.h"
#include "schema/json.h"
#include "text/tokenizer.h"

namespace slm::model {

// The day that templates which print today's date see, 2024-07-26: the same in training and serving, and the one that
// Llama 3's own templates fall back to.
inline constexpr int64_t kTemplateTimeMs = 1721952000000;

// bos_token, eos_token, unk_token and pad_token as texts, those there are: from tokenizer_config.json, else
// special_tokens_map.json, else the usual ones that the tokenizer has.
Result<json::object> special_tokens(const std::filesystem::path& dir, const text::Tokenizer& tokenizer);

// The object of a JSON file; empty where there is no file.
Result<json::object> optional_object(const std::filesystem::path& path);

}  // namespace slm::model
