// Error and Result: what every fallible function of slmconv returns.
//
// Errors: an Error never carries text of a logged call; it says what was wrong, the offending value or bound, and in
//   `hint` the next command to type. No exception crosses a room; a file that calls a throwing library converts.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace slm {

// One row per exit code of the program. The table in error.cc gives each its meaning; README and help are made from it.
enum class ErrorCode {
  kOk = 0,
  kUnexpected = 1,
  kUsage = 2,
  kTooManySkipped = 3,
  kStoreMissing = 10,
  kLocked = 11,
  kWrongKey = 12,
  kFormatTooNew = 13,
  kIntegrity = 14,
  kBadInput = 20,
  kManifestMismatch = 21,
  kUnsupportedModel = 22,
  kQualityGate = 30,
  kPrivacyGate = 31,
  kInsufficientEvidence = 32,
  kOutOfMemory = 40,
  kIo = 41,
  kInterrupted = 130,
};

struct Error {
  ErrorCode code = ErrorCode::kUnexpected;
  std::string message;  // what, the offending value, the bound
  std::string hint;     // the next command to type; may be empty
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

// Shorthand: `return fail(ErrorCode::kBadInput, fmt::format(...), "slmconv ...");`
inline tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string hint = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(hint)});
}
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

struct ExitCodeRow {
  ErrorCode code;
  const char* name;     // stable token in JSON output, e.g. "wrong_key"
  const char* meaning;  // one line for the help footer and README
};
// All rows, ascending.
std::pair<const ExitCodeRow*, size_t> exit_code_table();
std::string_view error_name(ErrorCode code);
inline int exit_code(ErrorCode code) { return static_cast<int>(code); }

}  // namespace slm

#define SLM_CONCAT_INNER(a, b) a##b
#define SLM_CONCAT(a, b) SLM_CONCAT_INNER(a, b)
// SLM_TRY(lhs, expr): evaluates a Result; returns its error, or assigns its value to lhs (a declaration or a variable).
#define SLM_TRY(lhs, expr) SLM_TRY_IMPL(SLM_CONCAT(slm_try_, __LINE__), lhs, expr)
#define SLM_TRY_IMPL(tmp, lhs, expr)                    \
  auto tmp = (expr);                                    \
  if (!tmp) return ::slm::fail(std::move(tmp).error()); \
  lhs = std::move(*tmp)
// SLM_CHECK(expr): evaluates a Status or Result; returns its error if any.
#define SLM_CHECK(expr)                                                                              \
  do {                                                                                               \
    if (auto slm_status_ = (expr); !slm_status_) return ::slm::fail(std::move(slm_status_).error()); \
  } while (false)
