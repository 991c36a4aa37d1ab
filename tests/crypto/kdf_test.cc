// HMAC, HKDF, scrypt and Ed25519 against the examples of their RFCs.
#include "crypto/kdf.h"

#include <gtest/gtest.h>

#include "crypto/sign.h"

namespace slm::crypto {
namespace {

Bytes hex(std::string_view text) { return from_hex(text).value(); }

TEST(Kdf, HmacMatchesRfc4231) {
  EXPECT_EQ(to_hex(hmac_sha256(Bytes(20, 0x0b), {as_bytes("Hi There")})),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(hmac_sha256(as_bytes("Jefe"), {as_bytes("what do ya want "), as_bytes("for nothing?")})),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Kdf, HkdfMatchesRfc5869) {
  std::array<uint8_t, 32> prk;
  hkdf_extract(hex("000102030405060708090a0b0c"), {Bytes(22, 0x0b)}, prk);
  EXPECT_EQ(to_hex(prk), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  std::array<uint8_t, 42> okm;
  hkdf_expand(prk, {hex("f0f1f2f3f4f5f6f7f8f9")}, okm);
  EXPECT_EQ(to_hex(okm), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

TEST(Kdf, ScryptMatchesRfc7914) {
  std::array<uint8_t, 64> out;
  ASSERT_TRUE(scrypt(as_bytes("password"), as_bytes("NaCl"), {10, 8, 16}, out));
  EXPECT_EQ(to_hex(out),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a"
            "83ee6d8360"
            "cbdfa2cc0640");
  EXPECT_FALSE(scrypt(as_bytes("p"), as_bytes("s"), {30, 8, 1}, out));
}

TEST(Sign, MatchesRfc8032) {
  // Section 7.1, TEST 2.
  const Bytes secret = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
  const auto pub = sign_public(secret);
  ASSERT_TRUE(pub);
  EXPECT_EQ(to_hex(*pub), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const Bytes message = {0x72};
  const auto signature = sign(secret, message);
  ASSERT_TRUE(signature);
  EXPECT_EQ(to_hex(*signature),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4"
            "302aeeb00d"
            "291612bb0c00");
  EXPECT_TRUE(verify(*pub, message, *signature));
  EXPECT_FALSE(verify(*pub, Bytes{0x73}, *signature));
  EXPECT_FALSE(verify(*pub, message, ByteSpan(*signature).first(63)));
  for (size_t i = 0; i < signature->size(); ++i) {
    Signature changed = *signature;
    changed[i] ^= 1;
    EXPECT_FALSE(verify(*pub, message, changed)) << i;
  }
}

}  // namespace
}  // namespace slm::crypto
