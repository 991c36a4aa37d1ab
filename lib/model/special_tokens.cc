#include "model/special_tokens.h"

namespace slm::model {
namespace {

// A token's text in tokenizer_config.json: a string, or an object with "content".
std::string token_text(const json::object& config, std::string_view key) {
  const json::value* value = config.if_contains(key);
  if (value == nullptr) return {};
  if (value->is_string()) return std::string(value->get_string());
  const auto* object = value->if_object();
  return object == nullptr ? std::string() : std::string(get_string(*object, "content"));
}

}  // namespace

Result<json::object> optional_object(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return json::object();
  SLM_TRY(json::value value, read_json_file(path));
  SLM_TRY(const json::object* object, want_object(value, path.string()));
  return *object;
}

Result<json::object> special_tokens(const std::filesystem::path& dir, const text::Tokenizer& tokenizer) {
  SLM_TRY(const json::object config, optional_object(dir / "tokenizer_config.json"));
  SLM_TRY(const json::object map, optional_object(dir / "special_tokens_map.json"));
  json::object out;
  for (const auto& [key, otherwise] :
       {std::pair{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", ""}}) {
    std::string text = token_text(config, key);
    if (text.empty()) text = token_text(map, key);
    if (text.empty() && tokenizer.id_of(otherwise) >= 0) text = otherwise;
    if (!text.empty()) out[key] = text;
  }
  return out;
}

}  // namespace slm::model
