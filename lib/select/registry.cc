#include "select/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/file.h"
#include "model/codec.h"
#include "schema/json.h"
#include "select/artifact.h"

namespace slm::select {
namespace {

namespace fs = std::filesystem;

fs::path registry_dir(const fs::path& store_dir) { return store_dir / "artifacts" / "models"; }

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 100 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.';
         });
}

}  // namespace

Result<LocalModel> inspect_local_model(const std::filesystem::path& dir, std::string name, std::string licence) {
  LocalModel out;
  std::error_code ec;
  out.path = fs::canonical(dir, ec);
  if (ec) return fail(ErrorCode::kIo, fmt::format("{}: {}", dir.string(), ec.message()));
  out.name = name.empty() ? out.path.filename().string() : std::move(name);
  if (!is_name(out.name))
    return fail(ErrorCode::kUsage,
                fmt::format("\"{}\" can't name a model (letters, digits, - _ . up to 100)", out.name),
                "slmconv models add DIR --name NAME");
  out.licence = std::move(licence);
  SLM_TRY(out.config, nn::read_config(out.path));
  SLM_CHECK(model::Codec::open(out.path));
  SLM_TRY(out.digest, model_digest(out.path));
  return out;
}

Status add_local_model(const std::filesystem::path& store_dir, const LocalModel& model) {
  SLM_CHECK(make_dirs(registry_dir(store_dir)));
  const json::object row = {
      {"name", model.name}, {"path", model.path.string()}, {"licence", model.licence}, {"digest", model.digest}};
  return write_file_atomic(registry_dir(store_dir) / fmt::format("{}.json", model.name), pretty_json(row));
}

Status remove_local_model(const std::filesystem::path& store_dir, const std::string& name) {
  std::error_code ec;
  if (is_name(name) && fs::remove(registry_dir(store_dir) / fmt::format("{}.json", name), ec)) return {};
  if (ec) return fail(ErrorCode::kIo, fmt::format("removing the entry of {}: {}", name, ec.message()));
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(registry_dir(store_dir), ec))
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return fail(ErrorCode::kBadInput,
              fmt::format("no registered model is called {}; there {}", name,
                          names.empty() ? "is none" : fmt::format("are: {}", fmt::join(names, ", "))));
}

Result<LocalModels> list_local_models(const std::filesystem::path& store_dir) {
  LocalModels out;
  std::vector<fs::path> files;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(registry_dir(store_dir), ec))
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    SLM_TRY(const json::value value, read_json_file(file));
    SLM_TRY(const json::object* row, want_object(value, file.filename().string()));
    LocalModel model;
    SLM_TRY(model.name, want_string(*row, "name", "registered model"));
    SLM_TRY(const std::string path, want_string(*row, "path", "registered model"));
    SLM_TRY(model.digest, want_string(*row, "digest", "registered model"));
    model.path = path;
    model.licence = std::string(get_string(*row, "licence"));
    auto config = nn::read_config(model.path);
    if (!config) {
      out.unusable.emplace_back(model.name, std::move(config).error());
      continue;
    }
    model.config = std::move(*config);
    if (const auto codec = model::Codec::open(model.path); !codec) model.unreadable = codec.error().message;
    out.models.push_back(std::move(model));
  }
  return out;
}

}  // namespace slm::select
