#include "model/token_mask.h"

#include <algorithm>
#include <numeric>

namespace slm::model {
namespace {

constexpr size_t kMaxMasks = 1 << 10;

}  // namespace

Vocabulary::Vocabulary(std::vector<std::string> bytes, std::span<const int32_t> end_ids)
    : bytes_(std::move(bytes)), end_ids_(end_ids.begin(), end_ids.end()) {
  for (const int32_t id : end_ids_) bytes_[static_cast<size_t>(id)].clear();
  for (size_t id = 0; id < bytes_.size(); ++id)
    if (!bytes_[id].empty()) order_.push_back(static_cast<int32_t>(id));
  std::stable_sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) { return bytes_of(a) < bytes_of(b); });
  std::string_view before;
  for (const int32_t id : order_) {
    const std::string& bytes_of_id = bytes_of(id);
    const auto [mine, unused] = std::mismatch(bytes_of_id.begin(), bytes_of_id.end(), before.begin(), before.end());
    shared_.push_back(static_cast<uint32_t>(mine - bytes_of_id.begin()));
    longest_ = std::max(longest_, static_cast<uint32_t>(bytes_of_id.size()));
    before = bytes_of_id;
  }
}

TokenMask::TokenMask(std::shared_ptr<const Vocabulary> vocabulary, std::shared_ptr<const ByteGrammar> grammar)
    : vocabulary_(std::move(vocabulary)), automaton_(std::move(grammar)) {}

// Gives the cursor a state that the automaton still knows.
void TokenMask::settle(Cursor& cursor) {
  if (automaton_.n_states() > max_states_) {
    automaton_.clear();
    max_states_ = kMaxStates;
    ++epoch_;
  }
  if (cursor.epoch == epoch_) return;
  cursor.state = automaton_.start();
  for (const char c : cursor.text) cursor.state = automaton_.step(cursor.state, static_cast<uint8_t>(c));
  cursor.epoch = epoch_;
  // Texts that were read again need their states: the bound is on those that come after.
  max_states_ = std::max(max_states_, automaton_.n_states() + kMaxStates);
}

bool TokenMask::whole(Cursor& cursor) {
  settle(cursor);
  return automaton_.accepting(cursor.state);
}

TokenMask::Bits TokenMask::walk(ByteAutomaton::State state) {
  ++n_made_;
  const Vocabulary& v = *vocabulary_;
  Bits bits((v.n_ids() + 63) / 64, 0);
  const auto set = [&](int32_t id) { bits[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64); };
  std::vector<ByteAutomaton::State> path(v.longest_ + 1, ByteAutomaton::kDead);  // after so many bytes
  path[0] = state;
  uint32_t n_alive = 0;  // leading bytes of the last token that the grammar takes
  for (size_t i = 0; i < v.order_.size(); ++i) {
    const std::string& bytes = v.bytes_of(v.order_[i]);
    const uint32_t shared = v.shared_[i];
    if (shared > n_alive) continue;  // goes on from bytes that are refused
    uint32_t at = shared;
    while (at < bytes.size()) {
      path[at + 1] = automaton_.step(path[at], static_cast<uint8_t>(bytes[at]));
      if (path[at + 1] == ByteAutomaton::kDead) break;
      ++at;
    }
    n_alive = at;
    if (at == bytes.size()) set(v.order_[i]);
  }
  if (automaton_.accepting(state))
    for (const int32_t id : v.end_ids_) set(id);
  return bits;
}

std::shared_ptr<const TokenMask::Bits> TokenMask::allowed(Cursor& cursor) {
  settle(cursor);
  std::string key = automaton_.key(cursor.state, vocabulary_->longest_);
  if (const auto known = masks_.find(key); known != masks_.end()) return known->second;
  if (masks_.size() >= kMaxMasks) masks_.clear();
  auto bits = std::make_shared<const Bits>(walk(cursor.state));
  masks_.emplace(std::move(key), bits);
  return bits;
}

bool TokenMask::accept(Cursor& cursor, int32_t id) {
  settle(cursor);
  const auto& ends = vocabulary_->end_ids_;
  if (std::find(ends.begin(), ends.end(), id) != ends.end()) return automaton_.accepting(cursor.state);
  const std::string& bytes = vocabulary_->bytes_of(id);
  ByteAutomaton::State state = cursor.state;
  for (const char c : bytes) state = automaton_.step(state, static_cast<uint8_t>(c));
  if (bytes.empty() || state == ByteAutomaton::kDead) return false;
  cursor.state = state;
  cursor.text += bytes;
  return true;
}

}  // namespace slm::model
