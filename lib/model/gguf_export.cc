#include "model/gguf_export.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/codec.h"
#include "model/gguf_hybrid.h"
#include "model/special_tokens.h"
#include "text/chat_template.h"
#include "text/gguf_vocabulary.h"
#include "text/unicode.h"

namespace slm::model {
namespace {

constexpr std::string_view kKey = "tokenizer.ggml.";

// Every strftime_now("…") as the text it gives on training's day.
Result<std::string> with_fixed_dates(std::string source) {
  constexpr std::string_view kCall = "strftime_now(";
  for (size_t at = 0; (at = source.find(kCall, at)) != std::string::npos;) {
    const size_t open = at + kCall.size(), quote = open < source.size() ? source.find(source[open], open + 1) : open;
    if (open >= source.size() || (source[open] != '"' && source[open] != '\'') || quote == std::string::npos ||
        quote + 1 >= source.size() || source[quote + 1] != ')')
      return fail(
          ErrorCode::kUnsupportedModel,
          "no GGUF file of this model: its template computes what strftime_now prints, and training saw one day",
          "write the date into chat_template.jinja");
    const std::string call = source.substr(at, quote + 2 - at);
    SLM_TRY(const auto date, text::ChatTemplate::parse("{{ " + call + " }}"));
    SLM_TRY(const std::string text, date.render({}, {}, {.now_ms = kTemplateTimeMs}));
    const std::string literal = json::serialize(json::value(text));
    source.replace(at, call.size(), literal);
    at += literal.size();
  }
  return source;
}

// The template with training's choices set first, where it asks for them. A line break that begins it would be taken
// for the one that ends the block before it.
Result<std::string> pinned(std::string source) {
  SLM_TRY(source, with_fixed_dates(std::move(source)));
  std::string set;
  if (source.find("enable_thinking") != std::string::npos) set += "{% set enable_thinking = false %}";
  if (source.find("date_string") != std::string::npos) set += "{% set date_string = \"26 Jul 2024\" %}";
  if (set.empty()) return source;
  if (source.starts_with('\n')) set += '\n';
  return set + source;
}

// llama.cpp strips white space after special tokens exactly where the name says phi-3 or phi3.
std::string named(const std::string& name, bool as_phi3) {
  const std::string lower = text::to_lower(name);
  const bool says = lower.find("phi-3") != std::string::npos || lower.find("phi3") != std::string::npos;
  if (as_phi3) return says ? name : "phi-3 " + name;
  return says ? "" : name;
}

void put_vocabulary(text::GgufVocabulary vocabulary, std::vector<nn::GgufEntry>& out) {
  const auto put = [&](std::string_view key, nn::GgufValue value) {
    out.push_back({fmt::format("{}{}", kKey, key), std::move(value)});
  };
  std::vector<int32_t> types;
  for (const auto type : vocabulary.types) types.push_back(static_cast<int32_t>(type));
  put("model", std::move(vocabulary.model));
  put("pre", std::move(vocabulary.pre));
  put("tokens", std::move(vocabulary.tokens));
  put("token_type", std::move(types));
  if (!vocabulary.scores.empty()) put("scores", std::move(vocabulary.scores));
  if (!vocabulary.merges.empty()) put("merges", std::move(vocabulary.merges));
}

// bos, eos, unk and pad by their roles; the tokens that end a turn as eot and eom where they aren't eos. llama.cpp
// knows no more roles; what else usually ends a turn it finds by its text.
Status put_roles(const std::filesystem::path& dir, const text::Tokenizer& tokenizer, std::span<const int32_t> end_ids,
                 std::vector<nn::GgufEntry>& out) {
  SLM_TRY(const json::object texts, special_tokens(dir, tokenizer));
  const auto id_of = [&](const char* role) {
    const auto text = get_string(texts, role);
    return text.empty() ? -1 : tokenizer.id_of(text);
  };
  const auto put = [&](const char* key, int32_t id) {
    if (id >= 0) out.push_back({fmt::format("{}{}_token_id", kKey, key), static_cast<uint32_t>(id)});
  };
  const int32_t eos = id_of("eos_token") >= 0 ? id_of("eos_token") : end_ids[0], bos = id_of("bos_token");
  put("bos", bos >= 0 ? bos : eos);  // llama.cpp takes its own, of another vocabulary, where there is none
  put("eos", eos);
  put("unknown", id_of("unk_token"));
  put("padding", id_of("pad_token"));
  put("eot", end_ids[0]);
  for (const int32_t id : end_ids)
    if (id != end_ids[0] && id != eos) {
      put("eom", id);
      break;
    }
  return {};
}

// All but the weights.
Result<nn::GgufOptions> prepare(const std::filesystem::path& dir, const GgufExport& options) {
  SLM_TRY(const auto config, nn::read_config(dir));
  SLM_CHECK(gguf_settings_of(config));  // the likeliest refusal first
  SLM_TRY(const auto tokenizer, text::Tokenizer::open(dir));
  SLM_TRY(const auto codec, Codec::open(dir));
  SLM_TRY(auto vocabulary, text::gguf_vocabulary(dir, config.vocab_size));
  const json::object user{{"role", "user"}, {"content", "probe"}};
  SLM_TRY(const auto prompt, codec->encode_prompt(Prompt{json::array{user}, {}}));
  if (prompt.empty()) return fail(ErrorCode::kUnsupportedModel, "the chat template renders nothing");
  const bool special_first = tokenizer->is_special(prompt[0]);
  // llama.cpp puts the space before every section or none: none is right after a special token.
  if (vocabulary.prefix == text::SpacePrefix::kFirst && !special_first)
    return fail(
        ErrorCode::kUnsupportedModel,
        "no GGUF file of this model: its prompts begin with plain text, before which its tokenizer puts a space "
        "that llama.cpp would put after special tokens too",
        "slmconv models export TASK --out DIR --merged");
  SLM_TRY(const json::object texts, special_tokens(dir, *tokenizer));
  const auto bos = get_string(texts, "bos_token");

  nn::GgufOptions file;
  file.type = options.type;
  file.name = named(options.name, vocabulary.as_phi3);
  if (!options.description.empty()) file.extra.push_back({"general.description", options.description});
  const bool every_section = vocabulary.prefix == text::SpacePrefix::kEverySection;
  const bool sentencepiece = vocabulary.model == "llama";
  put_vocabulary(std::move(vocabulary), file.extra);
  SLM_CHECK(put_roles(dir, *tokenizer, codec->end_ids(), file.extra));
  const auto put = [&](const char* key, nn::GgufValue value) {
    file.extra.push_back({fmt::format("{}{}", kKey, key), std::move(value)});
  };
  // Of a prompt that begins with it llama.cpp takes it away and adds it again.
  put("add_bos_token", !bos.empty() && prompt[0] == tokenizer->id_of(bos));
  put("add_eos_token", false);
  if (sentencepiece) put("add_space_prefix", every_section);
  SLM_TRY(std::string source, text::ChatTemplate::source(dir));
  SLM_TRY(source, pinned(std::move(source)));
  file.extra.push_back({"tokenizer.chat_template", std::move(source)});
  return file;
}

}  // namespace

Status check_gguf(const std::filesystem::path& dir) {
  SLM_CHECK(prepare(dir, {}));
  return {};
}

Status export_gguf(const std::filesystem::path& dir, const GgufExport& options, const std::filesystem::path& out) {
  SLM_TRY(const auto file, prepare(dir, options));
  SLM_TRY(const auto config, nn::read_config(dir));
  return is_gguf_hybrid(config) ? write_gguf_hybrid(dir, file, out) : nn::write_gguf_model(dir, file, out);
}

Status export_gguf_adapter(const std::filesystem::path& base, const nn::AdapterFiles& adapter,
                           const nn::GgufOptions& options, const std::filesystem::path& out) {
  SLM_TRY(const auto config, nn::read_config(base));
  return is_gguf_hybrid(config) ? write_gguf_hybrid_adapter(base, adapter, options, out)
                                : nn::write_gguf_adapter(base, adapter, options, out);
}

Result<nn::GgufSettings> gguf_settings_of(const nn::ModelConfig& config) {
  return is_gguf_hybrid(config) ? gguf_hybrid_settings(config) : nn::gguf_settings(config);
}

}  // namespace slm::model
