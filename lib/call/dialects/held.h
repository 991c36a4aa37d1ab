// What a joiner holds back: entries by key, in the order in which they came, bounded in bytes of text.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>

namespace slm::dialects {

inline constexpr uint64_t kMaxHeldBytes = uint64_t{64} << 20;

template <class T>
class Held {
 public:
  struct Entry {
    std::string key;
    T value;
    uint64_t n_bytes = 0;
  };
  // The entry of this key, a new one if there is none; `n_bytes` more are held now.
  T& at(const std::string& key, uint64_t n_bytes) {
    auto [found, is_new] = by_key_.try_emplace(key);
    if (is_new) {
      entries_.push_back({key, T{}, 0});
      found->second = std::prev(entries_.end());
    }
    found->second->n_bytes += n_bytes;
    n_bytes_ += n_bytes;
    return found->second->value;
  }
  T* find(const std::string& key) {
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : &found->second->value;
  }
  bool empty() const { return entries_.empty(); }
  bool is_full() const { return n_bytes_ > kMaxHeldBytes && !entries_.empty(); }
  uint64_t n_bytes() const { return n_bytes_; }
  const T& oldest() const { return entries_.front().value; }
  T take_oldest() {
    T out = std::move(entries_.front().value);
    n_bytes_ -= entries_.front().n_bytes;
    by_key_.erase(entries_.front().key);
    entries_.pop_front();
    return out;
  }

 private:
  std::list<Entry> entries_;
  std::unordered_map<std::string, typename std::list<Entry>::iterator> by_key_;
  uint64_t n_bytes_ = 0;
};

}  // namespace slm::dialects
