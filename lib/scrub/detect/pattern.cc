#include "scrub/detect/pattern.h"

#include <fmt/format.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <utility>

namespace slm::scrub {

namespace {
// Steps of backtracking in one match. Ordinary matches take under a hundred per byte.
constexpr uint32_t kMatchLimit = 1'000'000;
constexpr size_t kJitStackBytes = 512 << 10;
}  // namespace

struct Pattern::Impl {
  pcre2_code* code = nullptr;
  pcre2_match_data* data = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;

  ~Impl() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
    pcre2_code_free(code);
  }
};

Pattern::Pattern(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Result<Pattern> Pattern::compile(std::string_view pattern, const Options& options) {
  auto impl = std::make_unique<Impl>();
  const uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | (options.ignore_case ? PCRE2_CASELESS : 0u) |
                         (options.anchored ? PCRE2_ANCHORED : 0u);
  int error = 0;
  PCRE2_SIZE offset = 0;
  impl->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), flags, &error, &offset, nullptr);
  if (impl->code == nullptr) {
    PCRE2_UCHAR text[256];
    pcre2_get_error_message(error, text, sizeof text);
    return fail(ErrorCode::kBadInput, fmt::format("bad pattern: {} at character {} of {}",
                                                  reinterpret_cast<const char*>(text), offset, pattern.size()));
  }
  pcre2_jit_compile(impl->code, PCRE2_JIT_COMPLETE);  // without it, matching is slower and gives the same
  impl->data = pcre2_match_data_create(2, nullptr);
  impl->context = pcre2_match_context_create(nullptr);
  impl->stack = pcre2_jit_stack_create(32 << 10, kJitStackBytes, nullptr);
  if (impl->data == nullptr || impl->context == nullptr)
    return fail(ErrorCode::kOutOfMemory, "no memory for a pattern");
  pcre2_set_match_limit(impl->context, kMatchLimit);
  pcre2_set_depth_limit(impl->context, kMatchLimit);
  if (impl->stack != nullptr) pcre2_jit_stack_assign(impl->context, nullptr, impl->stack);
  return Pattern(std::move(impl));
}

bool Pattern::find(std::string_view subject, size_t from, Match& match, bool& hit_limit) const {
  if (from > subject.size()) return false;
  const int rc = pcre2_match(impl_->code, reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), from,
                             PCRE2_NO_UTF_CHECK, impl_->data, impl_->context);
  // 0: more groups than asked for; the first two are there.
  if (rc < 0) {
    hit_limit = hit_limit || rc != PCRE2_ERROR_NOMATCH;
    return false;
  }
  const PCRE2_SIZE* at = pcre2_get_ovector_pointer(impl_->data);
  match = {at[0], at[1], at[0], at[1]};
  if (match.end < match.begin) return false;  // \K in a lookahead
  const bool has_group = (rc == 0 || rc >= 2) && at[2] != PCRE2_UNSET;
  if (has_group) {
    match.value_begin = at[2];
    match.value_end = at[3];
  }
  return true;
}

}  // namespace slm::scrub
