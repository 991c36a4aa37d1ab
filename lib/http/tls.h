// TLS 1.2 and 1.3 for both sides, ALPN http/1.1. A client always verifies the server's certificate and name.
//
// Errors: kUsage for a certificate or key that can't be read or don't belong together.
// Threads: a context may be shared.
#pragma once

#include <openssl/ssl.h>

#include <filesystem>
#include <memory>

#include "core/error.h"

namespace slm::http {

struct TlsContext {
  std::shared_ptr<SSL_CTX> native;
  explicit operator bool() const { return native != nullptr; }
};

// ca: PEM file of the authorities to trust; empty: the system's. certificate and key: shown to servers that ask.
struct TlsClientOptions {
  std::filesystem::path ca, certificate, key;
};
Result<TlsContext> tls_client(const TlsClientOptions& options);

// client_ca: when given, clients must show a certificate of one of its authorities.
struct TlsServerOptions {
  std::filesystem::path certificate, key, client_ca;
};
Result<TlsContext> tls_server(const TlsServerOptions& options);

}  // namespace slm::http
