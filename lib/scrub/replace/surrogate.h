// Invented values of the same shape as the real ones.
//
//   email         name-like local part of the same pieces @ <word>.example (RFC 2606)
//   phone         same grouping, leading + and country code or 0; other digits new
//   card          same grouping and issuer digits, Luhn holds
//   iban          same country, length and grouping, check digits hold
//   ip            documentation ranges (RFC 5737, RFC 3849)
//   person        word by word from invented names; case, initials, particles and hyphens stay
//   jwt, keys     same prefix, length and alphabet
//   private_key   same lines, new body
//   others        every letter and digit by another one of its kind
// A surrogate depends on the surrogate key, the session, the type and the value alone; where two values of one session
// would get the same, the later one gets another.
// Requires: valid UTF-8.
// Errors: what the key function returns.
// Threads: one at a time.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/bytes.h"
#include "core/error.h"
#include "scrub/detect/known.h"
#include "scrub/detect/types.h"
#include "scrub/replace/ledger.h"

namespace slm::scrub {

// 32 bytes from the surrogate key for an input (Store::surrogate_bytes).
using SurrogateKey = std::function<Result<Digest>(std::string_view input)>;

struct Scope {
  std::string_view session;            // what values are consistent within
  const KnownValues* known = nullptr;  // of this session; may be nullptr
};

class SurrogateMaker {
 public:
  SurrogateMaker(SurrogateKey key, Ledger& ledger) : key_(std::move(key)), ledger_(&ledger) {}
  // `type_name` keeps types apart; `value` is as it stands in the text, in its normalised view.
  Result<std::string> make(TypeIndex type, std::string_view type_name, std::string_view value, const Scope& scope);

 private:
  class Stream;
  Result<Stream> stream(std::string_view kind, std::string_view value, const Scope& scope, int attempt) const;
  // Tries until the ledger says that it is free.
  Result<std::string> claim(std::string_view kind, std::string_view value, const Scope& scope,
                            const std::function<std::string(Stream&)>& make_one);
  Result<std::string> person(std::string_view value, const Scope& scope);
  Result<std::string> name_word(std::string_view word, NamePart part, const Scope& scope);
  Result<std::string> email(std::string_view value, const Scope& scope);

  SurrogateKey key_;
  Ledger* ledger_;
};

// What two spellings of a value share: surrogates and numbers are given to this.
std::string canonical_value(TypeIndex type, std::string_view value);

}  // namespace slm::scrub
