#include "store/frames.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>

#include "core/hash.h"
#include "store/merkle.h"

namespace slm::store {
namespace {

constexpr int kZstdLevel = 1;

struct FreeZstd {
  void operator()(ZSTD_CCtx* ctx) const { ZSTD_freeCCtx(ctx); }
  void operator()(ZSTD_DCtx* ctx) const { ZSTD_freeDCtx(ctx); }
};

Result<Bytes> compress(std::string_view text) {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeZstd> ctx(ZSTD_createCCtx());
  Bytes out(ZSTD_compressBound(text.size()));
  const size_t n = ZSTD_compressCCtx(ctx.get(), out.data(), out.size(), text.data(), text.size(), kZstdLevel);
  if (ZSTD_isError(n)) return fail(ErrorCode::kUnexpected, fmt::format("zstd: {}", ZSTD_getErrorName(n)));
  out.resize(n);
  return out;
}

Result<std::string> decompress(ByteSpan bytes) {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeZstd> ctx(ZSTD_createDCtx());
  const unsigned long long size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > kFrameBytes)
    return fail(ErrorCode::kIntegrity, fmt::format("a frame says it holds more than {} bytes", kFrameBytes));
  std::string out(size, '\0');
  const size_t n = ZSTD_decompressDCtx(ctx.get(), out.data(), out.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(n) || n != out.size()) return fail(ErrorCode::kIntegrity, "a frame can't be decompressed");
  return out;
}

// Cuts the pieces into frames: a piece that fits into a frame isn't split, a longer one begins a frame of its own.
class FrameWriter {
 public:
  FrameWriter(const SealRequest& request, crypto::HpkeContext& keys, SealedGroup& out)
      : request_(request), keys_(keys), enc_hash_(sha256(out.enc)), out_(out) {}

  Status add(const Piece& piece) {
    if (!text_.empty() && text_.size() + piece.text.size() > kFrameBytes) SLM_CHECK(close());
    std::string_view rest = piece.text;
    do {
      const std::string_view part = rest.substr(0, kFrameBytes);
      rest.remove_prefix(part.size());
      const uint8_t flags = static_cast<uint8_t>(piece.flags | (rest.empty() ? 0 : Slice::kMore));
      put_u32(calls_, piece.index);
      calls_.push_back(flags);
      put_bytes(calls_, piece.tag);
      put_u32(calls_, static_cast<uint32_t>(part.size()));
      text_.append(part);
      if (!rest.empty()) SLM_CHECK(close());
    } while (!rest.empty());
    return {};
  }

  Status close() {
    if (calls_.empty()) return {};
    if (out_.frames.size() >= static_cast<size_t>(kMaxFrames))
      return fail(ErrorCode::kBadInput,
                  fmt::format("a group needs more than {} frames of {} bytes", kMaxFrames, kFrameBytes));
    const Bytes aad = frame_aad(request_.context, static_cast<uint32_t>(out_.frames.size()), calls_);
    SLM_TRY(const Bytes packed, compress(text_));
    SLM_TRY(Bytes sealed, keys_.seal(aad, packed));
    out_.leaves.push_back(frame_leaf(aad, sealed, enc_hash_));
    out_.frames.push_back({std::exchange(calls_, {}), std::move(sealed)});
    text_.clear();
    return {};
  }

 private:
  const SealRequest& request_;
  crypto::HpkeContext& keys_;
  Digest enc_hash_;
  SealedGroup& out_;
  Bytes calls_;
  std::string text_;
};

}  // namespace

Result<std::vector<Slice>> decode_slices(ByteSpan calls) {
  if (calls.empty() || calls.size() % Slice::kBytes != 0)
    return fail(ErrorCode::kIntegrity, "a frame's list of calls isn't canonically encoded");
  std::vector<Slice> out;
  out.reserve(calls.size() / Slice::kBytes);
  Cursor in(calls);
  while (in.left() > 0) {
    Slice slice;
    slice.index = in.u32();
    slice.flags = in.u8();
    slice.tag = in.fixed<16>();
    slice.size = in.u32();
    out.push_back(slice);
  }
  return out;
}

ContextColumns context_of(const Entry& entry, const SealRow& seal) {
  const bool meta = seal.partition == Partition::kRawMeta || seal.partition == Partition::kCuratedMeta;
  const uint32_t epoch = meta ? entry.meta_epoch : entry.body_epoch;
  return {entry.store, entry.batch, seal.group, seal.partition, epoch, entry.schema, entry.hour, sha256(seal.refs)};
}

Bytes frame_aad(const ContextColumns& c, uint32_t seq, ByteSpan calls) {
  constexpr std::string_view kLabel = "slmconv frame 1";
  Bytes out = labelled(kLabel, 160 + calls.size());
  put_bytes(out, c.store);
  put_bytes(out, c.batch);
  put_bytes(out, c.group);
  out.push_back(what_of(c.partition));
  put_u32(out, c.epoch);
  put_u32(out, c.schema);
  put_u64(out, static_cast<uint64_t>(c.hour));
  put_bytes(out, c.refs);
  put_u32(out, seq);
  put_field(out, calls);
  return out;
}

Digest frame_leaf(ByteSpan aad, ByteSpan sealed, const Digest& enc_hash) {
  Bytes sizes;
  put_u32(sizes, static_cast<uint32_t>(aad.size()));
  return merkle_leaf({sizes, aad, enc_hash, sealed});
}

Result<SealedGroup> seal_group(const AdminLog& admin, SealRequest request, Random& random) {
  const EpochRecord* epoch = admin.epoch(request.context.partition, request.context.epoch);
  if (epoch == nullptr) return fail(ErrorCode::kUnexpected, "sealing to an epoch that doesn't exist");
  SealedGroup out;
  out.group = request.context.group;
  out.partition = request.context.partition;
  request.context.refs = sha256(request.refs);
  crypto::SecretArray<32> ikm;
  random.fill(ikm.writable());
  SLM_TRY(auto sender, crypto::hpke_sender(epoch->aead, epoch->pub, seal_info(admin, *epoch), ikm.span()));
  out.enc = sender.enc;
  FrameWriter writer(request, sender.context, out);
  for (const Piece& piece : request.pieces) SLM_CHECK(writer.add(piece));
  SLM_CHECK(writer.close());
  out.refs = std::move(request.refs);
  return out;
}

Result<std::vector<SealRow>> read_seals(Database& log, int64_t entry_n) {
  SLM_TRY(Statement stmt, log.prepare("SELECT seal, grp, partition, enc_hash, first_leaf, n_frames, refs FROM seals "
                                      "WHERE seal BETWEEN ? AND ? ORDER BY seal"));
  stmt.bind(1, entry_n << 16).bind(2, (entry_n << 16) + 0xffff);
  std::vector<SealRow> out;
  while (true) {
    SLM_TRY(const bool row, stmt.step());
    if (!row) return out;
    SealRow seal;
    seal.seal = stmt.integer(0);
    SLM_TRY(seal.group, stmt.fixed<16>(1, "a group's name"));
    const int64_t partition = stmt.integer(2);
    if (partition < 1 || partition > static_cast<int64_t>(kPartitions.size()))
      return fail(ErrorCode::kIntegrity, fmt::format("entry {} seals to partition {}", entry_n, partition));
    seal.partition = static_cast<Partition>(partition);
    SLM_TRY(seal.enc_hash, stmt.fixed<32>(3, "the hash of an encapsulation"));
    seal.first_leaf = stmt.integer(4);
    seal.n_frames = stmt.integer(5);
    const ByteSpan refs = stmt.blob(6);
    seal.refs.assign(refs.begin(), refs.end());
    out.push_back(std::move(seal));
  }
}

Status check_groups(const Entry& entry, std::span<const SealRow> seals) {
  int64_t next_leaf = 0;
  for (size_t i = 0; i < seals.size(); ++i) {
    const SealRow& seal = seals[i];
    if (seal.seal != (entry.n << 16) + static_cast<int64_t>(i) || seal.first_leaf != next_leaf || seal.n_frames < 1 ||
        seal.n_frames > std::min(kMaxFrames, entry.n_leaves - next_leaf))
      return fail(ErrorCode::kIntegrity, fmt::format("entry {}: its groups don't lie one after another", entry.n));
    next_leaf += seal.n_frames;
  }
  if (next_leaf != entry.n_leaves)
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: it has {} leaves, its groups have {} frames", entry.n,
                                                   entry.n_leaves, next_leaf));
  return {};
}

Result<GroupReader> GroupReader::open(Session& session, const Entry& entry, std::span<const Digest> leaves,
                                      const SealRow& seal) {
  GroupReader out;
  out.session_ = &session;
  out.seal_ = &seal;
  out.leaves_ = leaves;
  out.context_ = context_of(entry, seal);
  const int64_t n = static_cast<int64_t>(leaves.size());
  if (seal.n_frames < 1 || seal.n_frames > kMaxFrames || seal.first_leaf < 0 || seal.first_leaf > n - seal.n_frames)
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: a group's frames lie outside its leaves", entry.n));
  const EpochRecord* epoch = session.admin.epoch(seal.partition, out.context_.epoch);
  if (epoch == nullptr)
    return fail(ErrorCode::kIntegrity,
                fmt::format("entry {} is sealed to an epoch that the admin didn't sign", entry.n));
  SLM_TRY(const ByteSpan secret, session.secret({what_of(seal.partition), epoch->number}));
  SLM_TRY(Statement stmt, session.db.keys.prepare("SELECT enc FROM encapsulations WHERE grp = ? AND partition = ?"));
  SLM_TRY(const bool row,
          stmt.bind(1, ByteSpan(seal.group)).bind(2, static_cast<int64_t>(what_of(seal.partition))).step());
  if (!row)
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: keys.db lacks the encapsulation of a group", entry.n));
  SLM_TRY(const auto enc, stmt.fixed<32>(0, "an encapsulation"));
  if (sha256(enc) != seal.enc_hash)
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: the encapsulation of a group was changed", entry.n));
  SLM_TRY(auto keys, crypto::hpke_receiver(epoch->aead, secret, enc, seal_info(session.admin, *epoch)));
  out.keys_.emplace(std::move(keys));
  SLM_TRY(out.frame_stmt_, session.db.log.prepare("SELECT calls, sealed FROM frames WHERE frame = ?"));
  return out;
}

Result<GroupReader::Opened> GroupReader::read(int64_t seq, const std::vector<uint32_t>* wanted) {
  SLM_TRY(const bool row, frame_stmt_.bind(1, (seal_->seal << 16) + seq).step());
  if (!row)
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: frame {} of a group is missing", seal_->seal >> 16, seq));
  auto out = open_frame(seq, frame_stmt_.blob(0), frame_stmt_.blob(1), wanted);
  frame_stmt_.reset();
  return out;
}

Result<GroupReader::Opened> GroupReader::open_frame(int64_t seq, ByteSpan calls, ByteSpan sealed,
                                                    const std::vector<uint32_t>* wanted) const {
  const Bytes aad = frame_aad(context_, static_cast<uint32_t>(seq), calls);
  if (frame_leaf(aad, sealed, seal_->enc_hash) != leaves_[static_cast<size_t>(seal_->first_leaf + seq)])
    return fail(ErrorCode::kIntegrity,
                fmt::format("entry {}: frame {} of a group was changed", seal_->seal >> 16, seq));
  Opened out;
  SLM_TRY(out.slices, decode_slices(calls));
  if (wanted != nullptr && std::none_of(out.slices.begin(), out.slices.end(), [&](const Slice& slice) {
        return (slice.flags & Slice::kHeader) != 0 || std::binary_search(wanted->begin(), wanted->end(), slice.index);
      }))
    return Opened{};
  SLM_TRY(const Bytes packed, keys_->open(static_cast<uint64_t>(seq), aad, sealed));
  SLM_TRY(out.text, decompress(packed));
  uint64_t total = 0;
  for (const Slice& slice : out.slices) total += slice.size;
  if (total != out.text.size()) return fail(ErrorCode::kIntegrity, "a frame's sizes don't add up");
  return out;
}

Bytes encode_header(const GroupHeader& header) {
  Bytes out{1};
  put_field(out, as_bytes(header.pseudonym));
  put_bytes(out, header.source);
  return out;
}

Result<GroupHeader> decode_header(std::string_view text) {
  Cursor in(as_bytes(text));
  const uint8_t version = in.u8();
  if (version != 1) return fail(ErrorCode::kFormatTooNew, fmt::format("a group header of version {}", version));
  GroupHeader out;
  out.pseudonym = as_text(in.field());
  out.source = in.fixed<32>();
  SLM_CHECK(in.done("a group header"));
  return out;
}

}  // namespace slm::store
