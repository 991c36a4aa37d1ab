// What was given out in each session: which surrogate stands for which value, and how masked values are numbered.
//
// It holds 64-bit hashes only, about 50 bytes a value. Filled in the order of the store, so the same store gives the
// same. Threads: one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/hash.h"

namespace slm::scrub {

class Ledger {
 public:
  // True if the surrogate is free in this scope or already stands for this value; then it is taken. `kind` keeps apart
  // what can't be confused (types, parts of names).
  bool claim(std::string_view scope, std::string_view kind, std::string_view surrogate, std::string_view value) {
    const auto [it, is_new] = taken_.try_emplace(key(scope, kind, surrogate), fnv1a(value));
    return is_new || it->second == fnv1a(value);
  }
  // Number of this value among the scope's values of its kind, from 1.
  uint32_t number(std::string_view scope, std::string_view kind, std::string_view value) {
    const auto [it, is_new] = numbers_.try_emplace(key(scope, kind, value), 0);
    if (is_new) it->second = ++counts_[key(scope, kind, {})];
    return it->second;
  }

 private:
  static uint64_t key(std::string_view scope, std::string_view kind, std::string_view value) {
    return fnv1a(value, fnv1a("\x1f", fnv1a(kind, fnv1a("\x1f", fnv1a(scope)))));
  }
  std::unordered_map<uint64_t, uint64_t> taken_;
  std::unordered_map<uint64_t, uint32_t> numbers_, counts_;
};

}  // namespace slm::scrub
