#include "store/merkle.h"

#include "core/hash.h"

namespace slm::store {

Digest merkle_leaf(std::initializer_list<ByteSpan> content) {
  const uint8_t prefix = 0;
  Sha256 h;
  h.update({&prefix, 1});
  for (const auto& part : content) h.update(part);
  return h.finish();
}

Digest merkle_root(std::span<const Digest> leaves) {
  if (leaves.empty()) return sha256({});
  if (leaves.size() == 1) return leaves[0];
  size_t split = 1;
  while (split * 2 < leaves.size()) split *= 2;
  const Digest left = merkle_root(leaves.first(split)), right = merkle_root(leaves.subspan(split));
  const uint8_t prefix = 1;
  Sha256 h;
  h.update({&prefix, 1});
  h.update(left);
  h.update(right);
  return h.finish();
}

}  // namespace slm::store
