#include "http/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509.h>

namespace slm::http {

namespace {

constexpr unsigned char kAlpn[] = "\x08http/1.1";
constexpr size_t kAlpnBytes = sizeof kAlpn - 1;

tl::unexpected<Error> tls_error(std::string_view what, const std::filesystem::path& path) {
  const unsigned long code = ERR_get_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return fail(ErrorCode::kUsage,
              fmt::format("{} {}: {}", what, path.string(), reason == nullptr ? "not accepted" : reason));
}

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_n, const unsigned char* in, unsigned in_n,
                    void*) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_n, kAlpn, kAlpnBytes, in, in_n) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Result<std::shared_ptr<SSL_CTX>> make_context(const SSL_METHOD* method) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(method), SSL_CTX_free);
  if (context == nullptr || SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1)
    return fail(ErrorCode::kUnexpected, "no TLS context could be made");
  // Buffers of idle connections are given back.
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  return context;
}

Status use_certificate(SSL_CTX* context, const std::filesystem::path& certificate, const std::filesystem::path& key) {
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return tls_error("certificate", certificate);
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1)
    return tls_error("private key", key);
  return {};
}

}  // namespace

Result<TlsContext> tls_client(const TlsClientOptions& options) {
  SLM_TRY(auto context, make_context(TLS_client_method()));
  ERR_clear_error();
  if (options.ca.empty()) {
    if (SSL_CTX_set_default_verify_paths(context.get()) != 1) return tls_error("the system's certificates", "");
  } else if (SSL_CTX_load_verify_file(context.get(), options.ca.c_str()) != 1) {
    return tls_error("certificate authorities", options.ca);
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_set_alpn_protos(context.get(), kAlpn, kAlpnBytes) != 0)
    return fail(ErrorCode::kUnexpected, "ALPN can't be set");
  if (!options.certificate.empty()) SLM_CHECK(use_certificate(context.get(), options.certificate, options.key));
  return TlsContext{std::move(context)};
}

Result<TlsContext> tls_server(const TlsServerOptions& options) {
  SLM_TRY(auto context, make_context(TLS_server_method()));
  SLM_CHECK(use_certificate(context.get(), options.certificate, options.key));
  SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
  constexpr unsigned char kSession[] = "slmconv";
  SSL_CTX_set_session_id_context(context.get(), kSession, sizeof kSession - 1);
  if (!options.client_ca.empty()) {
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(context.get(), options.client_ca.c_str()) != 1)
      return tls_error("certificate authorities", options.client_ca);
    SSL_CTX_set_client_CA_list(context.get(), SSL_load_client_CA_file(options.client_ca.c_str()));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return TlsContext{std::move(context)};
}

}  // namespace slm::http
