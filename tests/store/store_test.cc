// What goes in comes out, for whom it should.
#include "store/store.h"

#include <algorithm>

#include "store_fixture.h"

namespace slm::store {
namespace {

using testing::StoreTest;
namespace fs = std::filesystem;
using testing::TestCall;

std::vector<TestCall> some_calls(int n, int n_sources) {
  std::vector<TestCall> out;
  for (int i = 0; i < n; ++i)
    out.push_back(
        {"source-" + std::to_string(i % n_sources), "{\"i\":" + std::to_string(i) + "}",
         "{\"body\":\"call number " + std::to_string(i) + std::string(static_cast<size_t>(i % 700), 'x') + "\"}"});
  return out;
}

TEST_F(StoreTest, WholeRoadFromCollectorToTrainer) {
  init();
  const auto calls = some_calls(1000, 7);
  {
    auto collector = open(Role::kCollector);
    ASSERT_OK(collector);
    EXPECT_EQ(append(**collector, Store::Space::kRaw, calls, {.batch_calls = 300}).value(), 1000);
    EXPECT_EQ(append(**collector, Store::Space::kRaw, calls).value(), 0) << "a second import adds none";
  }
  std::map<std::string, std::string> want;
  for (const TestCall& call : calls) want[call.body] = call.meta;
  {
    auto curator = open(Role::kCurator);
    ASSERT_OK(curator);
    auto raw = read(**curator, Store::Space::kRaw, with_body());
    ASSERT_OK(raw);
    ASSERT_EQ(raw->size(), calls.size());
    std::map<std::string, std::string> got;
    std::map<std::string, int> sources;
    std::vector<TestCall> curated;
    for (const StoredCall& call : *raw) {
      got[call.body] = call.meta;
      ++sources[call.source];
      curated.push_back({call.source, call.meta, call.body, call.group});
    }
    EXPECT_EQ(got, want);
    EXPECT_EQ(sources.size(), 7u);
    for (const auto& [source, n] : sources) EXPECT_TRUE(source.starts_with("src_")) << source;
    ASSERT_OK(append(**curator, Store::Space::kCurated, curated));
  }
  auto trainer = open(Role::kTrainer);
  ASSERT_OK(trainer);
  auto curated = read(**trainer, Store::Space::kCurated, with_body());
  ASSERT_OK(curated);
  std::map<std::string, std::string> got;
  for (const StoredCall& call : *curated) got[call.body] = call.meta;
  EXPECT_EQ(got, want);

  const fs::path file = dir_ / "artifacts" / "model.bin";
  const std::string secret = "vocabulary made from text";
  ASSERT_OK((*trainer)->seal_file(file, "cluster/model.bin", as_bytes(secret)));
  auto opened = (*trainer)->open_sealed_file(file, "cluster/model.bin");
  ASSERT_OK(opened);
  EXPECT_EQ(as_text(*opened), secret);
  EXPECT_CODE((*trainer)->open_sealed_file(file, "cluster/other.bin"), ErrorCode::kIntegrity);

  const Info info = Store::info(dir_).value();
  EXPECT_EQ(info.n_raw, 1000);
  EXPECT_EQ(info.n_curated, 1000);
}

TEST_F(StoreTest, LongCallsContinueInFurtherFrames) {
  init();
  std::vector<TestCall> calls;
  Prng prng(5);
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{262143}, size_t{262144}, size_t{262145}, size_t{1000000}, size_t{10}}) {
    std::string body(size, '\0');
    for (char& c : body) c = static_cast<char>(prng.next());
    calls.push_back({"s", "{}", body});
  }
  ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, calls));
  auto raw = read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body());
  ASSERT_OK(raw);
  ASSERT_EQ(raw->size(), calls.size());
  for (size_t i = 0; i < calls.size(); ++i) EXPECT_TRUE((*raw)[i].body == calls[i].body) << i;
  ASSERT_OK(verify_store(dir_));
}

TEST_F(StoreTest, ChosenCallsAndLaterBatches) {
  init();
  const auto calls = some_calls(900, 3);
  auto collector = open(Role::kCollector).value();
  auto curator = open(Role::kCurator).value();
  ASSERT_OK(append(*collector, Store::Space::kRaw, calls, {.batch_calls = 250}));
  auto all = read(*curator, Store::Space::kRaw, with_body());
  ASSERT_OK(all);
  std::vector<CallId> ids;
  std::vector<std::string> want;
  for (size_t i = 0; i < all->size(); i += 97) {
    ids.push_back((*all)[i].id);
    want.push_back((*all)[i].body);
  }
  ids.push_back(CallId{});  // not stored
  std::sort(ids.begin(), ids.end());
  ScanOptions chosen = with_body();
  chosen.only = &ids;
  for (const bool body : {true, false, true}) {
    chosen.body = body;
    auto some = read(*curator, Store::Space::kRaw, chosen);
    ASSERT_OK(some);
    ASSERT_EQ(some->size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ((*some)[i].body, body ? want[i] : "");
  }
  // Only what comes after.
  ScanOptions later = with_body();
  later.from_batch = curator->next_batch().value();
  EXPECT_EQ(read(*curator, Store::Space::kRaw, later)->size(), 0u);
  ASSERT_OK(append(*collector, Store::Space::kRaw, {{"s", "{}", "a later call"}}));
  auto news = read(*curator, Store::Space::kRaw, later);
  ASSERT_OK(news);
  ASSERT_EQ(news->size(), 1u);
  EXPECT_EQ((*news)[0].body, "a later call");
  // The index of chosen calls learns of it.
  ids = {(*news)[0].id};
  chosen.body = true;
  auto one = read(*curator, Store::Space::kRaw, chosen);
  ASSERT_OK(one);
  EXPECT_EQ(one->size(), 1u);
}

TEST_F(StoreTest, AVisitorMayAppendAndMayStop) {
  init();
  ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, some_calls(500, 4), {.batch_calls = 100}));
  auto curator = open(Role::kCurator).value();
  auto appender = curator->append(Store::Space::kCurated, {.batch_calls = 30});
  ASSERT_OK(appender);
  int n = 0;
  ASSERT_OK(curator->scan(Store::Space::kRaw, with_body(), [&](StoredCall& call) -> Result<bool> {
    NewCall next{call.id, call.tag, call.source, call.meta, call.body, call.group};
    SLM_CHECK((*appender)->add(std::move(next)));
    return ++n < 333;
  }));
  ASSERT_OK((*appender)->flush());
  EXPECT_EQ(n, 333);
  EXPECT_EQ(Store::info(dir_)->n_curated, 333);
  auto failed = curator->scan(Store::Space::kRaw, with_body(),
                              [](StoredCall&) -> Result<bool> { return fail(ErrorCode::kInterrupted, "stop"); });
  EXPECT_EQ(failed.error().code, ErrorCode::kInterrupted);
  // Curated calls keep the pseudonyms of their sources, and name their raw groups.
  auto raw = read(*curator, Store::Space::kRaw, {});
  auto curated = read(*curator, Store::Space::kCurated, {});
  ASSERT_TRUE(raw && curated);
  std::map<CallId, std::string> source;
  for (const StoredCall& call : *raw) source[call.id] = call.source;
  for (const StoredCall& call : *curated) EXPECT_EQ(call.source, source[call.id]);
  EXPECT_CODE(append(*curator, Store::Space::kCurated, {{"s", "{}", "b", "00112233445566778899aabbccddeeff"}}),
              ErrorCode::kBadInput);
  EXPECT_CODE(append(*curator, Store::Space::kCurated, {{"s", "{}", "b", "nonsense"}}), ErrorCode::kBadInput);
}

TEST_F(StoreTest, KeyedNamesAreStableAndDiffer) {
  init();
  auto a = open(Role::kCollector).value(), b = open(Role::kCurator).value(), c = open(Role::kTrainer).value();
  const std::string alice = a->pseudonym("source", "alice").value();
  EXPECT_EQ(alice, b->pseudonym("source", "alice").value());
  EXPECT_NE(alice, a->pseudonym("source", "bob").value());
  const std::string session = a->pseudonym("session", "alice").value();
  EXPECT_TRUE(alice.starts_with("src_") && session.starts_with("ses_"));
  EXPECT_NE(alice.substr(4), session.substr(4));
  EXPECT_EQ(a->keyed_digest("x").value(), c->keyed_digest("x").value());
  const auto tag = [&](std::string_view content, std::optional<int64_t> time_ms, uint64_t occurrence) {
    return to_hex(a->content_tag(content, time_ms, occurrence).value());
  };
  EXPECT_NE(tag("c", std::nullopt, 0), tag("c", std::nullopt, 1));
  EXPECT_NE(tag("c", std::nullopt, 0), tag("c", 0, 0));
  EXPECT_EQ(tag("c", 5000, 0), tag("c", 5999, 0)) << "times count by the second";
  EXPECT_NE(tag("c", 5000, 0), tag("c", 6000, 0));
  const double point = b->split_point("g").value();
  EXPECT_TRUE(point >= 0 && point < 1);
  EXPECT_NE(point, b->split_point("h").value());
  EXPECT_NE(a->new_call_id({}).value().hex(), a->new_call_id({}).value().hex());
}

TEST_F(StoreTest, DemoStoresAreReproducible) {
  const auto made = [&](const std::string& name, uint64_t seed) {
    dir_ = base_ / name;
    keys_ = base_ / (name + "-keys");
    init(seed);
    auto collector = open(Role::kCollector).value();
    EXPECT_TRUE(append(*collector, Store::Space::kRaw, some_calls(200, 3), {.batch_calls = 80}));
    auto raw = read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body());
    std::string all = collector->keyed_digest("x").value();
    for (const StoredCall& call : raw.value())
      all += call.id.hex() + to_hex(call.tag) + call.source + call.group + call.body;
    const Info info = Store::info(dir_).value();
    EXPECT_TRUE(info.demo);
    return all + info.head;
  };
  const std::string first = made("one", 7);
  EXPECT_EQ(first, made("two", 7)) << "ids, tags, groups, digests and the head of the trail";
  EXPECT_NE(first, made("three", 8));
  ASSERT_OK(verify_store(dir_));
}

TEST_F(StoreTest, DemoStoresTakeNoCallsByMistake) {
  init(7);
  const auto open_to_write = [&](Role role) {
    OpenOptions options;
    options.identity = keys_;
    options.role = role;
    options.write = true;
    options.random = random_.get();
    options.clock = clock_.get();
    return Store::open(dir_, options);
  };
  unsetenv("SLMCONV_DEMO");
  for (const Role role : {Role::kCollector, Role::kCurator}) {
    const auto refused = open_to_write(role);
    EXPECT_CODE(refused, ErrorCode::kWrongKey);
    EXPECT_NE(refused.error().hint.find("SLMCONV_DEMO=1"), std::string::npos);
  }
  ASSERT_OK(open_to_write(Role::kTrainer));
  ASSERT_OK(open(Role::kCurator));
  setenv("SLMCONV_DEMO", "1", 1);
  ASSERT_OK(append(*open_to_write(Role::kCollector).value(), Store::Space::kRaw, some_calls(3, 1)));
  unsetenv("SLMCONV_DEMO");
  EXPECT_EQ(read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body())->size(), 3u);
  dir_ = base_ / "real";
  keys_ = base_ / "real-keys";
  init();
  ASSERT_OK(open_to_write(Role::kCollector));
}

TEST_F(StoreTest, InitRefusesToOverwriteAndToMixKeysWithTheStore) {
  init();
  InitOptions options;
  options.random = random_.get();
  options.clock = clock_.get();
  options.keys_dir = base_ / "more-keys";
  EXPECT_CODE(init_store(dir_, options), ErrorCode::kUsage);
  EXPECT_FALSE(fs::exists(options.keys_dir)) << "a refused init leaves nothing";
  options.keys_dir = keys_;
  EXPECT_CODE(init_store(base_ / "second", options), ErrorCode::kUsage);
  EXPECT_FALSE(fs::exists(base_ / "second"));
  options.keys_dir = base_ / "second" / "keys";
  EXPECT_CODE(init_store(base_ / "second", options), ErrorCode::kUsage);
  options.keys_dir = base_ / "x" / ".." / "second" / "keys";
  EXPECT_CODE(init_store(base_ / "second", options), ErrorCode::kUsage);
  EXPECT_FALSE(fs::exists(base_ / "second"));
  int n = 0;
  for (const auto& item : fs::directory_iterator(keys_)) n += item.path().extension() == ".key";
  EXPECT_EQ(n, 6) << "the first store's keys are as they were";
  ASSERT_OK(open(Role::kTrainer));
}

// Does something once, at the first bytes asked for: what another process may do in the middle of an init.
class Meanwhile final : public Random {
 public:
  explicit Meanwhile(std::function<void()> act) : act_(std::move(act)) {}
  void fill(std::span<uint8_t> out) override {
    if (act_) std::exchange(act_, nullptr)();
    random_->fill(out);
  }

 private:
  std::function<void()> act_;
  std::unique_ptr<Random> random_ = os_random();
};

TEST_F(StoreTest, InitNeverReplacesAStoreMadeMeanwhile) {
  Meanwhile meanwhile([&] {
    init();
    ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, some_calls(5, 1)));
  });
  InitOptions options;
  options.keys_dir = base_ / "second" / "keys";
  options.random = &meanwhile;
  options.clock = clock_.get();
  EXPECT_CODE(init_store(dir_, options), ErrorCode::kUsage);
  EXPECT_EQ(read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body())->size(), 5u);
  EXPECT_FALSE(fs::exists(base_ / "second")) << "a failed init leaves no folder for keys";
  int n = 0;
  for ([[maybe_unused]] const auto& item : fs::directory_iterator(base_)) ++n;
  EXPECT_EQ(n, 2) << "the store and its keys";
}

TEST_F(StoreTest, InitKeepsTheDefaultKeysOutOfTheStore) {
  InitOptions options;
  options.random = random_.get();
  options.clock = clock_.get();
  const char* const before = std::getenv("XDG_CONFIG_HOME");
  const std::string kept = before == nullptr ? "" : before;
  setenv("XDG_CONFIG_HOME", base_.c_str(), 1);
  EXPECT_CODE(init_store(base_ / "slmconv", options), ErrorCode::kUsage);
  EXPECT_FALSE(fs::exists(base_ / "slmconv"));
  ASSERT_OK(init_store(dir_, options));
  EXPECT_EQ(open_as(Role::kTrainer, "").has_value(), true);
  before == nullptr ? unsetenv("XDG_CONFIG_HOME") : setenv("XDG_CONFIG_HOME", kept.c_str(), 1);
}

TEST_F(StoreTest, InitTakesAnyWayOfNamingAFolder) {
  const auto make = [&](const fs::path& dir, const fs::path& keys) {
    InitOptions options;
    options.keys_dir = keys;
    options.random = random_.get();
    options.clock = clock_.get();
    return init_store(dir, options);
  };
  fs::create_directories(base_ / "cwd" / "empty");
  fs::create_directory_symlink(base_ / "cwd", base_ / "link");
  const fs::path before = fs::current_path();
  fs::current_path(base_ / "cwd" / "empty");
  EXPECT_CODE(make(".", base_ / "k"), ErrorCode::kUsage);
  EXPECT_CODE(make("../../link/empty/", base_ / "k"), ErrorCode::kUsage);
  fs::current_path(base_ / "cwd");
  ASSERT_OK(make("empty/.", base_ / "k1"));
  ASSERT_OK(make("../link/new/", base_ / "k2"));
  fs::current_path(before);
  EXPECT_TRUE(fs::exists(base_ / "cwd" / "empty" / "log.db"));
  EXPECT_TRUE(fs::exists(base_ / "cwd" / "new" / "log.db"));

  const fs::path too_long = base_ / std::string(300, 'a');
  EXPECT_CODE(make(base_ / "third", too_long), ErrorCode::kIo);
  EXPECT_CODE(make(too_long, base_ / "k3"), ErrorCode::kIo);
  EXPECT_CODE(make("", base_ / "k3"), ErrorCode::kUsage);
  EXPECT_FALSE(fs::exists(base_ / "third") || fs::exists(base_ / "k") || fs::exists(base_ / "k3"));
  GrantOptions grant;
  grant.out = too_long;
  grant.admin_keys = base_ / "k1";
  grant.random = random_.get();
  grant.clock = clock_.get();
  EXPECT_CODE(grant_key(base_ / "cwd" / "new", grant), ErrorCode::kIo);
}

TEST_F(StoreTest, KeysUnderAPassphraseOpenWithIt) {
  InitOptions options;
  options.keys_dir = keys_;
  options.passphrase = "correct horse";
  options.scrypt_log2_n = 4;
  options.random = random_.get();
  options.clock = clock_.get();
  ASSERT_OK(init_store(dir_, options));
  std::ofstream(base_ / "right") << "correct horse\n";
  std::ofstream(base_ / "wrong") << "battery staple\n";
  setenv("SLMCONV_PASSPHRASE_FILE", (base_ / "right").c_str(), 1);
  ASSERT_OK(open(Role::kTrainer));
  setenv("SLMCONV_PASSPHRASE_FILE", (base_ / "wrong").c_str(), 1);
  EXPECT_CODE(open(Role::kTrainer), ErrorCode::kWrongKey);
  unsetenv("SLMCONV_PASSPHRASE_FILE");
}

TEST_F(StoreTest, AKeyThatOthersMayReadIsRefused) {
  init();
  const fs::path key = keys_ / "curator.key";
  GrantOptions grant;
  grant.role = Role::kTrainer;
  grant.out = base_ / "more.key";
  grant.admin_keys = keys_;
  grant.random = random_.get();
  grant.clock = clock_.get();
  for (const auto perms : {fs::perms::group_read, fs::perms::others_read, fs::perms::group_write}) {
    fs::permissions(key, perms, fs::perm_options::add);
    const auto opened = open(Role::kCurator);
    EXPECT_CODE(opened, ErrorCode::kWrongKey);
    EXPECT_EQ(opened.error().hint, "chmod 600 " + key.string());
    EXPECT_CODE(grant_key(dir_, grant), ErrorCode::kWrongKey);
    ASSERT_OK(open(Role::kTrainer));
    fs::permissions(key, fs::perms::owner_read | fs::perms::owner_write, fs::perm_options::replace);
    ASSERT_OK(open(Role::kCurator));
  }
  ASSERT_OK(grant_key(dir_, grant));
}

TEST_F(StoreTest, GrantedKeysOpenWhatTheirRoleMay) {
  init();
  ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, some_calls(5, 1)));
  const auto grant = [&](Role role, const std::string& name, const fs::path& from) {
    GrantOptions options;
    options.role = role;
    options.out = base_ / name;
    options.admin_keys = from;
    options.random = random_.get();
    options.clock = clock_.get();
    return grant_key(dir_, options);
  };
  const auto second = grant(Role::kCurator, "second.key", keys_);
  ASSERT_OK(second);
  EXPECT_FALSE(second->pending);
  auto curator = open_as(Role::kCurator, base_ / "second.key");
  ASSERT_OK(curator);
  EXPECT_EQ(read(**curator, Store::Space::kRaw, with_body())->size(), 5u);
  ASSERT_OK(append(**curator, Store::Space::kCurated, {{"s", "{}", "b"}}));
  // With the admin's key alone there is nobody to rewrap what the role opens.
  const auto pending = grant(Role::kTrainer, "third.key", keys_ / "admin.key");
  ASSERT_OK(pending);
  EXPECT_TRUE(pending->pending);
  EXPECT_CODE(read(*open_as(Role::kTrainer, base_ / "third.key").value(), Store::Space::kCurated, with_body()),
              ErrorCode::kWrongKey);
  EXPECT_CODE(grant(Role::kTrainer, "fourth.key", keys_ / "curator.key"), ErrorCode::kWrongKey);
  EXPECT_CODE(grant(Role::kTrainer, "second.key", keys_), ErrorCode::kUsage);
  EXPECT_CODE(grant(Role::kAdmin, "fifth.key", keys_), ErrorCode::kUsage);
  EXPECT_CODE(grant(Role::kTrainer, "store/in.key", keys_), ErrorCode::kUsage);
  ASSERT_OK(verify_store(dir_));

  const auto rows = list_keys(dir_);
  ASSERT_OK(rows);
  std::map<std::string, std::vector<std::string>> opens;
  for (const KeyRow& row : *rows) opens[row.role + " " + row.fingerprint].push_back(row.partition);
  EXPECT_EQ(opens.size(), 8u) << "six of init, two granted";
  const std::vector<std::string> curators = {"raw-meta", "raw-body", "curated-meta"};
  EXPECT_EQ(opens["curator " + second->fingerprint], curators);
  EXPECT_EQ(opens["trainer " + pending->fingerprint], std::vector<std::string>{""});
}

}  // namespace
}  // namespace slm::store
