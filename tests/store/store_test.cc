// What goes in comes out, for whom it should.
#include "store/store.h"

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

}  // namespace
}  // namespace slm::store
