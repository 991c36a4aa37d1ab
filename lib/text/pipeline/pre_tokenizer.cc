#include "text/pipeline/pre_tokenizer.h"

#include <fmt/format.h>

#include "core/utf8.h"
#include "text/pipeline/char_class.h"
#include "text/pipeline/fields.h"

namespace slm::text::pipeline {
namespace {

constexpr int kMaxDepth = 16;
constexpr std::string_view kKnown =
    "Sequence, ByteLevel, Split, Digits, Whitespace, WhitespaceSplit, Punctuation, Metaspace, BertPreTokenizer, "
    "CharDelimiterSplit";
constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

enum class Scheme { kAlways, kFirst, kNever };

void split(const Pattern& pattern, Behaviour behaviour, bool invert, Pieces& pieces) {
  std::vector<Piece> out;
  out.reserve(pieces.text.size() / 4 + 1);
  std::vector<Stretch> stretches;
  for (const Piece& piece : pieces.list) {
    if (piece.id >= 0) {
      out.push_back(piece);
      continue;
    }
    stretches.clear();
    pattern.find(pieces.view(piece), stretches);
    apply_behaviour(behaviour, invert, stretches);
    for (const Stretch& s : stretches) {
      const bool first = s.begin == 0;
      out.push_back({piece.begin + s.begin, piece.begin + s.end, -1, piece.at_start && first, piece.follows && first});
    }
  }
  pieces.list = std::move(out);
}

// Writes the text of every piece anew: write(piece, its text, out).
template <class F>
void rewrite(Pieces& pieces, F&& write) {
  std::string out;
  out.reserve(pieces.text.size() + pieces.text.size() / 2);
  for (Piece& piece : pieces.list) {
    if (piece.id >= 0) continue;
    const size_t begin = out.size();
    write(piece, pieces.view(piece), out);
    piece.begin = begin;
    piece.end = out.size();
  }
  pieces.text = std::move(out);
}

void replace_spaces(std::string_view text, std::string_view with, std::string& out) {
  for (const char c : text) {
    if (c == ' ') {
      out += with;
    } else {
      out += c;
    }
  }
}

}  // namespace

Result<PreTokenizer> PreTokenizer::read(const json::value& value) {
  PreTokenizer made;
  if (!value.is_null()) SLM_CHECK(made.add(value, 0));
  return made;
}

void PreTokenizer::add_split(Pattern pattern, Behaviour behaviour, bool invert) {
  steps_.push_back(
      [p = std::move(pattern), behaviour, invert](Pieces& pieces) { split(p, behaviour, invert, pieces); });
}

Status PreTokenizer::add_byte_level(const Part& part) {
  SLM_CHECK(only_fields(part, {"add_prefix_space", "trim_offsets", "use_regex"}));
  SLM_TRY(const bool prefix, bool_field(part, "add_prefix_space"));
  SLM_TRY(const bool cut, bool_field(part, "use_regex", true));
  if (prefix)
    steps_.push_back([](Pieces& pieces) {
      rewrite(pieces, [](const Piece& piece, std::string_view text, std::string& out) {
        if (!text.starts_with(' ') && !piece.follows) out += ' ';
        out += text;
      });
    });
  if (cut) {
    SLM_TRY(Pattern pattern, Pattern::regex(kGpt2));
    add_split(std::move(pattern), Behaviour::kIsolated);
  }
  steps_.push_back([](Pieces& pieces) {
    rewrite(pieces, [](const Piece&, std::string_view text, std::string& out) {
      for (const char c : text) out += byte_characters()[static_cast<uint8_t>(c)];
    });
  });
  return {};
}

Status PreTokenizer::add_metaspace(const Part& part) {
  SLM_CHECK(only_fields(part, {"replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"}));
  SLM_TRY(const char32_t character, char_field(part, "replacement"));
  SLM_TRY(const std::string name, text_field_or(part, "prepend_scheme", "always"));
  SLM_TRY(const bool cut, bool_field(part, "split", true));
  SLM_TRY(const bool prefix, bool_field(part, "add_prefix_space", true));
  if (name != "always" && name != "first" && name != "never")
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("tokenizer.json: {} has the prepend_scheme {}; this build knows always, first, never",
                            part.where, name.substr(0, 64)));
  if (!prefix && name != "never")
    return fail(ErrorCode::kBadInput,
                fmt::format("tokenizer.json: {}: add_prefix_space false and prepend_scheme {}", part.where, name));
  const Scheme scheme = name == "always" ? Scheme::kAlways : name == "first" ? Scheme::kFirst : Scheme::kNever;
  std::string mark;
  append_utf8(mark, character);
  steps_.push_back([mark, scheme](Pieces& pieces) {
    rewrite(pieces, [&](const Piece& piece, std::string_view text, std::string& out) {
      const bool wanted = (scheme == Scheme::kAlways && !piece.follows) || (scheme == Scheme::kFirst && piece.at_start);
      if (wanted && !text.starts_with(' ') && !text.starts_with(mark)) out += mark;
      replace_spaces(text, mark, out);
    });
  });
  if (cut) add_split(Pattern::literal(mark), Behaviour::kMergedWithNext);
  return {};
}

Status PreTokenizer::add(const json::value& value, int depth) {
  SLM_TRY(const Part part, read_part(value, "pre_tokenizer"));
  const std::string& type = part.type;
  if (type == "Sequence") {
    SLM_CHECK(only_fields(part, {"pretokenizers"}));
    SLM_TRY(const json::array* list, array_field(part, "pretokenizers"));
    if (depth >= kMaxDepth)
      return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: pre_tokenizers nest deeper than {}", kMaxDepth));
    for (const auto& inner : *list) SLM_CHECK(add(inner, depth + 1));
  } else if (type == "ByteLevel") {
    SLM_CHECK(add_byte_level(part));
  } else if (type == "Metaspace") {
    SLM_CHECK(add_metaspace(part));
  } else if (type == "Split") {
    SLM_CHECK(only_fields(part, {"pattern", "behavior", "invert"}));
    SLM_TRY(Pattern pattern, Pattern::read(part, "pattern"));
    SLM_CHECK(text_field(part, "behavior"));
    SLM_TRY(const Behaviour behaviour, read_behaviour(part, "behavior", Behaviour::kIsolated));
    SLM_TRY(const bool invert, bool_field(part, "invert"));
    add_split(std::move(pattern), behaviour, invert);
  } else if (type == "Digits") {
    SLM_CHECK(only_fields(part, {"individual_digits"}));
    SLM_TRY(const bool individual, bool_field(part, "individual_digits"));
    add_split(Pattern::characters(is_numeric), individual ? Behaviour::kIsolated : Behaviour::kContiguous);
  } else if (type == "Whitespace") {
    SLM_CHECK(only_fields(part, {}));
    // \w+|[^\w\s]+
    add_split(Pattern::characters(is_white_space), Behaviour::kRemoved);
    add_split(Pattern::characters(is_word), Behaviour::kContiguous);
  } else if (type == "WhitespaceSplit") {
    SLM_CHECK(only_fields(part, {}));
    add_split(Pattern::characters(is_white_space), Behaviour::kRemoved);
  } else if (type == "Punctuation") {
    SLM_CHECK(only_fields(part, {"behavior"}));
    SLM_TRY(const Behaviour behaviour, read_behaviour(part, "behavior", Behaviour::kIsolated));
    add_split(Pattern::characters(is_punctuation), behaviour);
  } else if (type == "BertPreTokenizer") {
    SLM_CHECK(only_fields(part, {}));
    add_split(Pattern::characters(is_white_space), Behaviour::kRemoved);
    add_split(Pattern::characters(is_punctuation), Behaviour::kIsolated);
  } else if (type == "CharDelimiterSplit") {
    SLM_CHECK(only_fields(part, {"delimiter"}));
    SLM_TRY(const char32_t delimiter, char_field(part, "delimiter"));
    std::string text;
    append_utf8(text, delimiter);
    add_split(Pattern::literal(std::move(text)), Behaviour::kRemoved);
  } else {
    return unknown_type(part, kKnown);
  }
  return {};
}

}  // namespace slm::text::pipeline
