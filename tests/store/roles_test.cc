// What each role may and may not do: exit code 12 (kWrongKey) at all the rest, by the keys it holds.
#include <gtest/gtest.h>

#include "crypto/hpke.h"
#include "store/commit.h"
#include "store/keyring.h"
#include "store_fixture.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;
using testing::StoreTest;
using testing::TestCall;

enum Op {
  kAppendRaw,
  kScanRawMeta,
  kScanRawBody,
  kAppendCurated,
  kScanCuratedMeta,
  kScanCuratedBody,
  kSeal,
  kOpenSealed,
  kTag,
  kPseudonym,
  kSplit,
  kSurrogate,
  kDigest,
  kAudit,
  kOps
};
constexpr const char* kOpNames[kOps] = {"append raw",
                                        "scan raw meta",
                                        "scan raw bodies",
                                        "append curated",
                                        "scan curated meta",
                                        "scan curated bodies",
                                        "seal a file",
                                        "open a sealed file",
                                        "tag",
                                        "pseudonym",
                                        "split point",
                                        "surrogate",
                                        "digest",
                                        "audit"};

// The table of the design.
struct Row {
  Role role;
  std::vector<Op> may;
};
const Row kMay[] = {
    {Role::kCollector, {kAppendRaw, kTag, kPseudonym, kDigest, kAudit}},
    {Role::kCurator,
     {kScanRawMeta, kScanRawBody, kAppendCurated, kScanCuratedMeta, kSeal, kTag, kPseudonym, kSplit, kSurrogate,
      kDigest, kAudit}},
    {Role::kTrainer, {kScanCuratedMeta, kScanCuratedBody, kSeal, kOpenSealed, kDigest, kAudit}},
    {Role::kAuditor, {kScanRawMeta, kScanCuratedMeta, kAudit}},
    {Role::kAdmin, {kAudit}},
};

class RolesTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    init();
    ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"s", "{}", "a body"}}));
    ASSERT_OK(append(*open(Role::kCurator).value(), Store::Space::kCurated, {{"s", "{}", "a clean body"}}));
    ASSERT_OK(open(Role::kTrainer).value()->seal_file(dir_ / "artifacts" / "a.bin", "a", as_bytes("made of text")));
  }

  ErrorCode attempt(Store& store, Op op) {
    const auto code = [](const auto& result) { return result ? ErrorCode::kOk : result.error().code; };
    ScanOptions scan;
    scan.body = op == kScanRawBody || op == kScanCuratedBody;
    const auto nothing = [](StoredCall&) -> Result<bool> { return true; };
    switch (op) {
      case kAppendRaw:
        return code(store.append(Store::Space::kRaw));
      case kAppendCurated:
        return code(store.append(Store::Space::kCurated));
      case kScanRawMeta:
      case kScanRawBody:
        return code(store.scan(Store::Space::kRaw, scan, nothing));
      case kScanCuratedMeta:
      case kScanCuratedBody:
        return code(store.scan(Store::Space::kCurated, scan, nothing));
      case kSeal:
        return code(store.seal_file(dir_ / "artifacts" / "b.bin", "b", as_bytes("text")));
      case kOpenSealed:
        return code(store.open_sealed_file(dir_ / "artifacts" / "a.bin", "a"));
      case kTag:
        return code(store.content_tag("c", std::nullopt, 0));
      case kPseudonym:
        return code(store.pseudonym("source", "s"));
      case kSplit:
        return code(store.split_point("g"));
      case kSurrogate:
        return code(store.surrogate_bytes("x"));
      case kDigest:
        return code(store.keyed_digest("x"));
      case kAudit:
        return code(store.audit("export", "what"));
      case kOps:
        break;
    }
    return ErrorCode::kUnexpected;
  }
};

TEST_F(RolesTest, EachRoleFailsAtWhatItMayNotDo) {
  for (const Row& row : kMay) {
    auto store = open(row.role);
    ASSERT_OK(store);
    for (int op = 0; op < kOps; ++op) {
      const bool may = std::find(row.may.begin(), row.may.end(), static_cast<Op>(op)) != row.may.end();
      EXPECT_EQ(attempt(**store, static_cast<Op>(op)), may ? ErrorCode::kOk : ErrorCode::kWrongKey)
          << role_name(row.role) << ": " << kOpNames[op];
    }
  }
}

TEST_F(RolesTest, AKeyOfAnotherStoreOrRoleIsRefused) {
  const fs::path first = dir_, first_keys = keys_;
  dir_ = base_ / "other";
  keys_ = base_ / "other-keys";
  init();
  EXPECT_CODE(open_as(Role::kTrainer, first_keys), ErrorCode::kWrongKey);
  EXPECT_CODE(open_as(Role::kTrainer, keys_ / "curator.key"), ErrorCode::kWrongKey);
  EXPECT_CODE(open_as(Role::kTrainer, keys_ / "none.key"), ErrorCode::kWrongKey);
  ASSERT_OK(open_as(Role::kTrainer, keys_ / "trainer.key"));
}

// A role that changes the program can still only do what its keys do. What follows goes around every check of the
// program that isn't one of keys.
class Outlaw : public RolesTest {
 protected:
  Session session(Role role) {
    Databases db = open_databases(dir_, 1000).value();
    AdminLog admin = AdminLog::load(db.log).value();
    crypto::Identity self = load_identity(keys_ / (std::string(role_name(role)) + ".key")).value();
    const Id16 store = read_store_id(db.log, admin).value();
    const uint32_t seq = admin.find(self.pub)->seq;
    return make_session(
        {dir_, std::move(db), std::move(admin), store, std::move(self), seq, role, random_.get(), clock_.get()});
  }
};

TEST_F(Outlaw, NoKeyATrainerHoldsOpensARawFrame) {
  Session trainer = session(Role::kTrainer);
  const auto wraps = load_wraps(trainer.db.keys).value();
  const auto entries = read_entries(trainer.db.log, 1, 100).value();
  const auto raw =
      std::find_if(entries.begin(), entries.end(), [](const Entry& e) { return e.kind == EntryKind::kRaw; });
  ASSERT_NE(raw, entries.end());
  std::vector<KeyName> held;
  for (const Wrap& wrap : wraps) {
    auto opened =
        open_wrap(trainer.db.keys, trainer.admin, wrap.key, {trainer.self_seq, trainer.self.kem_secret.span()});
    if (opened) held.push_back(wrap.key);
    // Another's wrap, tried with this key all the same.
    if (wrap.recipient == trainer.self_seq) continue;
    const auto other = crypto::hpke_receiver(crypto::Aead::kAes256Gcm, trainer.self.kem_secret.span(), wrap.enc, {});
    ASSERT_OK(other);
    EXPECT_CODE(other->open(0, {}, wrap.sealed), ErrorCode::kIntegrity);
  }
  EXPECT_GE(held.size(), 3u);
  held.push_back({0, 0});  // its own identity key
  const auto seals = read_seals(trainer.db.log, raw->n).value();
  ASSERT_FALSE(seals.empty());
  for (const SealRow& seal : seals) {
    const EpochRecord& epoch = *trainer.admin.epoch(seal.partition, 1);
    Statement enc = trainer.db.keys.prepare("SELECT enc FROM encapsulations WHERE grp = ? AND partition = ?").value();
    ASSERT_TRUE(enc.bind(1, ByteSpan(seal.group)).bind(2, int64_t{what_of(seal.partition)}).step().value());
    const auto encapsulation = enc.fixed<32>(0, "").value();
    Statement frame = trainer.db.log.prepare("SELECT calls, sealed FROM frames WHERE frame = ?").value();
    ASSERT_TRUE(frame.bind(1, seal.seal << 16).step().value());
    const Bytes aad = frame_aad(context_of(*raw, seal), 0, frame.blob(0));
    for (const KeyName& key : held) {
      const ByteSpan secret = key.what == 0 ? trainer.self.kem_secret.span() : trainer.secret(key).value();
      const auto context = crypto::hpke_receiver(epoch.aead, secret, encapsulation, seal_info(trainer.admin, epoch));
      ASSERT_OK(context);
      EXPECT_CODE(context->open(0, aad, frame.blob(1)), ErrorCode::kIntegrity);
    }
  }
}

TEST_F(Outlaw, ARawBatchSignedByATrainerIsRejectedByReadersAndVerify) {
  {
    Session trainer = session(Role::kTrainer);
    Pending pending;
    pending.entry = new_entry(trainer, EntryKind::kAct, *random_).value();
    pending.entry.kind = EntryKind::kRaw;
    pending.entry.meta_epoch = pending.entry.body_epoch = 1;
    pending.entry.n_calls = 1;
    ContextColumns columns{
        trainer.store_id, pending.entry.batch, {}, Partition::kRawMeta, 1, 1, pending.entry.hour, {}};
    random_->fill(columns.group);
    const Bytes header = encode_header({"src_x", {}});
    const std::string meta = std::string(16, 'i') + "{}";
    const Piece metas[] = {{0, Slice::kHeader, {}, as_text(header)}, {0, 0, {}, meta}},
                bodies[] = {{0, 0, {}, "forged"}};
    pending.groups.push_back(seal_group(trainer.admin, {columns, {}, metas}, *random_).value());
    columns.partition = Partition::kRawBody;
    pending.groups.push_back(seal_group(trainer.admin, {columns, {}, bodies}, *random_).value());
    finish_leaves(pending);
    ASSERT_OK(write_pending(trainer, pending));
  }
  auto curator = open(Role::kCurator);
  ASSERT_OK(curator);
  EXPECT_CODE(read(**curator, Store::Space::kRaw, with_body()), ErrorCode::kIntegrity);
  EXPECT_CODE(verify_store(dir_), ErrorCode::kIntegrity);
}

TEST_F(Outlaw, AnEpochTheAdminDidntSignIsRefused) {
  // Whoever can write log.db appends an epoch of their own.
  {
    Session collector = session(Role::kCollector);
    const uint32_t n = collector.admin.n_entries();
    crypto::KemKeyPair mine = crypto::generate_kem_key(*random_);
    AdminEntry entry;
    entry.seq = n + 1;
    entry.prev = collector.admin.hash_of(n);
    entry.kind = AdminKind::kEpoch;
    entry.payload = {what_of(Partition::kRawBody)};
    put_u32(entry.payload, 2);
    put_u16(entry.payload, crypto::kKemX25519);
    put_u16(entry.payload, crypto::kKdfHkdfSha256);
    put_u16(entry.payload, static_cast<uint16_t>(crypto::Aead::kAes256Gcm));
    put_bytes(entry.payload, mine.pub);
    put_u32(entry.payload, collector.self_seq);
    entry.signature = crypto::sign(collector.self.sign_secret.span(), entry.signed_bytes()).value();
    Statement stmt = collector.db.log.prepare("INSERT INTO admin VALUES(?, ?, ?, ?, ?, ?)").value();
    stmt.bind(1, int64_t{entry.seq})
        .bind(2, ByteSpan(entry.prev))
        .bind(3, static_cast<int64_t>(entry.kind))
        .bind(4, entry.time_ms);
    ASSERT_OK(stmt.bind(5, ByteSpan(entry.payload)).bind(6, ByteSpan(entry.signature)).run());
  }
  EXPECT_CODE(open(Role::kCollector), ErrorCode::kIntegrity);
  EXPECT_CODE(Store::info(dir_), ErrorCode::kIntegrity);
  EXPECT_CODE(verify_store(dir_), ErrorCode::kIntegrity);
}

}  // namespace
}  // namespace slm::store
