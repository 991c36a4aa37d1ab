// Where artefacts lie: STORE/artifacts/<step>/<id>/manifest.json, and which one of a step is current.
//
// Errors: kManifestMismatch when a step has made nothing yet (the hint names the command), kIo.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "schema/manifest.h"

namespace slm {

std::filesystem::path artifact_dir(const std::filesystem::path& store, std::string_view step, std::string_view id);
// Name of the current artefact of a step; `key` tells apart artefacts of one step that live side by side (adapters of
// tasks: "t03"), "" for the one of the step.
std::optional<std::string> current_artifact(const std::filesystem::path& store, std::string_view step,
                                            std::string_view key = {});
Result<Manifest> read_current(const std::filesystem::path& store, std::string_view step, std::string_view key = {});
// Atomically: STORE/artifacts/<step>/current[.<key>] names the id.
Status set_current(const std::filesystem::path& store, std::string_view step, std::string_view id,
                   std::string_view key = {});
// All keys with a current artefact of that step, sorted.
std::vector<std::string> current_keys(const std::filesystem::path& store, std::string_view step);

// The current artefact if it was made from the same inputs, config and seed by the same step: then a step has nothing
// to do.
std::optional<Manifest> unchanged(const std::filesystem::path& store, const Manifest& planned,
                                  std::string_view key = {});

}  // namespace slm
