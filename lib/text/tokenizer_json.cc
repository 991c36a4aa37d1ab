#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/file.h"
#include "core/utf8.h"
#include "schema/json.h"
#include "text/pipeline/added_tokens.h"
#include "text/pipeline/decoder.h"
#include "text/pipeline/fields.h"
#include "text/pipeline/model.h"
#include "text/pipeline/normalizer.h"
#include "text/pipeline/pre_tokenizer.h"
#include "text/tokenizer_kinds.h"
#include "text/unicode.h"

namespace slm::text {
namespace {

using namespace pipeline;

constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;
constexpr unsigned kMaxDepth = 64;

// normalizer → added tokens → pre_tokenizer → model, and back by the decoder.
class JsonTokenizer final : public Tokenizer {
 public:
  Status load(const json::object& file, const json::object& config);

  std::vector<int32_t> encode(std::string_view text) const override { return encode_all(text, false); }
  std::vector<int32_t> encode_rest(std::string_view text) const override { return encode_all(text, true); }
  std::string decode(std::span<const int32_t> ids, bool keep_special) const override {
    return decode_ids(ids, keep_special, false);
  }
  std::string decode_rest(std::span<const int32_t> ids, bool keep_special) const override {
    return decode_ids(ids, keep_special, true);
  }
  std::string token_bytes(int32_t id) const override {
    if (const AddedToken* token = added_.of(id)) return token->special ? std::string() : token->content;
    const std::string* piece = model_->vocabulary().piece_of(id);
    return piece == nullptr ? std::string() : decoder_.bytes_of(*piece);
  }
  int32_t n_ids() const override { return std::max(model_->vocabulary().n_ids(), added_.n_ids()); }
  int32_t id_of(std::string_view piece) const override {
    const int32_t added = added_.id_of(piece);
    return added >= 0 ? added : model_->vocabulary().id_of(piece);
  }
  std::string piece_of(int32_t id) const override {
    if (const AddedToken* token = added_.of(id)) return token->content;
    const std::string* piece = model_->vocabulary().piece_of(id);
    return piece == nullptr ? std::string() : *piece;
  }
  bool is_special(int32_t id) const override {
    const AddedToken* token = added_.of(id);
    return token != nullptr && token->special;
  }

 private:
  std::vector<int32_t> encode_all(std::string_view text, bool follows) const;
  void cut_section(Section section, Pieces& pieces) const;
  std::string decode_ids(std::span<const int32_t> ids, bool keep_special, bool follows) const;

  Normalizer normalizer_;
  AddedTokens added_;
  PreTokenizer pre_tokenizer_;
  std::unique_ptr<Model> model_;
  Decoder decoder_;
};

json::value field_of(const json::object& object, std::string_view key) {
  const auto* value = find(object, key);
  return value == nullptr ? json::value(nullptr) : *value;
}

Status JsonTokenizer::load(const json::object& file, const json::object& config) {
  const Part whole{&file, "the file", ""};
  // Neither truncation nor padding nor the post-processor has a part in Tokenizer's contract.
  SLM_CHECK(only_fields(whole, {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                                "post_processor", "decoder", "model"}));
  if (const auto version = get_string(file, "version"); version != "1.0")
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("tokenizer.json: version \"{}\"; this build knows 1.0", version.substr(0, 64)));
  SLM_TRY(normalizer_, Normalizer::read(field_of(file, "normalizer")));
  SLM_TRY(pre_tokenizer_, PreTokenizer::read(field_of(file, "pre_tokenizer")));
  SLM_TRY(decoder_, Decoder::read(field_of(file, "decoder")));
  const auto* model = find(file, "model");
  if (model == nullptr) return fail(ErrorCode::kBadInput, "tokenizer.json: there is no model");
  SLM_TRY(model_, Model::read(*model));
  SLM_TRY(const json::value added, added_tokens_of(file, config));
  SLM_TRY(added_, AddedTokens::read(added, model_->vocabulary(), normalizer_));
  if (n_ids() == 0) return fail(ErrorCode::kBadInput, "tokenizer.json: the vocabulary holds no pieces");
  return {};
}

void JsonTokenizer::cut_section(Section section, Pieces& pieces) const {
  normalizer_.apply(section);
  const size_t base = pieces.text.size();
  for (const auto& found : added_.find(section.text, true)) {
    const bool first = found.begin == 0;
    pieces.list.push_back(
        {base + found.begin, base + found.end, found.id, section.at_start && first, section.follows && first});
  }
  pieces.text += section.text;
}

std::vector<int32_t> JsonTokenizer::encode_all(std::string_view text, bool follows) const {
  std::string repaired;
  if (!is_utf8(text)) {
    repaired = repair_utf8(text);
    text = repaired;
  }
  Pieces pieces;
  pieces.text.reserve(text.size());
  for (const auto& found : added_.find(text, false)) {
    if (found.id >= 0) {
      pieces.list.push_back({0, 0, found.id});
    } else {
      const bool first = found.begin == 0;
      cut_section({std::string(text.substr(found.begin, found.end - found.begin)), first && !follows, first && follows},
                  pieces);
    }
  }
  pre_tokenizer_.apply(pieces);
  std::vector<int32_t> ids;
  ids.reserve(pieces.list.size() + pieces.list.size() / 2);
  for (const Piece& piece : pieces.list) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
    } else {
      model_->encode(pieces.view(piece), ids);
    }
  }
  return ids;
}

std::string JsonTokenizer::decode_ids(std::span<const int32_t> ids, bool keep_special, bool follows) const {
  std::vector<std::string> pieces;
  pieces.reserve(ids.size());
  for (const int32_t id : ids) {
    if (const AddedToken* token = added_.of(id)) {
      if (keep_special || !token->special) pieces.push_back(token->content);
    } else if (const std::string* piece = model_->vocabulary().piece_of(id)) {
      pieces.push_back(*piece);
    }
  }
  return decoder_.apply(std::move(pieces), follows);
}

}  // namespace

Result<json::value> added_tokens_of(const json::object& file, const json::object& config) {
  json::value out = field_of(file, "added_tokens");
  const auto* more = get_object(config, "added_tokens_decoder");
  if (more == nullptr || more->empty()) return out;
  if (out.is_null()) out.emplace_array();
  if (!out.is_array()) return fail(ErrorCode::kBadInput, "tokenizer.json: added_tokens is not an array");
  std::map<int64_t, json::object> by_id;
  for (const auto& [key, fields] : *more) {
    int64_t id = -1;
    const auto [end, ec] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (ec != std::errc{} || end != key.data() + key.size() || !fields.is_object())
      return fail(ErrorCode::kBadInput, "tokenizer_config.json: added_tokens_decoder has a key that is no token id");
    by_id[id] = fields.get_object();
  }
  for (const auto& item : out.get_array())
    if (const auto* token = item.if_object())
      std::erase_if(by_id, [&](const auto& entry) {
        return get_string(entry.second, "content") == get_string(*token, "content");
      });
  for (auto& [id, fields] : by_id) {
    json::object token = fields;
    token["id"] = id;
    for (const char* flag : {"single_word", "lstrip", "rstrip", "special"})
      if (!token.contains(flag)) token[flag] = false;
    if (!token.contains("normalized"))
      token["normalized"] = !token["special"].is_bool() || !token["special"].get_bool();
    token.erase("__type");
    out.get_array().push_back(std::move(token));
  }
  return out;
}

Result<std::unique_ptr<Tokenizer>> parse_tokenizer_json(std::string_view text, std::string_view config) {
  SLM_TRY(const json::value file, parse_json(text, kMaxDepth));
  SLM_TRY(const json::object* object, want_object(file, "tokenizer.json"));
  json::value options(json::object_kind);
  if (!config.empty()) {
    SLM_TRY(options, parse_json(config, kMaxDepth));
  }
  SLM_TRY(const json::object* more, want_object(options, "tokenizer_config.json"));
  auto tokenizer = std::make_unique<JsonTokenizer>();
  SLM_CHECK(tokenizer->load(*object, *more));
  return std::unique_ptr<Tokenizer>(std::move(tokenizer));
}

Result<std::unique_ptr<Tokenizer>> open_tokenizer_json(const std::filesystem::path& dir) {
  SLM_TRY(const std::string text, read_file(dir / "tokenizer.json", kMaxFileBytes));
  std::string config;
  std::error_code ec;
  if (const auto path = dir / "tokenizer_config.json"; std::filesystem::exists(path, ec)) {
    SLM_TRY(config, read_file(path, kMaxFileBytes));
  }
  auto tokenizer = parse_tokenizer_json(text, config);
  if (!tokenizer) {
    Error error = std::move(tokenizer).error();
    error.message = fmt::format("{}: {}", dir.string(), error.message);
    return fail(std::move(error));
  }
  return tokenizer;
}

}  // namespace slm::text
