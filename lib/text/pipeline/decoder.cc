#include "text/pipeline/decoder.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "core/utf8.h"
#include "text/pipeline/pattern.h"
#include "text/pipeline/pieces.h"
#include "text/unicode.h"

namespace slm::text::pipeline {
namespace {

constexpr int kMaxDepth = 16;
constexpr std::string_view kKnown =
    "Sequence, ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, WordPiece, BPEDecoder";

using Pieces = std::vector<std::string>;

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t i = text.find(from); i != std::string::npos; i = text.find(from, i + to.size()))
    text.replace(i, from.size(), to);
}

// The bytes whose names in GPT-2's table a piece is made of; an added token is no bytes' name.
std::string byte_level_bytes(const std::string& piece) {
  std::string bytes;
  for (size_t i = 0; i < piece.size();) {
    const auto c = code_point_at(piece, i);
    i += c.n_bytes;
    const int byte = c.valid ? byte_of_character(c.value) : -1;
    if (byte < 0) return piece;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

void byte_level(Pieces& pieces, bool) {
  std::string all;
  for (const std::string& piece : pieces) all += byte_level_bytes(piece);
  pieces = {repair_utf8(all)};
}

// The byte of a piece such as <0x0A>.
std::optional<char> fallback_byte(const std::string& piece) {
  unsigned value = 0;
  if (piece.size() != 6 || !piece.starts_with("<0x") || !piece.ends_with('>') ||
      std::from_chars(piece.data() + 3, piece.data() + 5, value, 16).ptr != piece.data() + 5)
    return std::nullopt;
  return static_cast<char>(value);
}

void byte_fallback(Pieces& pieces, bool) {
  Pieces out;
  std::string bytes;
  size_t n_bytes = 0;
  const auto flush = [&] {
    if (is_utf8(bytes)) {
      if (n_bytes > 0) out.push_back(bytes);
    } else {
      out.insert(out.end(), n_bytes, "\xef\xbf\xbd");
    }
    bytes.clear();
    n_bytes = 0;
  };
  for (std::string& piece : pieces) {
    if (const auto byte = fallback_byte(piece)) {
      bytes += *byte;
      ++n_bytes;
      continue;
    }
    flush();
    out.push_back(std::move(piece));
  }
  flush();
  pieces = std::move(out);
}

void fuse(Pieces& pieces, bool) {
  std::string all;
  for (const std::string& piece : pieces) all += piece;
  pieces = {std::move(all)};
}

void strip(std::string& piece, char32_t content, size_t start, size_t stop) {
  const auto points = to_code_points(piece);
  size_t begin = 0, end = points.size();
  while (begin < points.size() && begin < start && points[begin] == content) ++begin;
  for (size_t i = 0; i < stop && end > begin && points[end - 1] == content; ++i) --end;
  piece =
      to_utf8({points.begin() + static_cast<std::ptrdiff_t>(begin), points.begin() + static_cast<std::ptrdiff_t>(end)});
}

// What BERT's decoder takes back of the spaces it wrote.
void clean_up(std::string& text) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) replace_all(text, from, to);
}

}  // namespace

Result<Decoder> Decoder::read(const json::value& value) {
  Decoder decoder;
  if (!value.is_null()) {
    decoder.any_ = true;
    SLM_CHECK(decoder.add(value, 0));
  }
  return decoder;
}

Status Decoder::add_strip(const Part& part) {
  SLM_CHECK(only_fields(part, {"content", "start", "stop"}));
  SLM_TRY(const char32_t content, char_field(part, "content"));
  const auto start = get_int(*part.object, "start"), stop = get_int(*part.object, "stop");
  if (!start || !stop || *start < 0 || *stop < 0)
    return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: {}: start and stop are not numbers", part.where));
  steps_.push_back(
      [c = content, from = static_cast<size_t>(*start), to = static_cast<size_t>(*stop)](Pieces& pieces, bool follows) {
        for (size_t i = 0; i < pieces.size(); ++i) strip(pieces[i], c, follows && i == 0 ? 0 : from, to);
      });
  return {};
}

Status Decoder::add_metaspace(const Part& part) {
  SLM_CHECK(only_fields(part, {"replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"}));
  SLM_TRY(const char32_t character, char_field(part, "replacement"));
  SLM_TRY(const std::string scheme, text_field_or(part, "prepend_scheme", "always"));
  std::string mark;
  append_utf8(mark, character);
  steps_.push_back([mark, drops = scheme != "never"](Pieces& pieces, bool follows) {
    for (size_t i = 0; i < pieces.size(); ++i) replace_all(pieces[i], mark, i == 0 && drops && !follows ? "" : " ");
  });
  return {};
}

Status Decoder::add_word_piece(const Part& part) {
  SLM_CHECK(only_fields(part, {"prefix", "cleanup"}));
  SLM_TRY(const std::string prefix, text_field(part, "prefix"));
  SLM_TRY(const bool cleanup, bool_field(part, "cleanup"));
  steps_.push_back([prefix = prefix, cleanup = cleanup](Pieces& pieces, bool follows) {
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i != 0 || follows) {
        if (pieces[i].starts_with(prefix)) {
          pieces[i].erase(0, prefix.size());
        } else {
          pieces[i].insert(0, 1, ' ');
        }
      }
      if (cleanup) clean_up(pieces[i]);
    }
  });
  return {};
}

Status Decoder::add(const json::value& value, int depth) {
  SLM_TRY(const Part part, read_part(value, "decoder"));
  const std::string& type = part.type;
  if (type == "Sequence") {
    SLM_CHECK(only_fields(part, {"decoders"}));
    SLM_TRY(const json::array* list, array_field(part, "decoders"));
    if (depth >= kMaxDepth)
      return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: decoders nest deeper than {}", kMaxDepth));
    for (const auto& inner : *list) SLM_CHECK(add(inner, depth + 1));
  } else if (type == "ByteLevel") {
    SLM_CHECK(only_fields(part, {"add_prefix_space", "trim_offsets", "use_regex"}));
    byte_level_ = true;
    steps_.push_back(byte_level);
  } else if (type == "ByteFallback") {
    SLM_CHECK(only_fields(part, {}));
    byte_fallback_ = true;
    steps_.push_back(byte_fallback);
  } else if (type == "Fuse") {
    SLM_CHECK(only_fields(part, {}));
    steps_.push_back(fuse);
  } else if (type == "Strip") {
    SLM_CHECK(add_strip(part));
  } else if (type == "Replace") {
    SLM_CHECK(only_fields(part, {"pattern", "content"}));
    SLM_TRY(Pattern pattern, Pattern::read_replaced(part));
    SLM_TRY(std::string content, text_field(part, "content"));
    steps_.push_back([pattern = std::move(pattern), content = std::move(content)](Pieces& pieces, bool) {
      for (std::string& piece : pieces) piece = pattern.replace(piece, content);
    });
  } else if (type == "Metaspace") {
    SLM_CHECK(add_metaspace(part));
  } else if (type == "WordPiece") {
    SLM_CHECK(add_word_piece(part));
  } else if (type == "BPEDecoder") {
    SLM_CHECK(only_fields(part, {"suffix"}));
    SLM_TRY(std::string suffix, text_field(part, "suffix"));
    if (suffix.empty()) return fail(ErrorCode::kBadInput, "tokenizer.json: decoder BPEDecoder: an empty suffix");
    steps_.push_back([suffix = std::move(suffix)](Pieces& pieces, bool) {
      for (size_t i = 0; i < pieces.size(); ++i) replace_all(pieces[i], suffix, i + 1 == pieces.size() ? "" : " ");
    });
  } else {
    return unknown_type(part, kKnown);
  }
  return {};
}

std::string Decoder::bytes_of(const std::string& piece) const {
  if (byte_level_) return byte_level_bytes(piece);
  if (byte_fallback_)
    if (const auto byte = fallback_byte(piece)) return std::string(1, *byte);
  if (!any_) return ' ' + piece;
  // An empty piece after it, so that no step takes it for the last.
  return apply({piece, ""}, true);
}

std::string Decoder::apply(std::vector<std::string> pieces, bool follows) const {
  const auto size_of = [](const Pieces& all) {
    size_t n = 0;
    for (const std::string& piece : all) n += piece.size();
    return n;
  };
  const size_t bound = most_bytes(size_of(pieces));
  for (const auto& step : steps_)
    if (size_of(pieces) <= bound) step(pieces, follows);
  std::string out;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (!any_ && i > 0) out += ' ';
    out += pieces[i];
  }
  return repair_utf8(out);
}

}  // namespace slm::text::pipeline
