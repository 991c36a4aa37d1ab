#include "core/error.h"

#include <iterator>

namespace slm {
namespace {
constexpr ExitCodeRow kTable[] = {
    {ErrorCode::kOk, "ok", "done"},
    {ErrorCode::kUnexpected, "unexpected", "unexpected failure"},
    {ErrorCode::kUsage, "usage", "wrong usage: unknown flag, missing argument, value out of range, no such input file"},
    {ErrorCode::kTooManySkipped, "too_many_skipped",
     "done, but more than --max-skipped of the records were unreadable"},
    {ErrorCode::kStoreMissing, "store_missing", "no store at the given place"},
    {ErrorCode::kLocked, "locked", "another process holds the store's write lock"},
    {ErrorCode::kWrongKey, "wrong_key", "wrong key, or a key whose role may not do this"},
    {ErrorCode::kFormatTooNew, "format_too_new", "written by a later version of slmconv"},
    {ErrorCode::kIntegrity, "integrity", "integrity failure: a signature, seal or page does not verify"},
    {ErrorCode::kBadInput, "bad_input", "the input breaks its schema"},
    {ErrorCode::kManifestMismatch, "manifest_mismatch", "artefacts that don't belong together"},
    {ErrorCode::kUnsupportedModel, "unsupported_model", "a model, method or export that isn't supported"},
    {ErrorCode::kQualityGate, "quality_gate", "quality gate not met"},
    {ErrorCode::kPrivacyGate, "privacy_gate", "privacy gate not met"},
    {ErrorCode::kInsufficientEvidence, "insufficient_evidence", "evidence insufficient (only under --gate)"},
    {ErrorCode::kOutOfMemory, "out_of_memory", "out of memory, or the device is"},
    {ErrorCode::kIo, "io", "no space left, or an input/output error"},
    {ErrorCode::kInterrupted, "interrupted", "interrupted; what was committed stays"},
};
}  // namespace

std::pair<const ExitCodeRow*, size_t> exit_code_table() { return {kTable, std::size(kTable)}; }

std::string_view error_name(ErrorCode code) {
  for (const auto& row : kTable)
    if (row.code == code) return row.name;
  return "unexpected";
}

}  // namespace slm
