// WordPiece and WordLevel: whole words, or their longest beginnings one after the other.
#include <fmt/format.h>

#include <algorithm>

#include "text/pipeline/model.h"
#include "text/unicode.h"

namespace slm::text::pipeline {
namespace {

class WordLevel : public Model {
 public:
  Status load(const Part& part) {
    const auto* vocabulary = get_object(*part.object, "vocab");
    if (vocabulary == nullptr)
      return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: {} has no vocab", part.where));
    SLM_TRY(vocabulary_, Vocabulary::read(*vocabulary));
    SLM_TRY(const std::string unknown, text_field(part, "unk_token"));
    unknown_ = vocabulary_.id_of(unknown);
    if (unknown_ < 0)
      return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: {}: unk_token is not in the vocab", part.where));
    return {};
  }
  void encode(std::string_view word, std::vector<int32_t>& out) const override {
    const int32_t id = vocabulary_.id_of(word);
    out.push_back(id < 0 ? unknown_ : id);
  }

 protected:
  int32_t unknown_ = -1;
};

class WordPiece final : public WordLevel {
 public:
  Status load(const Part& part) {
    SLM_CHECK(WordLevel::load(part));
    SLM_TRY(prefix_, text_field(part, "continuing_subword_prefix"));
    const auto most = get_int(*part.object, "max_input_chars_per_word");
    if (!most || *most < 0)
      return fail(ErrorCode::kBadInput, "tokenizer.json: model WordPiece: max_input_chars_per_word is not a number");
    max_characters_ = static_cast<size_t>(*most);
    for (int32_t id = 0; id < vocabulary_.n_ids(); ++id)
      if (const auto* piece = vocabulary_.piece_of(id)) longest_ = std::max(longest_, piece->size());
    return {};
  }

  void encode(std::string_view word, std::vector<int32_t>& out) const override {
    const size_t before = out.size();
    if (count_code_points(word) > max_characters_) {
      out.push_back(unknown_);
      return;
    }
    for (size_t begin = 0; begin < word.size();) {
      int32_t id = -1;
      size_t end = std::min(word.size(), begin + longest_);
      for (; end > begin; --end) {
        if (end < word.size() && (static_cast<uint8_t>(word[end]) & 0xc0) == 0x80) continue;  // within a character
        std::string piece = begin == 0 ? std::string() : prefix_;
        piece += word.substr(begin, end - begin);
        id = vocabulary_.id_of(piece);
        if (id >= 0) break;
      }
      if (id < 0) {
        out.resize(before);
        out.push_back(unknown_);
        return;
      }
      out.push_back(id);
      begin = end;
    }
  }

 private:
  std::string prefix_;
  size_t max_characters_ = 0, longest_ = 0;
};

}  // namespace

Result<std::unique_ptr<Model>> read_word_piece(const Part& part) {
  SLM_CHECK(only_fields(part, {"unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"}));
  auto model = std::make_unique<WordPiece>();
  SLM_CHECK(model->load(part));
  return std::unique_ptr<Model>(std::move(model));
}

Result<std::unique_ptr<Model>> read_word_level(const Part& part) {
  SLM_CHECK(only_fields(part, {"unk_token", "vocab"}));
  auto model = std::make_unique<WordLevel>();
  SLM_CHECK(model->load(part));
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace slm::text::pipeline
