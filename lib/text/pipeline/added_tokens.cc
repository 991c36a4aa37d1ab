#include "text/pipeline/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/pipeline/char_class.h"
#include "text/pipeline/fields.h"
#include "text/unicode.h"

namespace slm::text::pipeline {
namespace {

// The last character of a text; requires: not empty.
char32_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80) --at;
  return code_point_at(text, at).value;
}

Result<AddedToken> read_token(const json::value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return fail(ErrorCode::kBadInput, "tokenizer.json: an added token that is not an object");
  const Part part{object, "an added token", ""};
  SLM_CHECK(only_fields(part, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}));
  AddedToken token;
  SLM_TRY(token.content, text_field(part, "content"));
  SLM_TRY(token.single_word, bool_field(part, "single_word"));
  SLM_TRY(token.lstrip, bool_field(part, "lstrip"));
  SLM_TRY(token.rstrip, bool_field(part, "rstrip"));
  SLM_TRY(token.normalized, bool_field(part, "normalized"));
  SLM_TRY(token.special, bool_field(part, "special"));
  const auto id = get_int(*object, "id");
  if (!id || *id < 0 || *id > kMaxId)
    return fail(ErrorCode::kBadInput,
                fmt::format("tokenizer.json: an added token whose id is not from 0 to {}", kMaxId));
  token.id = static_cast<int32_t>(*id);
  return token;
}

}  // namespace

Result<AddedTokens> AddedTokens::read(const json::value& list, const Vocabulary& vocabulary,
                                      const Normalizer& normalizer) {
  AddedTokens made;
  if (list.is_null()) return made;
  const auto* array = list.if_array();
  if (array == nullptr) return fail(ErrorCode::kBadInput, "tokenizer.json: added_tokens is not an array");
  int64_t next = static_cast<int64_t>(vocabulary.size());
  for (const auto& item : *array) {
    SLM_TRY(AddedToken token, read_token(item));
    if (token.content.empty()) continue;
    // The library numbers what the model doesn't know itself, from the model's size on.
    const auto known = made.by_content_.find(token.content);
    int64_t id = known != made.by_content_.end() ? known->second : vocabulary.id_of(token.content);
    if (id < 0) id = next;
    if (id != token.id)
      return fail(ErrorCode::kBadInput,
                  fmt::format("tokenizer.json: added token {} of a vocabulary where it would be {}", token.id, id));
    next = std::max(next, id + 1);
    made.n_ids_ = std::max(made.n_ids_, token.id + 1);
    if (known != made.by_content_.end()) {  // given again: the later flags hold
      made.tokens_[made.by_id_.at(token.id)] = std::move(token);
      continue;
    }
    made.by_content_.emplace(token.content, token.id);
    made.by_id_.emplace(token.id, made.tokens_.size());
    made.tokens_.push_back(std::move(token));
  }
  for (const bool special : {true, false}) {
    for (size_t i = 0; i < made.tokens_.size(); ++i) {
      const AddedToken& token = made.tokens_[i];
      if (token.special != special) continue;
      Section section{token.content, true, false};
      if (token.normalized) normalizer.apply(section);
      if (section.text.empty())
        return fail(ErrorCode::kUnsupportedModel,
                    fmt::format("tokenizer.json: added token {} is nothing once normalised", token.id));
      (token.normalized ? made.after_ : made.before_).add(section.text, static_cast<int32_t>(i));
    }
  }
  return made;
}

std::vector<AddedTokens::Found> AddedTokens::find(std::string_view text, bool normalized) const {
  std::vector<Found> out;
  const Trie& trie = normalized ? after_ : before_;
  size_t done = 0;  // where what isn't cut yet begins
  for (size_t at = 0; at < text.size();) {
    size_t length = 0;
    int32_t place = -1;
    trie.prefixes_of(text.substr(at), [&](size_t n, int32_t value) {
      length = n;
      place = value;
    });
    if (place < 0) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + length;
    at = end;
    const AddedToken& token = tokens_[static_cast<size_t>(place)];
    if (token.single_word && ((begin > 0 && is_word(last_character(text.substr(0, begin)))) ||
                              (end < text.size() && is_word(code_point_at(text, end).value))))
      continue;
    if (token.lstrip) {
      while (begin > done && begin > 0) {
        const std::string_view head = text.substr(0, begin);
        if (!is_white_space(last_character(head))) break;
        --begin;
        while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xc0) == 0x80) --begin;
      }
      begin = std::max(begin, done);
    }
    if (token.rstrip) {
      while (end < text.size()) {
        const auto c = code_point_at(text, end);
        if (!is_white_space(c.value)) break;
        end += c.n_bytes;
      }
    }
    if (done < begin) out.push_back({done, begin, -1});
    out.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) out.push_back({done, text.size(), -1});
  return out;
}

const AddedToken* AddedTokens::of(int32_t id) const {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : &tokens_[at->second];
}

int32_t AddedTokens::id_of(std::string_view content) const {
  const auto at = by_content_.find(std::string(content));
  return at == by_content_.end() ? -1 : at->second;
}

}  // namespace slm::text::pipeline
