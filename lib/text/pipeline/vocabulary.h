// The pieces of a tokenizer.json model and their ids.
//
// Errors: kBadInput for ids out of range or of another kind.
// Threads: const methods may be called at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "schema/json.h"

namespace slm::text::pipeline {

constexpr int64_t kMaxId = 1 << 24;

class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;
  // {"piece": id, …}
  static Result<Vocabulary> read(const json::object& map);
  // Requires 0 <= id <= kMaxId. A piece or id given again takes the place of the one before.
  void add(std::string_view piece, int32_t id);

  int32_t id_of(std::string_view piece) const {
    const auto at = ids_.find(piece);
    return at == ids_.end() ? -1 : at->second;
  }
  // The piece, or null if no piece has the id.
  const std::string* piece_of(int32_t id) const;
  size_t size() const { return ids_.size(); }
  int32_t n_ids() const { return static_cast<int32_t>(pieces_.size()); }  // one more than the largest
  // The ids of <0x00>…<0xFF>, -1 where absent.
  std::vector<int32_t> byte_ids() const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
  std::vector<const std::string*> pieces_;  // into ids_, whose keys don't move
};

}  // namespace slm::text::pipeline
