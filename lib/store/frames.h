// Frames: the calls of one source in one partition of one batch, concatenated, cut into pieces of at most 256 KB, each
// compressed by zstd and sealed by one HPKE context that nothing else uses.
//
// A frame's clear column `calls` lists, per call in it: index in the group (u32), flags (u8), tag (16), size in this
// frame (u32): 25 bytes. A call that doesn't fit continues in the next frame under the same index.
// Associated data and leaf cover all clear columns: store, batch, partition, epoch, schema, hour, group, references,
// index of the frame, calls.
//
// Errors: kIntegrity for a leaf, seal, size or encoding that doesn't hold.
#pragma once

#include "store/entry.h"
#include "store/session.h"

namespace slm::store {

inline constexpr size_t kFrameBytes = 256 << 10;  // before compression
inline constexpr int64_t kMaxFrames = 1 << 16, kMaxSeals = 1 << 16;

struct Slice {
  static constexpr uint8_t kMore = 1;    // continues in the next frame
  static constexpr uint8_t kHeader = 2;  // the group header, no call
  static constexpr size_t kBytes = 25;
  uint32_t index = 0;
  uint8_t flags = 0;
  Tag tag{};
  uint32_t size = 0;
};
Result<std::vector<Slice>> decode_slices(ByteSpan calls);

// The clear columns that all frames of a context share.
struct ContextColumns {
  Id16 store{}, batch{}, group{};
  Partition partition = Partition::kRawMeta;
  uint32_t epoch = 0, schema = 1;
  int64_t hour = 0;
  Digest refs{};  // SHA-256 of the references
};
struct SealRow;
ContextColumns context_of(const Entry& entry, const SealRow& seal);
Bytes frame_aad(const ContextColumns& context, uint32_t seq, ByteSpan calls);
Digest frame_leaf(ByteSpan aad, ByteSpan sealed, const Digest& enc_hash);

struct Frame {
  Bytes calls, sealed;
};
struct SealedGroup {
  Id16 group{};
  Partition partition = Partition::kRawMeta;
  crypto::Encapsulation enc{};
  Bytes refs;
  std::vector<Frame> frames;
  std::vector<Digest> leaves;
};

struct Piece {
  uint32_t index = 0;
  uint8_t flags = 0;
  Tag tag{};
  std::string_view text;
};

// Seals the pieces with a fresh context. refs: what the group refers to: names of raw groups (16 bytes each) or, of an
// artefact, rows of reads (8 bytes each).
struct SealRequest {
  ContextColumns context;  // refs is filled in
  Bytes refs;
  std::span<const Piece> pieces;
};
Result<SealedGroup> seal_group(const AdminLog& admin, SealRequest request, Random& random);

// A group to read back.
struct SealRow {
  int64_t seal = 0;
  Id16 group{};
  Partition partition = Partition::kRawMeta;
  Digest enc_hash{};
  int64_t first_leaf = 0, n_frames = 0;
  Bytes refs;
};
Result<std::vector<SealRow>> read_seals(Database& log, int64_t entry_n);
// That an entry's groups are all there: numbered one by one, their frames lying one after another over all its leaves.
// A reader that skipped this would take what is left of a batch for the whole.
Status check_groups(const Entry& entry, std::span<const SealRow> seals);

// Opens frames of one group. Requires: entry and leaves were checked.
class GroupReader {
 public:
  static Result<GroupReader> open(Session& session, const Entry& entry, std::span<const Digest> leaves,
                                  const SealRow& seal);

  int64_t n_frames() const { return seal_->n_frames; }
  // Plaintext of a frame's slices, one after another.
  struct Opened {
    std::vector<Slice> slices;
    std::string text;
  };
  // Frame `seq`. With `wanted` (sorted indexes of calls) it is opened only if it holds one of them, or the header; else
  // there are no slices. Its leaf is checked either way: an unsigned list of calls decides nothing.
  Result<Opened> read(int64_t seq, const std::vector<uint32_t>* wanted = nullptr);
  // Opens a frame that lies outside the database (an artefact's).
  Result<Opened> open_frame(int64_t seq, ByteSpan calls, ByteSpan sealed,
                            const std::vector<uint32_t>* wanted = nullptr) const;

 private:
  GroupReader() = default;
  Session* session_ = nullptr;
  const SealRow* seal_ = nullptr;
  std::span<const Digest> leaves_;
  ContextColumns context_;
  std::optional<crypto::HpkeContext> keys_;
  Statement frame_stmt_;
};

Bytes encode_header(const GroupHeader& header);
Result<GroupHeader> decode_header(std::string_view text);

}  // namespace slm::store
