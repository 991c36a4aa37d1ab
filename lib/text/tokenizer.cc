#include "text/tokenizer.h"

#include <fmt/format.h>

#include "text/tokenizer_kinds.h"

namespace slm::text {

// transformers, too, prefers tokenizer.json.
Result<std::unique_ptr<Tokenizer>> Tokenizer::open(const std::filesystem::path& dir) {
  std::error_code ec;
  if (std::filesystem::exists(dir / "tokenizer.json", ec)) return open_tokenizer_json(dir);
  if (std::filesystem::exists(dir / "tokenizer.model", ec)) return open_sentencepiece(dir);
  return fail(ErrorCode::kUnsupportedModel,
              fmt::format("{} has neither tokenizer.json nor tokenizer.model", dir.string()),
              "choose a base that ships one of them");
}

}  // namespace slm::text
