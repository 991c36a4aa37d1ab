// Certificates for tests: an authority, and what it signs, as PEM files.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

namespace slm::testing {

struct Certificate {
  std::shared_ptr<X509> x509;
  std::shared_ptr<EVP_PKEY> key;
  std::filesystem::path certificate_file, key_file;
};

// `issuer` nullptr: an authority that signs itself. name: common name, and an IP address or DNS name to be known by.
inline Certificate make_certificate(const std::filesystem::path& dir, const std::string& name,
                                    const Certificate* issuer) {
  Certificate out;
  out.key.reset(EVP_EC_gen("P-256"), EVP_PKEY_free);
  out.x509.reset(X509_new(), X509_free);
  X509* const x = out.x509.get();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), issuer == nullptr ? 1 : 2);
  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), 86400);
  X509_set_pubkey(x, out.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(issuer == nullptr ? x : issuer->x509.get()));
  const auto add = [&](int nid, const std::string& value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
  };
  if (issuer == nullptr)
    add(NID_basic_constraints, "critical,CA:TRUE");
  else
    add(NID_subject_alt_name, (name.find_first_not_of("0123456789.") == std::string::npos ? "IP:" : "DNS:") + name);
  X509_sign(x, (issuer == nullptr ? out : *issuer).key.get(), EVP_sha256());
  out.certificate_file = dir / (name + ".pem");
  out.key_file = dir / (name + ".key");
  FILE* file = std::fopen(out.certificate_file.c_str(), "w");
  PEM_write_X509(file, x);
  std::fclose(file);
  file = std::fopen(out.key_file.c_str(), "w");
  PEM_write_PrivateKey(file, out.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  return out;
}

}  // namespace slm::testing
