#include "model/digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/hash.h"

namespace slm::model {

namespace fs = std::filesystem;

Result<std::string> directory_digest(const fs::path& dir) {
  static constexpr const char* kNames[] = {"config.json", "generation_config.json", "tokenizer.model", "tokenizer.json",
                                           "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"};
  std::vector<fs::path> files;
  std::error_code ec;
  for (const char* name : kNames)
    if (fs::exists(dir / name, ec)) files.push_back(dir / name);
  bool weights = false;
  for (const auto& entry : fs::directory_iterator(dir, ec)) {
    if (entry.path().extension() != ".safetensors") continue;
    files.push_back(entry.path());
    weights = true;
  }
  if (ec || !fs::exists(dir / "config.json") || !weights)
    return fail(ErrorCode::kUnsupportedModel, fmt::format("{}: not a model directory (want config.json and *.safetensors)", dir.string()),
                fmt::format("slmconv models check {}", dir.string()));
  std::sort(files.begin(), files.end());
  Sha256 all;
  for (const auto& file : files) {
    SLM_TRY(const Digest digest, sha256_file(file));
    all.update(file.filename().string());
    all.update(ByteSpan(digest));
  }
  return to_hex(all.finish());
}

}  // namespace slm::model
