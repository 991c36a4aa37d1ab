#include "collect/inputs.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <set>

namespace slm::collect {

namespace {

namespace fs = std::filesystem;

bool is_log_name(fs::path path) {
  auto extension = path.extension().string();
  if (extension == ".gz" || extension == ".zst") extension = path.replace_extension().extension().string();
  return extension == ".json" || extension == ".jsonl" || extension == ".ndjson";
}

Status list_folder(const fs::path& dir, std::vector<fs::path>& out) {
  std::error_code ec;
  std::vector<fs::path> found;
  fs::recursive_directory_iterator it(dir, ec);
  for (; !ec && it != fs::recursive_directory_iterator(); it.increment(ec)) {
    std::error_code no_type;
    if (it->is_regular_file(no_type) && is_log_name(it->path())) found.push_back(it->path());
  }
  if (ec) return fail(ErrorCode::kIo, fmt::format("{}: {}", dir.string(), ec.message()));
  if (found.empty())
    return fail(ErrorCode::kBadInput,
                fmt::format("{}: no *.json, *.jsonl or *.ndjson file (or one with .gz or .zst behind) in this folder",
                            dir.string()));
  std::sort(found.begin(), found.end());
  out.insert(out.end(), found.begin(), found.end());
  return {};
}

Status list_matches(const std::string& pattern, std::vector<fs::path>& out) {
  glob_t matches{};
  const int rc = ::glob(pattern.c_str(), 0, nullptr, &matches);
  std::vector<fs::path> found(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
  ::globfree(&matches);
  if (rc == GLOB_NOSPACE || rc == GLOB_ABORTED)
    return fail(ErrorCode::kIo, fmt::format("{}: can't be listed", pattern));
  if (found.empty()) return fail(ErrorCode::kUsage, fmt::format("no such file or folder: {}", pattern));
  for (const auto& path : found) {
    std::error_code ec;
    if (!fs::is_directory(path, ec)) {
      out.push_back(path);
      continue;
    }
    SLM_CHECK(list_folder(path, out));
  }
  return {};
}

}  // namespace

Result<std::vector<Input>> expand_inputs(const std::vector<std::string>& paths) {
  std::vector<Input> inputs;
  std::set<std::string> seen;
  for (const auto& name : paths) {
    if (name == "-") {
      if (seen.insert(name).second) inputs.push_back({name, {}, 0});
      continue;
    }
    std::vector<fs::path> files;
    std::error_code ec;
    if (fs::is_directory(name, ec)) {
      SLM_CHECK(list_folder(name, files));
    } else if (fs::exists(name, ec)) {
      files.emplace_back(name);
    } else {
      SLM_CHECK(list_matches(name, files));
    }
    for (const auto& file : files) {
      const auto real = fs::weakly_canonical(file, ec);
      if (!seen.insert(ec ? file.string() : real.string()).second) continue;
      const auto size = fs::is_regular_file(file, ec) ? fs::file_size(file, ec) : 0;
      inputs.push_back({file.string(), file, ec ? 0 : size});
    }
  }
  return inputs;
}

}  // namespace slm::collect
