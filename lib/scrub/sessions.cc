#include "scrub/sessions.h"

#include "core/hash.h"

namespace slm::scrub {

std::string session_of(const CallMeta& meta) { return meta.session.empty() ? meta.id.hex() : meta.session; }

uint32_t Sessions::group(const std::string& name) {
  const auto [it, is_new] = group_index_.try_emplace(fnv1a(name), static_cast<uint32_t>(names_.size()));
  if (is_new) {
    names_.push_back(name);
    fixed_.push_back(false);
    sides_.push_back(dataset::Side::kTrain);
  }
  return it->second;
}

void Sessions::fix(const CallMeta& curated, dataset::Side side) {
  const uint32_t g = group(dataset::group_of(curated));
  fixed_[g] = true;
  sides_[g] = side;
  const auto [it, is_new] = session_index_.try_emplace(fnv1a(session_of(curated)), n_sessions());
  if (is_new) group_of_.push_back(g);
}

Sessions::Place Sessions::place(const CallMeta& meta) {
  const auto known = session_index_.find(fnv1a(session_of(meta)));
  if (known != session_index_.end()) return {known->second, group_of_[known->second]};
  const uint32_t session = n_sessions();
  session_index_.emplace(fnv1a(session_of(meta)), session);
  group_of_.push_back(group(dataset::group_of(meta)));
  return {session, group_of_.back()};
}

}  // namespace slm::scrub
