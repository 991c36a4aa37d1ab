// Keys made where they are used: the admin grants the public half, and the private one stays.
#include "store/requests.h"

#include <gtest/gtest.h>

#include "core/file.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store_fixture.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;
using testing::StoreTest;

class RequestsTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    init();
    ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"s", "{}", "body"}}));
    fs::create_directories(base_ / "there");
  }
  KeyRequest request(Role role = Role::kCurator) {
    KeyRequest out;
    out.fleet_of = dir_;
    out.role = role;
    out.key_file = base_ / "there" / "new.key";
    out.request_file = base_ / "there" / "request.json";
    out.random = random_.get();
    return out;
  }
  GrantRequest grant(Role role = Role::kCurator) {
    GrantRequest out;
    out.request_file = base_ / "there" / "request.json";
    out.role = role;
    out.admin_keys = keys_;
    out.random = random_.get();
    out.clock = clock_.get();
    return out;
  }
};

TEST_F(RequestsTest, AKeyMadeElsewhereOpensWhatItWasGranted) {
  const auto asked = request_key(request());
  ASSERT_OK(asked);
  EXPECT_EQ(asked->admin_fingerprint, Store::info(dir_)->admin_fingerprint);
  EXPECT_CODE(open_as(Role::kCurator, request().key_file), ErrorCode::kWrongKey);
  const crypto::Identity made = load_identity(request().key_file).value();
  const std::string text = read_file(request().request_file).value();
  for (const auto* secret : {&made.kem_secret, &made.sign_secret})
    EXPECT_EQ(text.find(to_hex(secret->span())), std::string::npos);
  GrantRequest options = grant();
  options.fingerprint = asked->fingerprint.substr(0, 8);
  const auto granted = grant_request(dir_, options);
  ASSERT_OK(granted);
  EXPECT_FALSE(granted->pending);
  EXPECT_EQ(granted->fingerprint, asked->fingerprint);
  const auto calls = read(*open_as(Role::kCurator, request().key_file).value(), Store::Space::kRaw, with_body());
  ASSERT_OK(calls);
  EXPECT_EQ(calls->size(), 1u);
  ASSERT_OK(verify_store(dir_));
  EXPECT_CODE(grant_request(dir_, grant()), ErrorCode::kUsage);
  ASSERT_OK(revoke_key(dir_, asked->fingerprint, {keys_, {}, random_.get(), clock_.get()}));
  EXPECT_CODE(open_as(Role::kCurator, request().key_file), ErrorCode::kWrongKey);
  EXPECT_CODE(grant_request(dir_, grant()), ErrorCode::kUsage);
}

TEST_F(RequestsTest, OverABundleWithoutTheStore) {
  const auto bundle = [&](const fs::path& out) {
    return make_bundle(dir_, {out, true, keys_, random_.get(), clock_.get()});
  };
  ASSERT_OK(bundle(base_ / "b"));
  ASSERT_OK(join_store(base_ / "joined", {base_ / "b", ""}));
  KeyRequest options = request(Role::kCollector);
  options.fleet_of = base_ / "b";
  options.admin_fingerprint = std::string(32, '0');
  EXPECT_CODE(request_key(options), ErrorCode::kWrongKey);
  EXPECT_FALSE(fs::exists(options.key_file));
  options.admin_fingerprint = Store::info(dir_)->admin_fingerprint;
  ASSERT_OK(request_key(options));
  ASSERT_OK(grant_request(dir_, grant(Role::kCollector)));
  ASSERT_OK(make_bundle(dir_, {base_ / "c", false, keys_, random_.get(), clock_.get()}));
  ASSERT_OK(update_store(base_ / "joined", base_ / "c", {keys_ / "auditor.key", {}, random_.get(), clock_.get()}));
  dir_ = base_ / "joined";
  auto collector = open_as(Role::kCollector, options.key_file);
  ASSERT_OK(collector);
  ASSERT_OK(append(**collector, Store::Space::kRaw, {{"s", "{}", "there"}}));
  ASSERT_OK(verify_store(dir_));
}

TEST_F(RequestsTest, WhatIsNotTheRequestThatWasMeantIsRefused) {
  EXPECT_CODE(request_key(request(Role::kAdmin)), ErrorCode::kUsage);
  ASSERT_OK(request_key(request()));
  EXPECT_CODE(request_key(request()), ErrorCode::kUsage);  // the files are there
  KeyRequest inside = request();
  inside.key_file = dir_ / "new.key";
  inside.request_file = base_ / "there" / "second.json";
  EXPECT_CODE(request_key(inside), ErrorCode::kUsage);
  const int64_t n_before = Store::info(dir_)->n_batches;
  EXPECT_CODE(grant_request(dir_, grant(Role::kTrainer)), ErrorCode::kUsage);
  EXPECT_CODE(grant_request(dir_, grant(Role::kAdmin)), ErrorCode::kUsage);
  for (const char* print : {"00000000", "0", "z"}) {
    GrantRequest options = grant();
    options.fingerprint = print;
    EXPECT_CODE(grant_request(dir_, options), ErrorCode::kWrongKey);
  }
  const std::string good = read_file(request().request_file).value();
  for (size_t at = 0; at + 1 < good.size(); ++at) {
    std::string bad = good;
    bad[at] = bad[at] == '0' ? '1' : '0';
    if (bad == good) continue;
    ASSERT_TRUE(write_file_atomic(request().request_file, bad));
    EXPECT_CODE(grant_request(dir_, grant()), ErrorCode::kBadInput);
  }
  for (const std::string& bad : {std::string(), std::string("{}"), std::string("[1]"), std::string(1 << 20, 'x')}) {
    ASSERT_TRUE(write_file_atomic(request().request_file, bad));
    EXPECT_CODE(grant_request(dir_, grant()), ErrorCode::kBadInput);
  }
  fs::remove(request().request_file);
  EXPECT_CODE(grant_request(dir_, grant()), ErrorCode::kIo);
  // Another fleet's.
  ASSERT_TRUE(write_file_atomic(request().request_file, good));
  const fs::path home = dir_;
  dir_ = base_ / "other";
  const fs::path keys = keys_;
  keys_ = base_ / "other-keys";
  init();
  EXPECT_CODE(grant_request(dir_, grant()), ErrorCode::kWrongKey);
  EXPECT_EQ(Store::info(home)->n_batches, n_before);
  keys_ = keys;
  ASSERT_OK(grant_request(home, grant()));
}

// The recovery key lay with someone who left: a new one takes over, and only then the old one goes.
TEST_F(RequestsTest, ARecoveryKeyIsReplaced) {
  const KeyOptions keys{keys_, {}, random_.get(), clock_.get()};
  const fs::path old_key = keys_ / "recovery.key", new_key = base_ / "there" / "recovery.key";
  const std::string old_print = load_identity(old_key)->pub.fingerprint();
  EXPECT_CODE(revoke_key(dir_, old_print, keys), ErrorCode::kUsage);
  GrantOptions options;
  options.out = new_key;
  options.admin_keys = keys_ / "admin.key";  // no holder at hand: pending
  options.random = random_.get();
  options.clock = clock_.get();
  const auto pending = grant_recovery(dir_, options);
  ASSERT_OK(pending);
  EXPECT_TRUE(pending->pending);
  EXPECT_CODE(revoke_key(dir_, old_print, keys), ErrorCode::kUsage);
  ASSERT_OK(rewrap_keys(dir_, keys));
  ASSERT_OK(verify_store(dir_));
  fs::rename(old_key, base_ / "old.key");
  const auto revoked = revoke_key(dir_, old_print, keys);
  ASSERT_OK(revoked);
  EXPECT_EQ(revoked->role, "recovery");
  EXPECT_EQ(revoked->new_keys.size(), 6u) << "five epochs and the pseudonym key";
  ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"s", "{}", "since"}}));
  ASSERT_OK(verify_store(dir_));
  EXPECT_CODE(revoke_key(dir_, pending->fingerprint, keys), ErrorCode::kUsage);

  // Every curator's key is lost: the new one gives back what was written before and since, the old one nothing.
  fs::remove(keys_ / "curator.key");
  options.role = Role::kCurator;
  options.out = base_ / "there" / "curator.key";
  options.more_keys = {base_ / "old.key"};
  EXPECT_CODE(grant_key(dir_, options), ErrorCode::kWrongKey);
  options.more_keys = {new_key};
  const auto granted = grant_key(dir_, options);
  ASSERT_OK(granted);
  EXPECT_FALSE(granted->pending);
  const auto calls = read(*open_as(Role::kCurator, options.out).value(), Store::Space::kRaw, with_body());
  ASSERT_OK(calls);
  EXPECT_EQ(calls->size(), 2u);
}

}  // namespace
}  // namespace slm::store
