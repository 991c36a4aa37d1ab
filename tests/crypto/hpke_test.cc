// HPKE against two outside oracles.
#include "crypto/hpke.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <optional>

#include "core/bytes.h"
#include "core/random.h"

namespace slm::crypto {
namespace {

struct Vector {
  const char* name;
  Aead aead;
  const char *key, *base_nonce;  // null where the oracle doesn't show them
  struct {
    uint64_t seq;
    const char* sealed;
  } messages[6];
  const char* exports[3];  // for the contexts "", 00, "TestContext"; 32 bytes each
};

// Same ikmE, ikmR, info, plaintext and associated data ("Count-<seq>") in both.
constexpr const char* kIkmE = "7268600d403fce431561aef583ee1613527cff655c1343f29812e66706df3234";
constexpr const char* kIkmR = "6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037";
constexpr const char* kSkE = "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736";
constexpr const char* kSkR = "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8";
constexpr const char* kPkR = "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d";
constexpr const char* kEnc = "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431";
constexpr const char* kInfo = "4f6465206f6e2061204772656369616e2055726e";
constexpr const char* kPlaintext = "4265617574792069732074727574682c20747275746820626561757479";

const Vector kVectors[] = {
    // RFC 9180, appendix A.1.1.
    {"X25519, HKDF-SHA256, AES-128-GCM",
     Aead::kAes128Gcm,
     "4531685d41d65f03dc48f6b8302c05b0",
     "56d890e5accaaf011cff4b7d",
     {{0, "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"},
      {1, "af2d7e9ac9ae7e270f46ba1f975be53c09f8d875bdc8535458c2494e8a6eab251c03d0c22a56b8ca42c2063b84"},
      {2, "498dfcabd92e8acedc281e85af1cb4e3e31c7dc394a1ca20e173cb72516491588d96a19ad4a683518973dcc180"},
      {4, "583bd32bc67a5994bb8ceaca813d369bca7b2a42408cddef5e22f880b631215a09fc0012bc69fccaa251c0246d"},
      {255, "7175db9717964058640a3a11fb9007941a5d1757fda1a6935c805c21af32505bf106deefec4a49ac38d71c9e0a"},
      {256, "957f9800542b0b8891badb026d79cc54597cb2d225b54c00c5238c25d05c30e3fbeda97d2e0e1aba483a2df9f2"}},
     {"3853fe2b4035195a573ffc53856e77058e15d9ea064de3e59f4961d0095250ee",
      "2e8f0b54673c7029649d4eb9d5e33bf1872cf76d623ff164ac185da9e88c21a5",
      "e9e43065102c3836401bed8c3c3c75ae46be1639869391d62c61f1ec7af54931"}},
    // Computed by PyPI's pyhpke 0.6.5 (over cryptography 50.0.2) from the same inputs: the RFC prints none for this
    // suite.
    {"X25519, HKDF-SHA256, AES-256-GCM",
     Aead::kAes256Gcm,
     nullptr,
     nullptr,
     {{0, "090b7dc225419f7da9e8b460becfbb96a26c7964d79b8010d397fa838530a32a397b14f5776db19ff5e57734e0"},
      {1, "05cbb27ea0f48fa8768a10c9f2f1438233f63104bf68d51abf26f0aae2c62a449d5cf7e8b73791a4e55d79b650"},
      {2, "56f9fdcb5de345e7dbc3407f703e672d2a4c09f4da82cc589e1e4bc8c68670d612f7e665e17ef5e223f4c8bcd1"},
      {4, "17bbbe8162171889fd0c163f29a899169d3429ba22a543bcf473cd1342c6191f89a230f3f80fd90c455af4ca4a"},
      {255, "f46b9a1196145cc5b82c5ddc8b4cae5b2770e67fa9284e6638817518af227a08dbfca9ce1135feb41bfee6b354"},
      {256, "deecef626e8f18180520c11b95a099c4298da17c0c6fd78586c3afd8923ae7f089923c75d43609b67b11f4afb0"}},
     {"b3cb4482e97308bc89417db5e7ba95b65008991adf2e60716d5b489538534f5f",
      "f614b164ecb23313ddc5f376fd91e2c1b484d85597a3b6eeb160f06d9864fb67",
      "a1f0b0587d1a613ebc7719b3c66272251beccc161f139aeec40ec11053530e26"}},
};

Bytes hex(const char* text) { return from_hex(text).value(); }

TEST(Hpke, DeriveKeyPairMatchesTheRfc) {
  auto ephemeral = derive_kem_key(hex(kIkmE));
  auto recipient = derive_kem_key(hex(kIkmR));
  ASSERT_TRUE(ephemeral && recipient);
  EXPECT_EQ(to_hex(ephemeral->secret.span()), kSkE);
  EXPECT_EQ(to_hex(ephemeral->pub), kEnc);
  EXPECT_EQ(to_hex(recipient->secret.span()), kSkR);
  EXPECT_EQ(to_hex(recipient->pub), kPkR);
}

TEST(Hpke, MatchesPublishedVectors) {
  const KemKeyPair recipient = derive_kem_key(hex(kIkmR)).value();
  for (const Vector& v : kVectors) {
    SCOPED_TRACE(v.name);
    auto sender = hpke_sender(v.aead, recipient.pub, hex(kInfo), hex(kIkmE));
    ASSERT_TRUE(sender);
    EXPECT_EQ(to_hex(sender->enc), kEnc);
    if (v.key != nullptr) {
      EXPECT_EQ(to_hex(sender->context.key()), v.key);
      EXPECT_EQ(to_hex(sender->context.base_nonce()), v.base_nonce);
    }
    auto receiver = hpke_receiver(v.aead, recipient.secret.span(), sender->enc, hex(kInfo));
    ASSERT_TRUE(receiver);
    for (const auto& message : v.messages) {
      while (sender->context.next_seq() < message.seq) ASSERT_TRUE(sender->context.seal({}, {}));
      const std::string aad = "Count-" + std::to_string(message.seq);
      auto sealed = sender->context.seal(as_bytes(aad), hex(kPlaintext));
      ASSERT_TRUE(sealed);
      EXPECT_EQ(to_hex(*sealed), message.sealed) << "seq " << message.seq;
      auto opened = receiver->open(message.seq, as_bytes(aad), hex(message.sealed));
      ASSERT_TRUE(opened) << "seq " << message.seq;
      EXPECT_EQ(to_hex(*opened), kPlaintext);
    }
    const Bytes contexts[] = {{}, {0}, hex("54657374436f6e74657874")};
    for (size_t i = 0; i < 3; ++i) {
      std::array<uint8_t, 32> out;
      receiver->export_secret(contexts[i], out);
      EXPECT_EQ(to_hex(out), v.exports[i]) << "export " << i;
    }
  }
}

// scripts/interop/hpke.sh: what pyhpke sealed a moment ago opens here, and what is sealed here goes back to it.
TEST(Hpke, AgreesWithAFreshRunOfPyhpke) {
  const char* const theirs = std::getenv("SLMCONV_INTEROP_HPKE");
  if (theirs == nullptr) GTEST_SKIP() << "scripts/interop/hpke.sh runs this";
  std::ifstream in(theirs);
  std::ofstream out(std::getenv("SLMCONV_INTEROP_HPKE_OUT"));
  const auto field = [](const std::string& text) { return text == "-" ? Bytes{} : from_hex(text).value(); };
  const auto text = [](ByteSpan bytes) { return bytes.empty() ? std::string("-") : to_hex(bytes); };
  std::string secret, info, ikm, enc, aad, plain, sealed, exporter, exported;
  uint64_t seq = 0;
  int n = 0;
  std::optional<HpkeSender> again, fresh;
  while (in >> secret >> info >> ikm >> enc >> seq >> aad >> plain >> sealed >> exporter >> exported) {
    const KemPublicKey pub = kem_public(field(secret)).value();
    if (seq == 0) {
      again.emplace(hpke_sender(Aead::kAes256Gcm, pub, field(info), field(ikm)).value());
      std::array<uint8_t, 32> other;
      os_random()->fill(other);
      fresh.emplace(hpke_sender(Aead::kAes256Gcm, pub, field(info), other).value());
    }
    Encapsulation encapsulation;
    const Bytes enc_bytes = field(enc);
    ASSERT_EQ(enc_bytes.size(), encapsulation.size());
    std::copy(enc_bytes.begin(), enc_bytes.end(), encapsulation.begin());
    EXPECT_EQ(again->enc, encapsulation);
    EXPECT_EQ(to_hex(again->context.seal(field(aad), field(plain)).value()), sealed);
    const auto receiver = hpke_receiver(Aead::kAes256Gcm, field(secret), encapsulation, field(info)).value();
    const auto opened = receiver.open(seq, field(aad), field(sealed));
    ASSERT_TRUE(opened);
    EXPECT_EQ(text(*opened), plain);
    std::array<uint8_t, 32> secret_out;
    receiver.export_secret(field(exporter), secret_out);
    EXPECT_EQ(to_hex(secret_out), exported);
    const Bytes mine = fresh->context.seal(field(aad), field(plain)).value();
    fresh->context.export_secret(field(exporter), secret_out);
    out << secret << ' ' << info << " - " << to_hex(fresh->enc) << ' ' << seq << ' ' << aad << ' ' << plain << ' '
        << to_hex(mine) << ' ' << exporter << ' ' << to_hex(secret_out) << '\n';
    ++n;
  }
  EXPECT_GE(n, 40);
}

TEST(Hpke, RefusesWhatWasChanged) {
  const KemKeyPair recipient = derive_kem_key(hex(kIkmR)).value();
  const KemKeyPair other = derive_kem_key(hex(kIkmE)).value();
  HpkeSender sender = hpke_sender(Aead::kAes256Gcm, recipient.pub, hex(kInfo), hex(kIkmE)).value();
  const Bytes aad = {1, 2, 3}, text = {4, 5, 6};
  const Bytes sealed = sender.context.seal(aad, text).value();
  const auto code = [&](ByteSpan secret, ByteSpan info, uint64_t seq, ByteSpan with_aad, ByteSpan bytes) {
    auto receiver = hpke_receiver(Aead::kAes256Gcm, secret, sender.enc, info);
    if (!receiver) return receiver.error().code;
    auto opened = receiver->open(seq, with_aad, bytes);
    return opened ? ErrorCode::kOk : opened.error().code;
  };
  const Bytes info = hex(kInfo), other_info = {9};
  EXPECT_EQ(code(recipient.secret.span(), info, 0, aad, sealed), ErrorCode::kOk);
  EXPECT_EQ(code(other.secret.span(), info, 0, aad, sealed), ErrorCode::kIntegrity);
  EXPECT_EQ(code(recipient.secret.span(), other_info, 0, aad, sealed), ErrorCode::kIntegrity);
  EXPECT_EQ(code(recipient.secret.span(), info, 1, aad, sealed), ErrorCode::kIntegrity);
  EXPECT_EQ(code(recipient.secret.span(), info, 0, text, sealed), ErrorCode::kIntegrity);
  EXPECT_EQ(code(recipient.secret.span(), info, 0, aad, ByteSpan(sealed).first(10)), ErrorCode::kIntegrity);
  for (size_t i = 0; i < sealed.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      Bytes flipped = sealed;
      flipped[i] ^= static_cast<uint8_t>(1 << bit);
      EXPECT_EQ(code(recipient.secret.span(), info, 0, aad, flipped), ErrorCode::kIntegrity);
    }
}

TEST(Hpke, RefusesAKeyOfLowOrder) {
  const KemPublicKey zero{};  // X25519 with it gives zeros: RFC 9180 section 7.1.4
  EXPECT_EQ(hpke_sender(Aead::kAes256Gcm, zero, {}, hex(kIkmE)).error().code, ErrorCode::kIntegrity);
}

}  // namespace
}  // namespace slm::crypto
