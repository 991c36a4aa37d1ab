#include "text/gguf_vocabulary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "core/bytes.h"
#include "core/file.h"
#include "schema/json.h"
#include "text/protobuf.h"
#include "text/tokenizer.h"
#include "text/tokenizer_kinds.h"
#include "text/unicode.h"

namespace slm::text {
namespace {

using Type = GgufTokenType;

constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581
constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;
constexpr float kNeverMerged = -1e9f;
constexpr size_t kShownBytes = 300;

tl::unexpected<Error> refuse(std::string what) {
  return fail(ErrorCode::kUnsupportedModel, fmt::format("no GGUF file of this tokenizer: {}", std::move(what)),
              "slmconv models export TASK --out DIR --merged");
}

Result<json::object> optional_object(const std::filesystem::path& path) {
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) return json::object();
  SLM_TRY(json::value value, read_json_file(path));
  SLM_TRY(const json::object* object, want_object(value, path.string()));
  return *object;
}

json::value field(const json::object& object, std::string_view key) {
  const auto* value = find(object, key);
  return value == nullptr ? json::value() : *value;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// What llama.cpp cuts words with, by the steps of a tokenizer.json's pre-tokenizer as steps_of() writes them.
#define SLM_SPLIT(digits)                                                  \
  R"(Split:(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" digits \
  R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ + ByteLevel)"
constexpr struct {
  std::string_view steps;
  bool ignore_merges;  // a word that is a piece is one token, whatever the merges say
  std::string_view pre;
} kPreTokenizers[] = {{"ByteLevel:regex", false, "gpt-2"},
                      {"Digits + ByteLevel:regex", false, "smollm"},
                      {SLM_SPLIT(R"(\p{N}{1,3})"), true, "llama-bpe"},
                      {SLM_SPLIT(R"(\p{N}{1,3})"), false, "dbrx"},
                      {SLM_SPLIT(R"(\p{N})"), false, "qwen2"}};
#undef SLM_SPLIT

// A pre_tokenizer as one line; parts that aren't in the table come out as JSON.
std::string steps_of(const json::value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return value.is_null() ? "" : json::serialize(value);
  const auto type = get_string(*object, "type");
  if (type == "Sequence") {
    std::string out;
    if (const auto* list = get_array(*object, "pretokenizers"))
      for (const auto& step : *list) out += (out.empty() ? "" : " + ") + steps_of(step);
    return out;
  }
  if (type == "ByteLevel" && !get_bool(*object, "add_prefix_space").value_or(true))
    return get_bool(*object, "use_regex").value_or(true) ? "ByteLevel:regex" : "ByteLevel";
  if (type == "Digits" && get_bool(*object, "individual_digits").value_or(false)) return "Digits";
  if (const auto* pattern = get_object(*object, "pattern"); type == "Split" && pattern != nullptr &&
                                                            get_string(*object, "behavior") == "Isolated" &&
                                                            !get_bool(*object, "invert").value_or(false))
    if (const auto regex = get_string(*pattern, "Regex"); !regex.empty()) return fmt::format("Split:{}", regex);
  return json::serialize(value);
}

bool is_replace_of_spaces(const json::value& value) {
  const auto* object = value.if_object();
  const auto* pattern = object == nullptr ? nullptr : get_object(*object, "pattern");
  return pattern != nullptr && get_string(*object, "type") == "Replace" && get_string(*pattern, "String") == " " &&
         get_string(*object, "content") == kSpaceMark;
}

// SentencePiece's BPE written down as a tokenizer.json: how it puts the visible space. Nothing: it is something else.
std::optional<SpacePrefix> space_prefix_of(const json::object& file) {
  const json::value normalizer = field(file, "normalizer"), pre = field(file, "pre_tokenizer");
  const auto* pre_fields = pre.if_object();
  const auto pre_type = pre_fields == nullptr ? std::string_view() : get_string(*pre_fields, "type");
  if (normalizer.is_null() && pre_type == "Metaspace") {
    const auto scheme = get_string(*pre_fields, "prepend_scheme", "always");
    if (get_bool(*pre_fields, "split").value_or(true) || get_string(*pre_fields, "replacement") != kSpaceMark)
      return std::nullopt;
    if (scheme == "first") return SpacePrefix::kFirst;
    if (scheme == "never") return SpacePrefix::kNone;
    return std::nullopt;  // "always" leaves out the space where the text begins with one
  }
  // After the normalizer there is no space for this one to find.
  const auto* pattern = pre_fields == nullptr ? nullptr : get_object(*pre_fields, "pattern");
  if (!pre.is_null() && !(pre_type == "Split" && pattern != nullptr && get_string(*pattern, "String") == " "))
    return std::nullopt;
  if (is_replace_of_spaces(normalizer)) return SpacePrefix::kNone;
  const auto* fields = normalizer.if_object();
  const auto* list =
      fields == nullptr || get_string(*fields, "type") != "Sequence" ? nullptr : get_array(*fields, "normalizers");
  if (list == nullptr || list->size() != 2 || !is_replace_of_spaces((*list)[1])) return std::nullopt;
  const auto* first = (*list)[0].if_object();
  if (first == nullptr || get_string(*first, "type") != "Prepend" || get_string(*first, "prepend") != kSpaceMark)
    return std::nullopt;
  return SpacePrefix::kEverySection;
}

using Merge = std::pair<std::string, std::string>;

Result<std::vector<Merge>> merges_of(const json::object& model) {
  std::vector<Merge> out;
  const auto* list = get_array(model, "merges");
  if (list == nullptr) return fail(ErrorCode::kBadInput, "tokenizer.json: the model has no merges");
  for (const auto& item : *list) {
    if (item.is_string()) {
      const std::string_view text = item.get_string();
      const size_t space = text.find(' ', 1);
      if (space == std::string_view::npos) return fail(ErrorCode::kBadInput, "tokenizer.json: a merge of one piece");
      out.emplace_back(text.substr(0, space), text.substr(space + 1));
    } else if (const auto* pair = item.if_array();
               pair != nullptr && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string()) {
      out.emplace_back((*pair)[0].get_string(), (*pair)[1].get_string());
    } else {
      return fail(ErrorCode::kBadInput, "tokenizer.json: a merge that isn't two pieces");
    }
  }
  return out;
}

// The rank of the first merge that makes each of `pieces`. Nothing where a piece's merges don't follow one another, so
// that no score of the piece stands for all of them. runs_alike: pieces of nothing but visible spaces count as one, as
// Llama 2's do, which have one score; whichever of them is made first, all of a run are made in the end.
std::optional<std::unordered_map<std::string, size_t>> ranks_of(const std::vector<Merge>& merges,
                                                                const std::unordered_set<std::string>& pieces,
                                                                bool runs_alike) {
  std::unordered_map<std::string, size_t> out;
  std::optional<size_t> run;
  size_t last = 0;
  for (size_t i = 0; i < merges.size(); ++i) {
    std::string made = merges[i].first + merges[i].second;
    if (!pieces.contains(made)) continue;
    std::string rest = made;
    replace_all(rest, kSpaceMark, "");
    const bool is_run = runs_alike && rest.empty();
    if (is_run && !run) run = i;
    const size_t first = out.emplace(std::move(made), is_run ? *run : i).first->second;
    if (first < last) return std::nullopt;
    last = first;
  }
  return out;
}

// llama.cpp joins any two pieces whose text together is one, the best score first; this gives merges by rank the scores
// that make it the same, and refuses lists for which none do.
Status score_merges(const std::vector<Merge>& merges, GgufVocabulary& out) {
  std::unordered_set<std::string> pairs,
      pieces;  // added tokens (Gemma's runs of spaces) aren't: they are cut out first
  for (const auto& [a, b] : merges) pairs.insert(fmt::format("{}\n{}", a, b));
  for (size_t i = 0; i < out.tokens.size(); ++i)
    if (out.types[i] == Type::kNormal) pieces.insert(out.tokens[i]);
  auto ranks = ranks_of(merges, pieces, false);
  if (!ranks) ranks = ranks_of(merges, pieces, true);
  if (!ranks) return refuse("its merges aren't in the order of what they make, as scores would have it");
  out.scores.assign(out.tokens.size(), kNeverMerged);
  for (size_t i = 0; i < out.tokens.size(); ++i)
    if (const auto rank = ranks->find(out.tokens[i]); rank != ranks->end() && out.types[i] == Type::kNormal)
      out.scores[i] = -static_cast<float>(rank->second);
  for (const auto& piece : pieces) {
    if (piece.empty()) continue;
    for (size_t cut = code_point_at(piece, 0).n_bytes; cut < piece.size(); cut += code_point_at(piece, cut).n_bytes) {
      const std::string left = piece.substr(0, cut), right = piece.substr(cut);
      if (pieces.contains(left) && pieces.contains(right) && !pairs.contains(fmt::format("{}\n{}", left, right)) &&
          piece.find(' ') == std::string::npos)  // no text has a space by then
        return refuse("its merges leave out pairs of pieces that make a piece, which scores would merge");
    }
  }
  return {};
}

// Added tokens' switches, by id.
struct Added {
  bool special = false, lstrip = false, rstrip = false, single_word = false, normalized = false;
};

Added added_of(const json::object& token) {
  const auto flag = [&](const char* key) { return get_bool(token, key).value_or(false); };
  return {flag("special"), flag("lstrip"), flag("rstrip"), flag("single_word"), flag("normalized")};
}

// Sets as_phi3, or refuses what llama.cpp can't do around special tokens. It knows these switches by the model's name
// only: with "phi-3" in it all special tokens but three swallow what white space follows.
Status check_added(const std::map<int64_t, Added>& added, GgufVocabulary& out) {
  const std::set<std::string_view> exempt{"<unk>", "<s>", "<|endoftext|>"};
  size_t n_strip = 0, n_others = 0;
  for (const auto& [id, token] : added) {
    if (id < 0 || id >= std::ssize(out.tokens)) continue;
    const auto& text = out.tokens[static_cast<size_t>(id)];
    if (token.lstrip || token.single_word)
      return refuse(fmt::format("the added token {} has {} set", id, token.lstrip ? "lstrip" : "single_word"));
    if (token.rstrip) n_strip += exempt.contains(text) ? out.tokens.size() : 1;
    if (!token.rstrip && !exempt.contains(text)) ++n_others;
  }
  if (n_strip == 0) return {};
  const bool has_all = std::all_of(exempt.begin(), exempt.end(), [&](std::string_view text) {
    return std::find(out.tokens.begin(), out.tokens.end(), text) != out.tokens.end();
  });
  if (n_strip > out.tokens.size() || n_others > 0 || !has_all ||
      std::find(out.tokens.begin(), out.tokens.end(), "</s>") == out.tokens.end())
    return refuse("some of its added tokens have rstrip set");
  out.as_phi3 = true;
  return {};
}

// What both kinds end with: ids without a piece, and what llama.cpp asks of all.
Status finish(const std::map<int64_t, Added>& added, GgufVocabulary& out) {
  SLM_CHECK(check_added(added, out));
  std::unordered_set<std::string_view> seen;
  for (size_t i = 0; i < out.tokens.size(); ++i) {
    if (out.tokens[i].empty()) {
      out.tokens[i] = fmt::format("[PAD{}]", i);
      out.types[i] = Type::kUnused;
    }
    // Looked for in plain text, where a space is a space.
    if (out.types[i] == Type::kUserDefined && out.model == "llama") replace_all(out.tokens[i], kSpaceMark, " ");
  }
  for (const auto& token : out.tokens)
    if (!seen.insert(token).second) return refuse("two ids have the same text");
  if (out.model != "llama") return {};
  for (int byte = 0; byte < 256; ++byte)
    if (!seen.contains(fmt::format("<0x{:02X}>", byte))) return refuse("it has no pieces for single bytes");
  // llama.cpp begins a section after each of them, SentencePiece doesn't.
  if (out.prefix == SpacePrefix::kEverySection)
    for (size_t i = 0; i < out.types.size(); ++i)
      if (out.types[i] == Type::kUserDefined && !added.contains(static_cast<int64_t>(i)))
        return refuse("it has words of its own beside a prefix before every section");
  return {};
}

Status read_json(const std::filesystem::path& dir, int64_t n_ids, GgufVocabulary& out) {
  SLM_TRY(const json::object file, optional_object(dir / "tokenizer.json"));
  SLM_TRY(const json::object config, optional_object(dir / "tokenizer_config.json"));
  const auto* model = get_object(file, "model");
  const auto* vocabulary = model == nullptr ? nullptr : get_object(*model, "vocab");
  if (vocabulary == nullptr || get_string(*model, "type", "BPE") != "BPE")
    return refuse(
        fmt::format("its model is {}; known: BPE", model == nullptr ? "missing" : get_string(*model, "type")));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!get_string(*model, key).empty()) return refuse(fmt::format("{} is set", key));

  out.tokens.resize(static_cast<size_t>(n_ids));
  out.types.assign(out.tokens.size(), Type::kNormal);
  const bool bytes = get_bool(*model, "byte_fallback").value_or(false);
  const auto unknown = get_string(*model, "unk_token");
  for (const auto& [piece, id] : *vocabulary) {
    const int64_t at = id.is_int64() ? id.get_int64() : -1;
    if (at < 0 || at >= n_ids) return fail(ErrorCode::kBadInput, "tokenizer.json: a piece's id isn't the network's");
    const std::string text(piece);
    out.tokens[static_cast<size_t>(at)] = text;
    if (bytes && text.size() == 6 && text.starts_with("<0x")) out.types[static_cast<size_t>(at)] = Type::kByte;
  }
  SLM_TRY(const json::value list, added_tokens_of(file, config));
  std::map<int64_t, Added> added;
  if (const auto* tokens = list.if_array())
    for (const auto& item : *tokens) {
      const auto* token = item.if_object();
      const auto id = token == nullptr ? std::nullopt : get_int(*token, "id");
      if (!id || *id < 0 || *id >= n_ids)
        return fail(ErrorCode::kBadInput, "tokenizer.json: an added token's id isn't the network's");
      const auto at = static_cast<size_t>(*id);
      added[*id] = added_of(*token);
      out.tokens[at] = get_string(*token, "content");
      out.types[at] = added[*id].special ? Type::kControl : Type::kUserDefined;
    }
  SLM_TRY(const auto merges, merges_of(*model));
  if (const auto prefix = space_prefix_of(file); bytes && prefix) {
    for (size_t i = 0; i < out.tokens.size(); ++i)
      if (!unknown.empty() && out.tokens[i] == unknown) out.types[i] = Type::kUnknown;
    out.model = "llama";
    out.pre = "default";
    out.prefix = *prefix;
    // Such a token is found only where a space was put before it.
    if (*prefix == SpacePrefix::kEverySection)
      for (const auto& [id, token] : added)
        if (token.normalized) return refuse(fmt::format("the added token {} has normalized set", id));
    SLM_CHECK(score_merges(merges, out));
    return finish(added, out);
  }
  out.model = "gpt2";
  const std::string steps = steps_of(field(file, "pre_tokenizer"));
  const bool whole_words = get_bool(*model, "ignore_merges").value_or(false);
  for (const auto& known : kPreTokenizers)
    if (known.steps == steps && known.ignore_merges == whole_words) out.pre = known.pre;
  if (out.pre.empty()) {
    std::vector<std::string_view> names;
    for (const auto& known : kPreTokenizers) names.push_back(known.pre);
    return refuse(fmt::format("its pre-tokenizer {}{} isn't one of those known here by llama.cpp's names: {}",
                              steps.empty() ? "null" : steps.substr(0, kShownBytes),
                              whole_words ? ", with ignore_merges" : "", fmt::join(names, ", ")));
  }
  const json::value normalizer = field(file, "normalizer");
  const auto* fields = normalizer.if_object();
  if (!normalizer.is_null() && (fields == nullptr || get_string(*fields, "type") != "NFC"))
    return refuse(
        fmt::format("its normalizer {} isn't null or NFC", json::serialize(normalizer).substr(0, kShownBytes)));
  if (bytes) return refuse("byte_fallback beside a byte-level pre-tokenizer");
  for (const auto& [a, b] : merges) out.merges.push_back(fmt::format("{} {}", a, b));
  return finish(added, out);
}

// What SentencePiece's model says, beyond its pieces.
struct SentencePieceModel {
  struct Piece {
    std::string text;
    float score = 0;
    uint64_t type = 1;
  };
  std::vector<Piece> pieces;
  uint64_t kind = 1;  // 1 unigram, 2 BPE
  bool maps_characters = false, add_prefix = true, collapses_spaces = true, escapes_spaces = true, suffix = false;
};

// Field numbers: google/sentencepiece src/sentencepiece_model.proto.
bool read_model(std::string_view bytes, SentencePieceModel& out) {
  bool whole = true;
  const bool good = walk_message(bytes, [&](uint64_t field, uint64_t, std::string_view body) {
    if (field == 1) {
      auto& piece = out.pieces.emplace_back();
      whole &= walk_message(body, [&](uint64_t inner, uint64_t value, std::string_view data) {
        if (inner == 1) piece.text = data;
        if (inner == 2 && data.size() == 4) piece.score = std::bit_cast<float>(get_u32(as_bytes(data).data()));
        if (inner == 3) piece.type = value;
      });
    } else if (field == 2) {
      whole &= walk_message(body, [&](uint64_t inner, uint64_t value, std::string_view) {
        if (inner == 3) out.kind = value;
        if (inner == 24) out.suffix = value != 0;
      });
    } else if (field == 3) {
      whole &= walk_message(body, [&](uint64_t inner, uint64_t value, std::string_view data) {
        if (inner == 2) out.maps_characters = !data.empty();
        if (inner == 3) out.add_prefix = value != 0;
        if (inner == 4) out.collapses_spaces = value != 0;
        if (inner == 5) out.escapes_spaces = value != 0;
      });
    }
  });
  return good && whole;
}

Status read_sentencepiece(const std::filesystem::path& dir, const Tokenizer& tokenizer, GgufVocabulary& out) {
  SLM_TRY(const std::string bytes, read_file(dir / "tokenizer.model", kMaxFileBytes));
  SentencePieceModel model;
  if (!read_model(bytes, model)) return fail(ErrorCode::kBadInput, fmt::format("{}: damaged", dir.string()));
  if (model.kind != 2) return refuse("its SentencePiece model isn't BPE");
  if (model.maps_characters) return refuse("it maps characters before it cuts them up (normalizer_spec)");
  if (model.collapses_spaces) return refuse("it collapses spaces (remove_extra_whitespaces)");
  if (!model.escapes_spaces || model.suffix) return refuse("it writes spaces otherwise than before a word");
  SLM_TRY(const json::object config, optional_object(dir / "tokenizer_config.json"));
  if (get_bool(config, "add_prefix_space").value_or(model.add_prefix))
    out.prefix = get_bool(config, "legacy").value_or(false) && model.add_prefix ? SpacePrefix::kEverySection
                                                                                : SpacePrefix::kFirst;
  std::map<int64_t, Added> added;
  if (const auto* list = get_object(config, "added_tokens_decoder"))
    for (const auto& [key, fields] : *list)
      if (const auto* token = fields.if_object())
        added[tokenizer.id_of(get_string(*token, "content"))] = added_of(*token);
  out.model = "llama";
  out.pre = "default";
  out.types.assign(out.tokens.size(), Type::kNormal);
  out.scores.assign(out.tokens.size(), 0);
  for (size_t i = 0; i < out.tokens.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (id >= tokenizer.n_ids()) continue;
    out.tokens[i] = tokenizer.piece_of(id);
    const bool own = i < model.pieces.size();
    if (own) {
      out.scores[i] = model.pieces[i].score;
      if (model.pieces[i].type >= 1 && model.pieces[i].type <= 6)
        out.types[i] = static_cast<Type>(model.pieces[i].type);
    }
    if (added.contains(id) || !own) {
      if (out.types[i] != Type::kUnknown) out.types[i] = tokenizer.is_special(id) ? Type::kControl : Type::kUserDefined;
      out.scores[i] = kNeverMerged;
    }
  }
  return finish(added, out);
}

}  // namespace

Result<GgufVocabulary> gguf_vocabulary(const std::filesystem::path& dir, int64_t n_ids) {
  SLM_TRY(const auto tokenizer, Tokenizer::open(dir));
  if (tokenizer->n_ids() > n_ids)
    return fail(ErrorCode::kBadInput,
                fmt::format("{}: the tokenizer has {} ids, the network {}", dir.string(), tokenizer->n_ids(), n_ids));
  GgufVocabulary out;
  out.tokens.resize(static_cast<size_t>(n_ids));
  std::error_code ec;
  if (std::filesystem::exists(dir / "tokenizer.json", ec)) {
    SLM_CHECK(read_json(dir, n_ids, out));
  } else {
    SLM_CHECK(read_sentencepiece(dir, *tokenizer, out));
  }
  return out;
}

}  // namespace slm::text
