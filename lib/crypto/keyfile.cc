#include "crypto/keyfile.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "core/file.h"
#include "core/hash.h"

namespace slm::crypto {
namespace {

constexpr int kKeyFileFormat = 1;
constexpr uint64_t kMaxKeyFileBytes = 8192;
constexpr size_t kSecretBytes = 64;

// A whole small file into locked memory.
Result<SecretBytes> read_secret_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error(path, "opening"));
  SecretBytes buffer(max_bytes + 1);
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n = read(fd, buffer.data() + done, buffer.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      auto error = errno_error(path, "reading");
      close(fd);
      return fail(std::move(error));
    }
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  close(fd);
  if (done > max_bytes)
    return fail(ErrorCode::kBadInput, fmt::format("{}: more than {} bytes", path.string(), max_bytes));
  return SecretBytes::copy_of(buffer.span().first(done));
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool decode_hex(std::string_view hex, std::span<uint8_t> out) {
  if (hex.size() != 2 * out.size()) return false;
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

void append_hex(SecretBytes& out, size_t& at, ByteSpan bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (const uint8_t b : bytes) {
    out.data()[at++] = static_cast<uint8_t>(kDigits[b >> 4]);
    out.data()[at++] = static_cast<uint8_t>(kDigits[b & 15]);
  }
}

Result<SecretArray<32>> protection_key(ByteSpan passphrase, ByteSpan salt, const ScryptCost& cost) {
  SecretArray<32> key;
  SLM_CHECK(scrypt(passphrase, salt, cost, key.writable()));
  return key;
}

// One key, one message: the key is fresh with the salt.
constexpr std::array<uint8_t, kNonceBytes> kZeroNonce{};

// Takes `name value` off the front of text; the value, or nothing if the line is another.
std::optional<std::string_view> take_line(std::string_view& text, std::string_view name) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ' ') return std::nullopt;
  text.remove_prefix(end + 1);
  return line.substr(name.size() + 1);
}

std::optional<unsigned> take_number(std::string_view& text) {
  unsigned value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end == text.data() + text.size() || *end != ' ') return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return value;
}

}  // namespace

std::string PublicIdentity::fingerprint() const {
  Sha256 h;
  h.update("slmconv identity 1");
  h.update(kem);
  h.update(sign);
  const Digest digest = h.finish();
  return to_hex(ByteSpan(digest).first(16));
}

Identity generate_identity(Random& random) {
  KemKeyPair kem = generate_kem_key(random);
  SignKeyPair sign = generate_sign_key(random);
  Identity out;
  out.pub = {kem.pub, sign.pub};
  out.kem_secret = std::move(kem.secret);
  out.sign_secret = std::move(sign.secret);
  return out;
}

Status write_key_file(const std::filesystem::path& path, const Identity& identity, const KeyFileOptions& options) {
  std::error_code ec;
  if (std::filesystem::exists(std::filesystem::symlink_status(path, ec)))
    return fail(ErrorCode::kUsage, fmt::format("{} exists: a key file is never overwritten", path.string()),
                "name another folder with --keys");
  std::string head =
      fmt::format("slmconv-key {}\nrole {}\nfleet {}\nadmin {}\nx25519 {}\ned25519 {}\n", kKeyFileFormat, identity.role,
                  to_hex(identity.fleet), identity.admin, to_hex(identity.pub.kem), to_hex(identity.pub.sign));
  SecretBytes secret(kSecretBytes);
  std::copy_n(identity.kem_secret.data(), 32, secret.data());
  std::copy_n(identity.sign_secret.data(), 32, secret.data() + 32);
  Bytes sealed;
  if (options.passphrase.empty()) {
    head += "protection none\n";
  } else {
    std::array<uint8_t, 16> salt;
    options.random->fill(salt);
    head += fmt::format("protection scrypt {} {} {} {}\n", options.cost.log2_n, options.cost.r, options.cost.p,
                        to_hex(salt));
    SLM_TRY(const auto key, protection_key(options.passphrase, salt, options.cost));
    SLM_TRY(sealed, aead_seal(Aead::kAes256Gcm, {key.span(), kZeroNonce, as_bytes(head)}, secret.span()));
  }
  const ByteSpan payload = sealed.empty() ? secret.span() : ByteSpan(sealed);
  const std::string_view label = "secret ";
  SecretBytes text(head.size() + label.size() + 2 * payload.size() + 1);
  std::copy(head.begin(), head.end(), text.data());
  std::copy(label.begin(), label.end(), text.data() + head.size());
  size_t at = head.size() + label.size();
  append_hex(text, at, payload);
  text.data()[at] = '\n';
  return write_file_atomic(path, text.span(), 0600);
}

Result<Identity> read_key_file(const std::filesystem::path& path, const AskPassphrase& ask) {
  const auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kBadInput, fmt::format("{}: not a key file: {}", path.string(), what));
  };
  SLM_TRY(const SecretBytes buffer, read_secret_file(path, kMaxKeyFileBytes));
  std::string_view text = as_text(buffer.span());
  const auto format = take_line(text, "slmconv-key");
  if (!format) return bad("its first line isn't \"slmconv-key 1\"");
  if (*format != "1")
    return fail(ErrorCode::kFormatTooNew,
                fmt::format("{}: key file format {}, this program knows {}", path.string(), *format, kKeyFileFormat));
  Identity out;
  const auto role = take_line(text, "role");
  const auto fleet = take_line(text, "fleet");
  const auto admin = take_line(text, "admin");
  const auto kem = take_line(text, "x25519");
  const auto sign_key = take_line(text, "ed25519");
  if (!role || !fleet || !admin || !kem || !sign_key) return bad("a line is missing or out of order");
  if (!decode_hex(*fleet, out.fleet) || !decode_hex(*kem, out.pub.kem) || !decode_hex(*sign_key, out.pub.sign))
    return bad("a value isn't hexadecimal of the right length");
  out.role = *role;
  out.admin = *admin;
  auto protection = take_line(text, "protection");
  const size_t head_size = buffer.size() - text.size();
  const auto secret = take_line(text, "secret");
  if (!protection || !secret || !text.empty()) return bad("a line is missing or out of order");

  SecretBytes keys(kSecretBytes);
  if (*protection == "none") {
    if (!decode_hex(*secret, keys.writable())) return bad("its secret isn't 128 hexadecimal digits");
  } else {
    if (!protection->starts_with("scrypt ")) return bad("unknown protection");
    protection->remove_prefix(7);
    const auto log2_n = take_number(*protection), r = take_number(*protection), p = take_number(*protection);
    std::array<uint8_t, 16> salt;
    if (!log2_n || !r || !p || !decode_hex(*protection, salt)) return bad("its scrypt parameters can't be read");
    if (*log2_n > 20 || *r > 16 || *p > 4) return bad("its scrypt cost is above 2^20, 16, 4");
    Bytes sealed(kSecretBytes + kTagBytes);
    if (!decode_hex(*secret, sealed)) return bad("its secret isn't 160 hexadecimal digits");
    SLM_TRY(const SecretBytes passphrase, ask());
    SLM_TRY(const auto key, protection_key(passphrase.span(), salt, {*log2_n, *r, *p}));
    auto opened = aead_open(Aead::kAes256Gcm, {key.span(), kZeroNonce, buffer.span().first(head_size)}, sealed);
    if (!opened)
      return fail(ErrorCode::kWrongKey, fmt::format("{}: wrong passphrase, or the file was changed", path.string()),
                  "SLMCONV_PASSPHRASE_FILE names a file whose first line is the passphrase");
    keys = SecretBytes::copy_of(*opened);
    cleanse(opened->data(), opened->size());
  }
  out.kem_secret = SecretBytes::copy_of(keys.span().first(32));
  out.sign_secret = SecretBytes::copy_of(keys.span().subspan(32));
  const auto kem_pub = kem_public(out.kem_secret.span());
  const auto sign_pub = sign_public(out.sign_secret.span());
  if (!kem_pub || !sign_pub || *kem_pub != out.pub.kem || *sign_pub != out.pub.sign)
    return fail(ErrorCode::kWrongKey, fmt::format("{}: public and private keys don't belong together", path.string()));
  return out;
}

}  // namespace slm::crypto
