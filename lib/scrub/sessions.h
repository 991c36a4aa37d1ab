// Sessions and their groups by number, so that passes need no names: what was fixed by an earlier run, what is new.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "call/call.h"
#include "dataset/view.h"

namespace slm::scrub {

// What values are consistent within: the session, or the call itself.
std::string session_of(const CallMeta& meta);

class Sessions {
 public:
  struct Place {
    uint32_t session = 0, group = 0;
  };
  // From a call that an earlier run curated: its session's group and side are fixed.
  void fix(const CallMeta& curated, dataset::Side side);
  // A raw call's session and group; new ones get the next numbers.
  Place place(const CallMeta& meta);

  uint32_t n_sessions() const { return static_cast<uint32_t>(group_of_.size()); }
  uint32_t n_groups() const { return static_cast<uint32_t>(names_.size()); }
  const std::string& name(uint32_t group) const { return names_[group]; }
  const std::vector<bool>& fixed() const { return fixed_; }
  std::optional<dataset::Side> side(uint32_t group) const {
    return fixed_[group] ? std::optional(sides_[group]) : std::nullopt;
  }

 private:
  uint32_t group(const std::string& name);
  std::unordered_map<uint64_t, uint32_t> session_index_, group_index_;  // by hash of the name
  std::vector<uint32_t> group_of_;                                      // by session
  std::vector<std::string> names_;                                      // by group
  std::vector<bool> fixed_;
  std::vector<dataset::Side> sides_;
};

}  // namespace slm::scrub
