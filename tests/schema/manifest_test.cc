#include "schema/manifest.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/file.h"
#include "schema/artifacts.h"

namespace slm {
namespace {

namespace fs = std::filesystem;

Manifest sample() {
  Manifest m;
  m.step = "cluster";
  m.seed = 3;
  m.config = {{"k", 5}};
  m.inputs = {{"curated", "abc"}};
  m.outputs = {{"map.bin", "def"}};
  m.n_in = 10;
  m.n_out = 8;
  m.dropped = {{"hci", 2}};
  m.summary = {{"tasks", json::array{}}};
  m.made_ms = 1795364754000;
  m.id = m.digest().substr(0, 16);
  return m;
}

class ManifestTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("slm_manifest_test_" + std::to_string(getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  fs::path dir_;
};

TEST_F(ManifestTest, AMissingResultSaysTheCommandThatMakesIt) {
  for (const auto& [step, command] : {std::pair{"scrub", "slmconv scrub"},
                                      {"cluster", "slmconv cluster --k auto"},
                                      {"finetune", "slmconv finetune --all --lora"}}) {
    const auto current = read_current(dir_, step);
    ASSERT_FALSE(current);
    EXPECT_EQ(current.error().hint, command);
  }
}

TEST_F(ManifestTest, RoundTrip) {
  ASSERT_TRUE(write_manifest(dir_, sample()));
  const auto back = read_manifest(dir_);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->digest(), sample().digest());
  EXPECT_EQ(back->made_ms, sample().made_ms);
}

TEST_F(ManifestTest, TimesAndDeviceAreNotPartOfTheDigest) {
  auto m = sample();
  m.made_ms += 5;
  m.seconds = 9;
  m.device = "cuda";
  EXPECT_EQ(m.digest(), sample().digest());
  m.seed = 4;
  EXPECT_NE(m.input_digest(), sample().input_digest());
}

TEST_F(ManifestTest, CountsMustAddUp) {
  auto m = sample();
  m.dropped["other"] = 1;
  EXPECT_FALSE(write_manifest(dir_, m));
  EXPECT_FALSE(fs::exists(dir_ / "manifest.json"));
}

TEST_F(ManifestTest, AChangedManifestIsRefused) {
  ASSERT_TRUE(write_manifest(dir_, sample()));
  auto text = *read_file(dir_ / "manifest.json");
  text.replace(text.find("\"k\": 5"), 6, "\"k\": 6");
  ASSERT_TRUE(write_file_atomic(dir_ / "manifest.json", text));
  EXPECT_EQ(read_manifest(dir_).error().code, ErrorCode::kManifestMismatch);
  text.replace(text.find("\"schema\": 1"), 11, "\"schema\": 9");
  ASSERT_TRUE(write_file_atomic(dir_ / "manifest.json", text));
  EXPECT_EQ(read_manifest(dir_).error().code, ErrorCode::kFormatTooNew);
}

TEST_F(ManifestTest, CurrentArtefactAndUnchanged) {
  const auto m = sample();
  EXPECT_EQ(read_current(dir_, "cluster").error().code, ErrorCode::kManifestMismatch);
  ASSERT_TRUE(make_dirs(artifact_dir(dir_, "cluster", m.id)));
  ASSERT_TRUE(write_manifest(artifact_dir(dir_, "cluster", m.id), m));
  ASSERT_TRUE(set_current(dir_, "cluster", m.id));
  EXPECT_TRUE(unchanged(dir_, m));
  auto other = m;
  other.inputs["curated"] = "xyz";
  EXPECT_FALSE(unchanged(dir_, other));
  ASSERT_TRUE(set_current(dir_, "finetune", "a1", "t02"));
  ASSERT_TRUE(set_current(dir_, "finetune", "a0", "t01"));
  EXPECT_EQ(current_keys(dir_, "finetune"), (std::vector<std::string>{"t01", "t02"}));
  EXPECT_EQ(current_artifact(dir_, "finetune", "t02"), "a1");
}

}  // namespace
}  // namespace slm
