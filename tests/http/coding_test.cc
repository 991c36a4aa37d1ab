// Content codings, on bytes that Python's gzip and zlib and zstd(1) made; br is a stored block written out by RFC 7932.
#include "http/coding.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "core/bytes.h"

namespace slm::http {
namespace {

std::string bytes_of(std::string_view hex) {
  const Bytes bytes = from_hex(hex).value();
  return std::string(as_text(bytes));
}

const std::string kText = "{\"a\":1}";
const std::string kGzip = bytes_of("1f8b0800000000000203ab564a54b232ac0500afac1b5607000000");
const std::string kZlib = bytes_of("789cab564a54b232ac0500082a0209");
const std::string kBare = bytes_of("ab564a54b232ac0500");
const std::string kBrotli = bytes_of("0b03807b2261223a317d03");
const std::string kZstd = bytes_of("28b52ffd04583900007b2261223a317d488bfc32");

TEST(Coding, UndoesWhatOtherProgramsMade) {
  EXPECT_EQ(decode("gzip", kGzip).value(), kText);
  EXPECT_EQ(decode("X-GZIP", kGzip).value(), kText);
  EXPECT_EQ(decode("deflate", kZlib).value(), kText);
  EXPECT_EQ(decode("deflate", kBare).value(), kText);
  EXPECT_EQ(decode("br", kBrotli).value(), kText);
  EXPECT_EQ(decode("zstd", kZstd).value(), kText);
  EXPECT_EQ(decode("identity", kText).value(), kText);
  EXPECT_EQ(decode("", kText).value(), kText);
  EXPECT_EQ(decode("gzip", kGzip + kGzip).value(), kText + kText);
  EXPECT_EQ(decode("gzip, identity , gzip", gzip(kGzip).value()).value(), kText);
}

TEST(Coding, RefusesDamagedUnfinishedAndUnknown) {
  for (const auto& [coding, data] :
       {std::pair<const char*, std::string>{"gzip", kGzip}, {"deflate", kZlib}, {"br", kBrotli}, {"zstd", kZstd}}) {
    EXPECT_FALSE(decode(coding, data.substr(0, data.size() - 2)).has_value()) << coding;
    EXPECT_TRUE(decode(coding, data.substr(0, data.size() - 2), {.partial = true}).has_value()) << coding;
    EXPECT_FALSE(decode(coding, "not compressed at all").has_value()) << coding;
    EXPECT_FALSE(decode(coding, "").has_value()) << coding;
  }
  EXPECT_FALSE(decode("compress", kText).has_value());
  EXPECT_FALSE(decode("gzip,gzip,gzip,gzip,gzip", kGzip).has_value());
}

TEST(Coding, ABombIsCutOff) {
  const std::string zeros(8 << 20, '\0');
  const std::string packed = gzip(zeros).value();
  EXPECT_LT(packed.size(), 10000u);
  EXPECT_FALSE(decode("gzip", packed, {.max_bytes = 4 << 20}).has_value());
  EXPECT_EQ(decode("gzip", packed, {.max_bytes = 8 << 20}).value(), zeros);
  std::string frame(ZSTD_compressBound(zeros.size()), '\0');
  frame.resize(ZSTD_compress(frame.data(), frame.size(), zeros.data(), zeros.size(), 3));
  EXPECT_FALSE(decode("zstd", frame, {.max_bytes = 4 << 20}).has_value());
}

}  // namespace
}  // namespace slm::http
