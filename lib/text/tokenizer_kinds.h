// The two kinds of tokenizer that Tokenizer::open chooses from.
#pragma once

#include <filesystem>
#include <memory>

#include "core/error.h"
#include "schema/json.h"
#include "text/tokenizer.h"

namespace slm::text {

// Requires dir/tokenizer.model.
Result<std::unique_ptr<Tokenizer>> open_sentencepiece(const std::filesystem::path& dir);
// Requires dir/tokenizer.json.
Result<std::unique_ptr<Tokenizer>> open_tokenizer_json(const std::filesystem::path& dir);
// The same from the files' texts; an empty config: there is no tokenizer_config.json.
Result<std::unique_ptr<Tokenizer>> parse_tokenizer_json(std::string_view text, std::string_view config = {});

// The file's added tokens, and after them, by id, those that only tokenizer_config.json has (as transformers adds
// them).
Result<json::value> added_tokens_of(const json::object& file, const json::object& config);

}  // namespace slm::text
