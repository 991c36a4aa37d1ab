#include "evaluate/looks.h"

#include <algorithm>
#include <vector>

#include "core/hash.h"

namespace slm::evaluate {

LookPlan plan_look(const TaskEvaluation* previous, const std::string& candidate, const std::string& born_after) {
  LookPlan out;
  if (!previous) {
    out.barrier = born_after;
    return out;
  }
  out.look = previous->look + 1;
  out.changed = previous->candidate != candidate;
  out.barrier = out.changed ? previous->tested_in : previous->barrier;
  return out;
}

uint64_t group_hash(std::string_view name) { return get_u64(sha256(as_bytes(name)).data()); }

Bytes serialise_seen(const dataset::View& view) {
  std::vector<uint64_t> hashes;
  hashes.reserve(view.n_groups());
  for (uint32_t group = 0; group < view.n_groups(); ++group) hashes.push_back(group_hash(view.group_name(group)));
  std::sort(hashes.begin(), hashes.end());
  Bytes out;
  out.reserve(hashes.size() * 8);
  for (uint64_t hash : hashes) put_u64(out, hash);
  return out;
}

Result<SeenGroups> parse_seen(ByteSpan bytes) {
  if (bytes.size() % 8 != 0)
    return fail(ErrorCode::kBadInput, "seen.sealed: its size isn't a multiple of 8", "slmconv store verify");
  SeenGroups out;
  out.reserve(bytes.size() / 8);
  for (size_t i = 0; i < bytes.size(); i += 8) out.insert(get_u64(bytes.data() + i));
  return out;
}

}  // namespace slm::evaluate
