#include "text/pipeline/vocabulary.h"

#include <fmt/format.h>

namespace slm::text::pipeline {

Result<Vocabulary> Vocabulary::read(const json::object& map) {
  Vocabulary vocabulary;
  vocabulary.ids_.reserve(map.size());
  for (const auto& [piece, id] : map) {
    if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() > kMaxId)
      return fail(ErrorCode::kBadInput,
                  fmt::format("tokenizer.json: a piece whose id is not a number from 0 to {}", kMaxId));
    vocabulary.add(piece, static_cast<int32_t>(id.get_int64()));
  }
  return vocabulary;
}

void Vocabulary::add(std::string_view piece, int32_t id) {
  const auto at = ids_.insert_or_assign(std::string(piece), id).first;
  if (id >= n_ids()) pieces_.resize(static_cast<size_t>(id) + 1);
  pieces_[static_cast<size_t>(id)] = &at->first;
}

const std::string* Vocabulary::piece_of(int32_t id) const {
  return id >= 0 && id < n_ids() ? pieces_[static_cast<size_t>(id)] : nullptr;
}

std::vector<int32_t> Vocabulary::byte_ids() const {
  std::vector<int32_t> out;
  for (int b = 0; b < 256; ++b) out.push_back(id_of(fmt::format("<0x{:02X}>", b)));
  return out;
}

}  // namespace slm::text::pipeline
