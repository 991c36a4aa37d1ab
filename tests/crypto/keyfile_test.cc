#include "crypto/keyfile.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"

namespace slm::crypto {
namespace {

namespace fs = std::filesystem;

class KeyFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("slm_keyfile_test_" + std::to_string(getpid()));
    fs::create_directories(dir_);
    identity_ = generate_identity(*random_);
    identity_.role = "trainer";
    identity_.fleet.fill(7);
    identity_.admin = "00112233445566778899aabbccddeeff";
  }
  void TearDown() override { fs::remove_all(dir_); }

  static AskPassphrase answer(std::string text) {
    return [text = std::move(text)]() -> Result<SecretBytes> { return SecretBytes::copy_of(as_bytes(text)); };
  }
  // Low cost: the strength of scrypt isn't what is tested.
  Status write(const fs::path& path, std::string_view passphrase) {
    return write_key_file(path, identity_, {as_bytes(passphrase), {4, 8, 1}, random_.get()});
  }
  ErrorCode code_of(const fs::path& path, std::string passphrase = "right") {
    auto read = read_key_file(path, answer(std::move(passphrase)));
    return read ? ErrorCode::kOk : read.error().code;
  }
  void rewrite(const fs::path& path, const std::string& from, const std::string& to) {
    std::string text = read_file(path).value();
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    ASSERT_TRUE(write_file_atomic(path, text, 0600));
  }

  fs::path dir_;
  std::unique_ptr<Random> random_ = seeded_random(3);
  Identity identity_;
};

TEST_F(KeyFileTest, RoundTripWithAndWithoutPassphrase) {
  for (const char* passphrase : {"", "right"}) {
    const fs::path path = dir_ / (std::string("k") + passphrase);
    ASSERT_TRUE(write(path, passphrase));
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    auto read = read_key_file(path, answer("right"));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->role, "trainer");
    EXPECT_EQ(read->fleet, identity_.fleet);
    EXPECT_EQ(read->admin, identity_.admin);
    EXPECT_EQ(read->pub, identity_.pub);
    EXPECT_TRUE(equal_constant_time(read->kem_secret.span(), identity_.kem_secret.span()));
    EXPECT_TRUE(equal_constant_time(read->sign_secret.span(), identity_.sign_secret.span()));
  }
}

TEST_F(KeyFileTest, APassphraseHidesTheSecret) {
  ASSERT_TRUE(write(dir_ / "k", "right"));
  const std::string text = read_file(dir_ / "k").value();
  EXPECT_EQ(text.find(to_hex(identity_.kem_secret.span())), std::string::npos);
  EXPECT_EQ(text.find(to_hex(identity_.sign_secret.span())), std::string::npos);
}

TEST_F(KeyFileTest, RefusesAWrongPassphraseAndChangedLines) {
  ASSERT_TRUE(write(dir_ / "k", "right"));
  EXPECT_EQ(code_of(dir_ / "k", "wrong"), ErrorCode::kWrongKey);
  rewrite(dir_ / "k", "role trainer", "role curator");
  EXPECT_EQ(code_of(dir_ / "k"), ErrorCode::kWrongKey) << "the clear lines are associated data";
}

TEST_F(KeyFileTest, RefusesHalvesThatDontBelongTogether) {
  ASSERT_TRUE(write(dir_ / "k", ""));
  const Identity other = generate_identity(*random_);
  rewrite(dir_ / "k", "ed25519 " + to_hex(identity_.pub.sign), "ed25519 " + to_hex(other.pub.sign));
  EXPECT_EQ(code_of(dir_ / "k"), ErrorCode::kWrongKey);
}

TEST_F(KeyFileTest, NeverOverwrites) {
  ASSERT_TRUE(write(dir_ / "k", ""));
  EXPECT_EQ(write(dir_ / "k", "").error().code, ErrorCode::kUsage);
}

TEST_F(KeyFileTest, RefusesOtherFiles) {
  const auto code_of_text = [&](std::string_view text) {
    EXPECT_TRUE(write_file_atomic(dir_ / "other", text, 0600));
    return code_of(dir_ / "other");
  };
  EXPECT_EQ(code_of_text(""), ErrorCode::kBadInput);
  EXPECT_EQ(code_of_text("hello\n"), ErrorCode::kBadInput);
  EXPECT_EQ(code_of_text("slmconv-key 2\n"), ErrorCode::kFormatTooNew);
  EXPECT_EQ(code_of_text("slmconv-key 1\nrole trainer\n"), ErrorCode::kBadInput);
  EXPECT_EQ(code_of_text(std::string(10000, 'x')), ErrorCode::kBadInput);
  EXPECT_EQ(code_of(dir_ / "missing"), ErrorCode::kIo);

  ASSERT_TRUE(write(dir_ / "k", "right"));
  const std::string good = read_file(dir_ / "k").value();
  for (size_t cut = 0; cut < good.size(); cut += 17)
    EXPECT_NE(code_of_text(good.substr(0, cut)), ErrorCode::kOk) << cut;
  rewrite(dir_ / "k", "scrypt 4 8 1", "scrypt 40 8 1");
  EXPECT_EQ(code_of(dir_ / "k"), ErrorCode::kBadInput) << "a cost that would eat all memory";
}

TEST_F(KeyFileTest, PassphraseComesFromAFileThatTheEnvironmentNames) {
  ASSERT_TRUE(write_file_atomic(dir_ / "pass", "right\nsecond line\n", 0600));
  setenv("SLMCONV_PASSPHRASE_FILE", (dir_ / "pass").c_str(), 1);
  auto found = find_passphrase({}, "");
  unsetenv("SLMCONV_PASSPHRASE_FILE");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(as_text(found->span()), "right");
  EXPECT_EQ(find_passphrase(dir_ / "none", "").error().code, ErrorCode::kIo);
  ASSERT_TRUE(write_file_atomic(dir_ / "empty", "\n", 0600));
  EXPECT_EQ(find_passphrase(dir_ / "empty", "").error().code, ErrorCode::kWrongKey);
}

TEST(Secret, MovesAndNeverCopies) {
  static_assert(!std::is_copy_constructible_v<SecretBytes> && !std::is_copy_constructible_v<SecretArray<32>>);
  SecretBytes a = SecretBytes::copy_of(Bytes{1, 2, 3});
  const uint8_t* place = a.data();
  SecretBytes b = std::move(a);
  EXPECT_EQ(b.data(), place);
  EXPECT_EQ(b.size(), 3u);
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): what a move leaves is the point
  SecretArray<4> c;
  c.data()[0] = 9;
  SecretArray<4> d = std::move(c);
  EXPECT_EQ(d.data()[0], 9);
  EXPECT_EQ(c.data()[0], 0);  // NOLINT(bugprone-use-after-move)
}

}  // namespace
}  // namespace slm::crypto
