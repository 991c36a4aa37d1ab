#include "text/pipeline/normalizer.h"

#include <fmt/format.h>

#include "core/utf8.h"
#include "text/pipeline/char_class.h"
#include "text/pipeline/fields.h"
#include "text/pipeline/pattern.h"
#include "text/pipeline/pieces.h"
#include "text/pipeline/precompiled.h"
#include "text/unicode.h"

namespace slm::text::pipeline {
namespace {

constexpr int kMaxDepth = 16;
constexpr std::string_view kKnown =
    "Sequence, NFC, NFD, NFKC, NFKD, Prepend, Replace, Lowercase, Strip, StripAccents, BertNormalizer, Precompiled, "
    "ByteLevel, Nmt";

struct BertOptions {
  bool clean = true, chinese = true, accents = false, lowercase = true;
};

// Makes the text anew, character by character.
template <class F>
void each_character(std::string& text, F&& append) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto c = code_point_at(text, i);
    i += c.n_bytes;
    append(out, c.value);
  }
  text = std::move(out);
}

void lowercase(std::string& text) { each_character(text, append_lower); }

void bert(const BertOptions& options, std::string& text) {
  if (options.clean)
    each_character(text, [](std::string& out, char32_t c) {
      if (c == '\t' || c == '\n' || c == '\r') {
        out += ' ';
      } else if (c != 0 && c != 0xfffd && !is_control_or_format(c)) {
        append_utf8(out, is_white_space(c) ? U' ' : c);
      }
    });
  if (options.chinese)
    each_character(text, [](std::string& out, char32_t c) {
      const bool apart = is_chinese(c);
      if (apart) out += ' ';
      append_utf8(out, c);
      if (apart) out += ' ';
    });
  if (options.accents) {
    text = to_form(text, Form::kNfd);
    each_character(text, [](std::string& out, char32_t c) {
      if (!is_nonspacing_mark(c)) append_utf8(out, c);
    });
  }
  if (options.lowercase) lowercase(text);
}

// SentencePiece's nmt rules without NFKC.
void nmt(std::string& text) {
  each_character(text, [](std::string& out, char32_t c) {
    if ((c >= 0x01 && c <= 0x08) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f)
      return;
    const bool space = c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 ||
                       (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff ||
                       c == 0xfffd;
    append_utf8(out, space ? U' ' : c);
  });
}

void strip(bool left, bool right, Section& section) {
  const std::string& text = section.text;
  size_t begin = 0, end = 0;  // end: after the last character that isn't space
  bool leading = left;
  for (size_t i = 0; i < text.size();) {
    const auto c = code_point_at(text, i);
    i += c.n_bytes;
    if (!is_white_space(c.value)) {
      leading = false;
      end = i;
    } else if (leading) {
      begin = i;
    }
  }
  if (!right) end = text.size();
  if (begin > 0) section.at_start = false;
  section.text = begin < end ? text.substr(begin, end - begin) : std::string();
}

}  // namespace

Result<Normalizer> Normalizer::read(const json::value& value) {
  Normalizer normalizer;
  if (!value.is_null()) SLM_CHECK(normalizer.add(value, 0));
  return normalizer;
}

Status Normalizer::add(const json::value& value, int depth) {
  SLM_TRY(const Part part, read_part(value, "normalizer"));
  const std::string& type = part.type;
  if (type == "Sequence") {
    SLM_CHECK(only_fields(part, {"normalizers"}));
    SLM_TRY(const json::array* list, array_field(part, "normalizers"));
    if (depth >= kMaxDepth)
      return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: normalizers nest deeper than {}", kMaxDepth));
    for (const auto& inner : *list) SLM_CHECK(add(inner, depth + 1));
    return {};
  }
  static constexpr std::pair<std::string_view, Form> kForms[] = {
      {"NFC", Form::kNfc}, {"NFD", Form::kNfd}, {"NFKC", Form::kNfkc}, {"NFKD", Form::kNfkd}};
  for (const auto& [name, form] : kForms) {
    if (type != name) continue;
    SLM_CHECK(only_fields(part, {}));
    steps_.push_back([f = form](Section& s) { s.text = to_form(s.text, f); });
    return {};
  }
  if (type == "Prepend") {
    SLM_CHECK(only_fields(part, {"prepend"}));
    SLM_TRY(std::string prefix, text_field(part, "prepend"));
    steps_.push_back([prefix = std::move(prefix)](Section& s) {
      if (!s.text.empty() && !s.follows) s.text.insert(0, prefix);
    });
  } else if (type == "Replace") {
    SLM_CHECK(only_fields(part, {"pattern", "content"}));
    SLM_TRY(Pattern pattern, Pattern::read_replaced(part));
    SLM_TRY(std::string content, text_field(part, "content"));
    steps_.push_back([pattern = std::move(pattern), content = std::move(content)](Section& s) {
      s.text = pattern.replace(s.text, content);
    });
  } else if (type == "Lowercase") {
    SLM_CHECK(only_fields(part, {}));
    steps_.push_back([](Section& s) { lowercase(s.text); });
  } else if (type == "Strip") {
    SLM_CHECK(only_fields(part, {"strip_left", "strip_right"}));
    SLM_TRY(const bool left, bool_field(part, "strip_left"));
    SLM_TRY(const bool right, bool_field(part, "strip_right"));
    steps_.push_back([l = left, r = right](Section& s) { strip(l, r, s); });
  } else if (type == "StripAccents") {
    SLM_CHECK(only_fields(part, {}));
    steps_.push_back([](Section& s) {
      each_character(s.text, [](std::string& out, char32_t c) {
        if (!is_mark(c)) append_utf8(out, c);
      });
    });
  } else if (type == "BertNormalizer") {
    SLM_CHECK(only_fields(part, {"clean_text", "handle_chinese_chars", "strip_accents", "lowercase"}));
    BertOptions options;
    SLM_TRY(options.clean, bool_field(part, "clean_text"));
    SLM_TRY(options.chinese, bool_field(part, "handle_chinese_chars"));
    SLM_TRY(options.lowercase, bool_field(part, "lowercase"));
    SLM_TRY(options.accents, bool_field(part, "strip_accents", options.lowercase));
    steps_.push_back([options](Section& s) { bert(options, s.text); });
  } else if (type == "Precompiled") {
    SLM_CHECK(only_fields(part, {"precompiled_charsmap"}));
    SLM_TRY(const std::string encoded, text_field(part, "precompiled_charsmap"));
    SLM_TRY(Precompiled map, Precompiled::read(encoded));
    steps_.push_back([map = std::move(map)](Section& s) { s.text = map.apply(s.text); });
  } else if (type == "ByteLevel") {
    SLM_CHECK(only_fields(part, {}));
    steps_.push_back([](Section& s) {
      std::string out;
      for (const char c : s.text) out += byte_characters()[static_cast<uint8_t>(c)];
      s.text = std::move(out);
    });
  } else if (type == "Nmt") {
    SLM_CHECK(only_fields(part, {}));
    steps_.push_back([](Section& s) { nmt(s.text); });
  } else {
    return unknown_type(part, kKnown);
  }
  return {};
}

}  // namespace slm::text::pipeline
