// A byte grammar laid over a vocabulary: which tokens may come next, so that the text stays one of the grammar's. A
// token may span several symbols of the grammar, or hold part of a character. An end-of-turn token is allowed only
// where the text is whole.
//
// Threads: Vocabulary: const methods may be called at once. TokenMask: one call at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/byte_grammar.h"

namespace slm::model {

// Stands in front of a special token's text in a grammar: no byte of UTF-8.
inline constexpr char kSpecialMark = '\xff';

// The bytes of every id.
class Vocabulary {
 public:
  // `bytes`: "" for an id that no grammar may choose; kSpecialMark and its text for a special token.
  Vocabulary(std::vector<std::string> bytes, std::span<const int32_t> end_ids);
  const std::string& bytes_of(int32_t id) const { return bytes_[static_cast<size_t>(id)]; }
  std::span<const int32_t> end_ids() const { return end_ids_; }
  size_t n_ids() const { return bytes_.size(); }

 private:
  friend class TokenMask;
  std::vector<std::string> bytes_;
  std::vector<int32_t> end_ids_;
  // Ids by their bytes, and how many leading bytes each shares with the one before it: a walk in this order is a walk
  // of the trie.
  std::vector<int32_t> order_;
  std::vector<uint32_t> shared_;
  uint32_t longest_ = 0;
};

class TokenMask {
 public:
  // One bit an id, 64 a word.
  using Bits = std::vector<uint64_t>;
  // How far one answer has come.
  struct Cursor {
    std::string text;
    ByteAutomaton::State state = ByteAutomaton::kDead;
    uint64_t epoch = 0;  // 0: not begun
  };

  TokenMask(std::shared_ptr<const Vocabulary> vocabulary, std::shared_ptr<const ByteGrammar> grammar);
  // The tokens that may come next. Empty where no token of the vocabulary goes on with the text, which can only be if
  // the vocabulary lacks single bytes.
  std::shared_ptr<const Bits> allowed(Cursor& cursor);
  // False if the id isn't allowed (an end-of-turn token changes nothing).
  bool accept(Cursor& cursor, int32_t id);
  bool whole(Cursor& cursor);
  static bool has(const Bits& bits, int32_t id) { return (bits[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0; }
  size_t n_masks_made() const { return n_made_; }

 private:
  void settle(Cursor& cursor);
  Bits walk(ByteAutomaton::State state);

  std::shared_ptr<const Vocabulary> vocabulary_;
  ByteAutomaton automaton_;
  static constexpr size_t kMaxStates = 1 << 14;  // a kilobyte each at most
  size_t max_states_ = kMaxStates;
  uint64_t epoch_ = 1;  // grows when the automaton forgets its states
  std::unordered_map<std::string, std::shared_ptr<const Bits>> masks_;
  size_t n_made_ = 0;
};

}  // namespace slm::model
