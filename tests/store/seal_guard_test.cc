// No planted string in any file: the store, its artefacts, temporary files, keys under a passphrase. This file is also
// built against a crypto library whose AEAD is the identity; there every test in it must fail.
#include <fstream>
#include <iterator>

#include "core/file.h"
#include "store/keyring.h"
#include "store_fixture.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;
using testing::StoreTest;
using testing::TestCall;

class SealGuard : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    // Temporary files, if any were made, would lie where they are looked for.
    fs::create_directories(base_ / "tmp");
    setenv("TMPDIR", (base_ / "tmp").c_str(), 1);
    setenv("SQLITE_TMPDIR", (base_ / "tmp").c_str(), 1);
  }
  void TearDown() override {
    unsetenv("TMPDIR");
    unsetenv("SQLITE_TMPDIR");
    StoreTest::TearDown();
  }

  // Random bytes: what compression leaves as it is, so that only sealing can hide it.
  std::string plant(size_t size = 2000) {
    std::string out(size, '\0');
    random_->fill({reinterpret_cast<uint8_t*>(out.data()), out.size()});
    planted_.push_back(out);
    return out;
  }
  // What is to be searched for in the middle of each planted string.
  std::vector<std::string> found_in_files() {
    std::vector<std::string> hits;
    for (const auto& item : fs::recursive_directory_iterator(base_)) {
      if (!item.is_regular_file() || item.path().extension() == ".key") continue;
      std::ifstream in(item.path(), std::ios::binary);
      const std::string content((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
      ++n_files_;
      for (size_t i = 0; i < planted_.size(); ++i)
        if (content.find(planted_[i].substr(planted_[i].size() / 2, 12)) != std::string::npos)
          hits.push_back("planted string " + std::to_string(i) + " is in " + item.path().filename().string());
    }
    return hits;
  }

  std::vector<std::string> planted_;
  int n_files_ = 0;
};

TEST_F(SealGuard, NoPlantedStringInAnyFile) {
  init();
  const std::string source = plant(40);
  std::vector<TestCall> calls;
  for (int i = 0; i < 20; ++i) calls.push_back({source, plant(), plant(i == 7 ? 600000 : 2000)});
  {
    auto collector = open(Role::kCollector);
    ASSERT_OK(collector);
    ASSERT_OK(append(**collector, Store::Space::kRaw, calls));
  }
  {
    auto curator = open(Role::kCurator);
    ASSERT_OK(curator);
    ScanOptions options = with_body();
    options.purpose = plant(300);
    auto raw = read(**curator, Store::Space::kRaw, options);
    ASSERT_OK(raw);
    ASSERT_EQ(raw->size(), calls.size());
    std::vector<TestCall> curated;
    for (StoredCall& call : *raw) curated.push_back({call.source, call.meta, call.body, call.group});
    ASSERT_OK(append(**curator, Store::Space::kCurated, curated));
  }
  {
    auto trainer = open(Role::kTrainer);
    ASSERT_OK(trainer);
    ASSERT_OK((*trainer)->seal_file(dir_ / "artifacts" / "vocabulary.bin", "vocabulary", as_bytes(plant(300000))));
    ASSERT_OK((*trainer)->audit("export", plant(300)));
  }
  EXPECT_EQ(found_in_files(), std::vector<std::string>{});
  EXPECT_GE(n_files_, 5) << "log.db, keys.db, their WALs, an artefact";
}

TEST_F(SealGuard, NoPrivateKeyInAnyFileOfTheStore) {
  init();
  Databases db = open_databases(dir_, 1000).value();
  const AdminLog admin = AdminLog::load(db.log).value();
  const crypto::Identity recovery = load_identity(keys_ / "recovery.key").value();
  const uint32_t seq = admin.find(recovery.pub)->seq;
  for (const KeyName& key : admin.all_keys()) {
    const auto secret = open_wrap(db.keys, admin, key, {seq, recovery.kem_secret.span()});
    ASSERT_OK(secret);
    planted_.emplace_back(as_text(secret->span()));
  }
  EXPECT_EQ(planted_.size(), 11u) << "5 epochs and 6 fleet keys";
  EXPECT_EQ(found_in_files(), std::vector<std::string>{});
}

TEST_F(SealGuard, ChangedCiphertextIsNoticedByTheSealItself) {
  const Bytes key(32, 1), nonce(12, 2);
  Bytes sealed = crypto::aead_seal(crypto::Aead::kAes256Gcm, {key, nonce, {}}, as_bytes("text")).value();
  sealed[0] ^= 1;
  EXPECT_CODE(crypto::aead_open(crypto::Aead::kAes256Gcm, {key, nonce, {}}, sealed), ErrorCode::kIntegrity);
}

}  // namespace
}  // namespace slm::store
