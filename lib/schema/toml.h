// TOML files read into JSON values, so that one set of accessors and schemas serves pipelines, rules and settings.
#pragma once

#include <filesystem>

#include "schema/json.h"

namespace slm {

// Tables become objects (keys in file order), dates their text. Errors: kIo; kBadInput with line and column.
Result<json::value> read_toml_file(const std::filesystem::path& path);
Result<json::value> parse_toml(std::string_view text, std::string_view name);

}  // namespace slm
