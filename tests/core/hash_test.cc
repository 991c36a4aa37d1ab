#include "core/hash.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/file.h"

namespace slm {
namespace {

// FIPS 180-2, appendix B.
TEST(Hash, Sha256PublishedVectors) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Hash, PiecesAndFilesGiveTheSame) {
  Sha256 h;
  h.update("ab");
  h.update("c");
  EXPECT_EQ(h.finish(), sha256(as_bytes("abc")));
  const auto path = std::filesystem::temp_directory_path() / "slm_hash_test";
  ASSERT_TRUE(write_file_atomic(path, "abc"));
  EXPECT_EQ(*sha256_file(path), sha256(as_bytes("abc")));
  std::filesystem::remove(path);
  EXPECT_EQ(sha256_file(path).error().code, ErrorCode::kIo);
}

// Landon Noll's published FNV-1a 64 test values.
TEST(Hash, Fnv1aPublishedValues) {
  EXPECT_EQ(fnv1a(""), 0xcbf29ce484222325ULL);
  EXPECT_EQ(fnv1a("a"), 0xaf63dc4c8601ec8cULL);
  EXPECT_EQ(fnv1a("foobar"), 0x85944171f73967e8ULL);
}

}  // namespace
}  // namespace slm
