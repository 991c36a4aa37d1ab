#include "text/pipeline/model.h"

#include <fmt/format.h>

namespace slm::text::pipeline {

Result<std::unique_ptr<Model>> Model::read(const json::value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return fail(ErrorCode::kBadInput, "tokenizer.json: the model is not an object");
  Part part{object, "model", std::string(get_string(*object, "type"))};
  if (part.type.empty()) {  // files of before the field: by what else they have
    const auto* vocabulary = find(*object, "vocab");
    part.type = object->contains("merges")                        ? "BPE"
                : vocabulary != nullptr && vocabulary->is_array() ? "Unigram"
                : object->contains("max_input_chars_per_word")    ? "WordPiece"
                                                                  : "WordLevel";
  }
  part.where = fmt::format("model {}", part.type.substr(0, 64));
  if (part.type == "BPE") return read_bpe(part);
  if (part.type == "Unigram") return read_unigram(part);
  if (part.type == "WordPiece") return read_word_piece(part);
  if (part.type == "WordLevel") return read_word_level(part);
  return unknown_type(part, "BPE, Unigram, WordPiece, WordLevel");
}

}  // namespace slm::text::pipeline
