// Merkle tree hash over the leaves of a batch: one root to sign, every frame provable.
//
// Source: RFC 6962 section 2.1 (0x00 before a leaf's content, 0x01 before an inner node, split at the largest power of
// two below n; no leaves: the hash of nothing).
#pragma once

#include <span>

#include "core/bytes.h"

namespace slm::store {

Digest merkle_leaf(std::initializer_list<ByteSpan> content);
Digest merkle_root(std::span<const Digest> leaves);

}  // namespace slm::store
