#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>

#include "core/file.h"
#include "schema/json.h"
#include "text/protobuf.h"
#include "text/tokenizer_kinds.h"
#include "text/unicode.h"

namespace slm::text {
namespace {

constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581, SentencePiece's visible space

// The two switches of a SentencePiece model that decide how text is cut up before the pieces.
struct NormalizerSpec {
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
};

// Field numbers: ModelProto.normalizer_spec = 3; NormalizerSpec.add_dummy_prefix = 3, remove_extra_whitespaces = 4
// (google/sentencepiece src/sentencepiece_model.proto).
std::optional<NormalizerSpec> read_normalizer_spec(std::string_view model) {
  NormalizerSpec spec;
  bool inner_ok = true;
  const bool ok = walk_message(model, [&](uint64_t field, uint64_t, std::string_view body) {
    if (field != 3) return;
    inner_ok = walk_message(body, [&](uint64_t inner, uint64_t value, std::string_view) {
      if (inner == 3) spec.add_dummy_prefix = value != 0;
      if (inner == 4) spec.remove_extra_whitespaces = value != 0;
    });
  });
  if (!ok || !inner_ok) return std::nullopt;
  return spec;
}

// A NormalizerSpec with add_dummy_prefix = false. Appended to a model it overrides only that field, since protobuf
// merges repeated occurrences of a message field.
constexpr std::string_view kNoDummyPrefix{"\x1a\x02\x18\x00", 4};

constexpr int64_t kMaxId = 1 << 24;

// What the text around an added token loses (tokenizer_config.json).
struct Special {
  std::string text;
  int32_t id = -1;
  bool lstrip = false, rstrip = false;
  bool special = true;  // false: a word of the model's output like any other (Qwen's <tool_call>)
};

std::string_view without_space_after(std::string_view text) {
  size_t end = 0;  // after the last character that isn't space
  for (size_t i = 0; i < text.size();) {
    const auto c = code_point_at(text, i);
    i += c.n_bytes;
    if (!is_space(c.value)) end = i;
  }
  return text.substr(0, end);
}

size_t skip_space(std::string_view text, size_t pos) {
  while (pos < text.size()) {
    const auto c = code_point_at(text, pos);
    if (!is_space(c.value)) break;
    pos += c.n_bytes;
  }
  return pos;
}

// The byte of a piece such as <0x0A>.
char byte_of(const std::string& piece) {
  unsigned byte = 0;
  if (piece.size() == 6) std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16);
  return static_cast<char>(byte);
}

std::string with_spaces(std::string_view piece) {
  std::string out;
  for (size_t at = 0; at < piece.size();) {
    const bool space = piece.substr(at).starts_with(kSpaceMark);
    out += space ? ' ' : piece[at];
    at += space ? kSpaceMark.size() : 1;
  }
  return out;
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  Status load(const std::filesystem::path& dir);

  std::vector<int32_t> encode(std::string_view text) const override { return encode_all(text, true); }
  std::vector<int32_t> encode_rest(std::string_view text) const override { return encode_all(text, false); }
  std::string decode(std::span<const int32_t> ids, bool keep_special) const override {
    return decode_ids(ids, keep_special, prefix_ != Prefix::kNone);
  }
  std::string decode_rest(std::span<const int32_t> ids, bool keep_special) const override {
    return decode_ids(ids, keep_special, false);
  }
  std::string token_bytes(int32_t id) const override;
  int32_t n_ids() const override { return n_ids_; }
  int32_t id_of(std::string_view piece) const override;
  std::string piece_of(int32_t id) const override;
  bool is_special(int32_t id) const override {
    const Special* special = special_of(id);
    return special != nullptr && special->special;
  }

 private:
  enum class Prefix { kNone, kFirst, kEverySection };

  Status read_config(const std::filesystem::path& dir);
  Status add_special(std::string text, int64_t id, const json::value* fields);
  const Special* match_special(std::string_view text) const;
  const Special* special_of(int32_t id) const;
  std::vector<int32_t> encode_all(std::string_view text, bool at_start) const;
  void encode_section(std::string_view text, bool prefixed, std::vector<int32_t>& out) const;
  std::string decode_ids(std::span<const int32_t> ids, bool keep_special, bool drop_first_space) const;

  sentencepiece::SentencePieceProcessor sp_;
  NormalizerSpec spec_;
  Prefix prefix_ = Prefix::kNone;
  std::vector<Special> specials_;
  std::array<std::vector<size_t>, 256> by_first_byte_;  // into specials_, longest first
  std::map<int32_t, size_t> by_id_;
  std::string unknown_text_;
  int32_t n_ids_ = 0;
};

Status SentencePieceTokenizer::load(const std::filesystem::path& dir) {
  const auto path = dir / "tokenizer.model";
  SLM_TRY(std::string model, read_file(path, uint64_t{256} << 20));
  const auto spec = read_normalizer_spec(model);
  if (model.empty() || !spec)
    return fail(ErrorCode::kBadInput,
                fmt::format("{}: not a SentencePiece model, or cut short ({} bytes)", path.string(), model.size()));
  spec_ = *spec;
  SLM_CHECK(read_config(dir));
  model += kNoDummyPrefix;  // the prefix is written by encode_section
  if (const auto status = sp_.LoadFromSerializedProto(model); !status.ok())
    return fail(ErrorCode::kBadInput,
                fmt::format("{}: not a SentencePiece model: {}", path.string(), status.message()));
  n_ids_ = sp_.GetPieceSize();
  if (n_ids_ == 0) return fail(ErrorCode::kBadInput, fmt::format("{}: the model holds no pieces", path.string()));
  std::string unknown;
  if (sp_.unk_id() >= 0 && sp_.Decode(std::vector<int>{sp_.unk_id()}, &unknown).ok()) unknown_text_ = unknown;

  // Control pieces (<s>, </s>, <pad>) never come out of SentencePiece for text that spells them.
  for (int id = 0; id < sp_.GetPieceSize(); ++id)
    if (sp_.IsControl(id) || sp_.IsUnknown(id)) SLM_CHECK(add_special(sp_.IdToPiece(id), id, nullptr));
  for (const auto& special : specials_) {
    if (special.id >= n_ids_) n_ids_ = special.id + 1;
  }
  for (size_t i = 0; i < specials_.size(); ++i) {
    by_first_byte_[static_cast<uint8_t>(specials_[i].text[0])].push_back(i);
    by_id_.emplace(specials_[i].id, i);
  }
  for (auto& candidates : by_first_byte_)
    std::sort(candidates.begin(), candidates.end(),
              [&](size_t a, size_t b) { return specials_[a].text.size() > specials_[b].text.size(); });
  return {};
}

Status SentencePieceTokenizer::add_special(std::string text, int64_t id, const json::value* fields) {
  if (text.empty()) return {};
  for (const auto& known : specials_)
    if (known.text == text) return {};
  if (id < 0 || id > kMaxId)
    return fail(ErrorCode::kBadInput, fmt::format("added token with id {}, ids go from 0 to {}", id, kMaxId));
  Special special{std::move(text), static_cast<int32_t>(id)};
  if (const auto* object = fields == nullptr ? nullptr : fields->if_object()) {
    special.lstrip = get_bool(*object, "lstrip").value_or(false);
    special.rstrip = get_bool(*object, "rstrip").value_or(false);
    special.special = get_bool(*object, "special").value_or(false);
    if (get_bool(*object, "single_word").value_or(false))
      return fail(ErrorCode::kUnsupportedModel,
                  fmt::format("tokenizer_config.json: added token {} has single_word set, which this build doesn't do",
                              special.id));
  }
  specials_.push_back(std::move(special));
  return {};
}

Status SentencePieceTokenizer::read_config(const std::filesystem::path& dir) {
  const auto path = dir / "tokenizer_config.json";
  json::object config;
  if (std::filesystem::exists(path)) {
    SLM_TRY(const json::value value, read_json_file(path));
    SLM_TRY(const json::object* object, want_object(value, path.string()));
    config = *object;
  }
  if (get_bool(config, "add_prefix_space").value_or(spec_.add_dummy_prefix))
    prefix_ =
        get_bool(config, "legacy").value_or(false) && spec_.add_dummy_prefix ? Prefix::kEverySection : Prefix::kFirst;
  if (const auto* added = get_object(config, "added_tokens_decoder")) {
    for (const auto& [key, fields] : *added) {
      int64_t id = -1;
      const auto [end, ec] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (ec != std::errc{} || end != key.data() + key.size())
        return fail(ErrorCode::kBadInput,
                    fmt::format("{}: added_tokens_decoder has a key that is no token id", path.string()));
      const auto* object = fields.if_object();
      SLM_CHECK(add_special(std::string(object == nullptr ? "" : get_string(*object, "content")), id, &fields));
    }
  }
  if (const auto old = dir / "added_tokens.json"; std::filesystem::exists(old)) {
    SLM_TRY(const json::value value, read_json_file(old));
    SLM_TRY(const json::object* object, want_object(value, old.string()));
    for (const auto& [text, id] : *object)
      if (id.is_int64()) SLM_CHECK(add_special(std::string(text), id.get_int64(), nullptr));
  }
  return {};
}

const Special* SentencePieceTokenizer::match_special(std::string_view text) const {
  for (const size_t i : by_first_byte_[static_cast<uint8_t>(text[0])])
    if (text.starts_with(specials_[i].text)) return &specials_[i];
  return nullptr;
}

const Special* SentencePieceTokenizer::special_of(int32_t id) const {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : &specials_[at->second];
}

std::vector<int32_t> SentencePieceTokenizer::encode_all(std::string_view text, bool at_start) const {
  std::vector<int32_t> out;
  const auto prefixed = [&](size_t begin) {
    if (begin == 0) return at_start && prefix_ != Prefix::kNone;
    return prefix_ == Prefix::kEverySection;
  };
  size_t begin = 0;  // of the plain section being gathered
  for (size_t pos = 0; pos < text.size();) {
    const Special* special = match_special(text.substr(pos));
    if (special == nullptr) {
      ++pos;
      continue;
    }
    std::string_view section = text.substr(begin, pos - begin);
    if (special->lstrip) section = without_space_after(section);
    encode_section(section, prefixed(begin), out);
    out.push_back(special->id);
    pos += special->text.size();
    if (special->rstrip) pos = skip_space(text, pos);
    begin = pos;
  }
  encode_section(text.substr(begin), prefixed(begin), out);
  return out;
}

// With Prefix::kFirst the text's first section gets the visible space in front, later ones keep exactly what they have,
// leading spaces included (LlamaTokenizer with legacy=false; there the same is done by encoding "<unk>" in front). With
// Prefix::kEverySection each gets it, after the model has collapsed leading spaces if it does that.
void SentencePieceTokenizer::encode_section(std::string_view text, bool prefixed, std::vector<int32_t>& out) const {
  const bool native = prefix_ == Prefix::kEverySection;
  const auto drop_spaces = [&] {
    while (spec_.remove_extra_whitespaces && text.starts_with(' ')) text.remove_prefix(1);
  };
  std::string input;
  if (native) drop_spaces();
  if (text.empty()) return;
  if (prefixed) {
    input = kSpaceMark;
  } else if (text.front() == ' ') {
    input = kSpaceMark;
    text.remove_prefix(1);
    drop_spaces();
  }
  input += text;
  std::vector<int> ids;
  if (!sp_.Encode(input, &ids).ok()) return;
  out.insert(out.end(), ids.begin(), ids.end());
}

std::string SentencePieceTokenizer::decode_ids(std::span<const int32_t> ids, bool keep_special,
                                               bool drop_first_space) const {
  std::string out, bytes;  // bytes: byte pieces not yet known to be whole characters
  const auto flush = [&] {
    out += repair_utf8(bytes);
    bytes.clear();
  };
  bool at_start = true;  // nothing but special tokens so far
  bool after_special = false;
  for (const int32_t id : ids) {
    const Special* special = special_of(id);
    if (special != nullptr && !(id < sp_.GetPieceSize() && sp_.IsUnknown(id))) {
      flush();
      if (keep_special || !special->special) out += special->text;
      if (prefix_ != Prefix::kEverySection) at_start = false;
      after_special = true;
      continue;
    }
    if (id < 0 || id >= sp_.GetPieceSize()) continue;
    if (sp_.IsUnknown(id)) {
      flush();
      out += unknown_text_;
    } else if (sp_.IsByte(id)) {
      bytes += byte_of(sp_.IdToPiece(id));
    } else {
      flush();
      std::string_view piece = sp_.IdToPiece(id);
      const bool drop = drop_first_space && (at_start || (prefix_ == Prefix::kEverySection && after_special));
      if (drop && piece.starts_with(kSpaceMark)) piece.remove_prefix(kSpaceMark.size());
      // A model that collapses spaces has none to give back at the start.
      while (drop && spec_.remove_extra_whitespaces && piece.starts_with(kSpaceMark))
        piece.remove_prefix(kSpaceMark.size());
      if (drop && spec_.remove_extra_whitespaces && piece.empty()) continue;
      out += with_spaces(piece);
    }
    at_start = after_special = false;
  }
  flush();
  return out;
}

std::string SentencePieceTokenizer::token_bytes(int32_t id) const {
  if (const Special* special = special_of(id)) return special->special ? std::string() : special->text;
  if (id < 0 || id >= sp_.GetPieceSize() || sp_.IsControl(id) || sp_.IsUnknown(id)) return {};
  if (sp_.IsByte(id)) return std::string(1, byte_of(sp_.IdToPiece(id)));
  return with_spaces(sp_.IdToPiece(id));
}

int32_t SentencePieceTokenizer::id_of(std::string_view piece) const {
  for (const auto& special : specials_)
    if (special.text == piece) return special.id;
  const int id = sp_.PieceToId(piece);
  return id == sp_.unk_id() ? -1 : id;
}

std::string SentencePieceTokenizer::piece_of(int32_t id) const {
  if (const Special* special = special_of(id)) return special->text;
  return id >= 0 && id < sp_.GetPieceSize() ? sp_.IdToPiece(id) : std::string();
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> open_sentencepiece(const std::filesystem::path& dir) {
  auto tokenizer = std::make_unique<SentencePieceTokenizer>();
  SLM_CHECK(tokenizer->load(dir));
  return std::unique_ptr<Tokenizer>(std::move(tokenizer));
}

}  // namespace slm::text
