#include "schema/artifacts.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/file.h"
#include "schema/step_command.h"

namespace slm {

namespace fs = std::filesystem;

namespace {
fs::path pointer_path(const fs::path& store, std::string_view step, std::string_view key) {
  return store / "artifacts" / step / (key.empty() ? "current" : fmt::format("current.{}", key));
}
}  // namespace

fs::path artifact_dir(const fs::path& store, std::string_view step, std::string_view id) {
  return store / "artifacts" / step / id;
}

std::optional<std::string> current_artifact(const fs::path& store, std::string_view step, std::string_view key) {
  auto text = read_file(pointer_path(store, step, key), 256);
  if (!text) return std::nullopt;
  while (!text->empty() && text->back() == '\n') text->pop_back();
  if (text->empty() || text->find('/') != std::string::npos) return std::nullopt;
  return *text;
}

Result<Manifest> read_current(const fs::path& store, std::string_view step, std::string_view key) {
  const auto id = current_artifact(store, step, key);
  if (!id) {
    const std::string what = key.empty() ? std::string(step) : fmt::format("{} of {}", step, key);
    return fail(ErrorCode::kManifestMismatch, fmt::format("this store has no result of {} yet", what),
                step_command(step));
  }
  return read_manifest(artifact_dir(store, step, *id));
}

Status set_current(const fs::path& store, std::string_view step, std::string_view id, std::string_view key) {
  const fs::path path = pointer_path(store, step, key);
  SLM_CHECK(make_dirs(path.parent_path()));
  return write_file_atomic(path, fmt::format("{}\n", id));
}

std::vector<std::string> current_keys(const fs::path& store, std::string_view step) {
  std::vector<std::string> keys;
  std::error_code ec;
  for (fs::directory_iterator at(store / "artifacts" / step, ec), end; !ec && at != end; at.increment(ec)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with("current.")) keys.push_back(name.substr(8));
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

std::optional<Manifest> unchanged(const fs::path& store, const Manifest& planned, std::string_view key) {
  auto current = read_current(store, planned.step, key);
  if (!current || current->input_digest() != planned.input_digest() || current->tool != planned.tool)
    return std::nullopt;
  return std::move(*current);
}

}  // namespace slm
