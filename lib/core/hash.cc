#include "core/hash.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace slm {

struct Sha256::Impl {
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(ctx); }
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  // OpenSSL's SHA-256 fails only for want of memory.
  static const EVP_MD* const digest = EVP_MD_fetch(nullptr, "SHA256", nullptr);  // not looked up each time
  if (impl_->ctx == nullptr || EVP_DigestInit_ex(impl_->ctx, digest, nullptr) != 1) std::abort();
}
Sha256::~Sha256() = default;

void Sha256::update(ByteSpan data) {
  if (EVP_DigestUpdate(impl_->ctx, data.data(), data.size()) != 1) std::abort();
}

Digest Sha256::finish() {
  Digest out;
  if (EVP_DigestFinal_ex(impl_->ctx, out.data(), nullptr) != 1) std::abort();
  return out;
}

Digest sha256(ByteSpan data) {
  Sha256 h;
  h.update(data);
  return h.finish();
}

Result<Digest> sha256_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::kIo, fmt::format("{}: {}", path.string(), std::strerror(errno)));
  Sha256 h;
  char buffer[1 << 16];
  while (in.read(buffer, sizeof buffer) || in.gcount() > 0)
    h.update({reinterpret_cast<const uint8_t*>(buffer), static_cast<size_t>(in.gcount())});
  if (in.bad()) return fail(ErrorCode::kIo, fmt::format("{}: read failed", path.string()));
  return h.finish();
}

}  // namespace slm
