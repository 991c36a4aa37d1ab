#include "finetune/teacher.h"

#include <fmt/format.h>

#include <algorithm>

#include "select/artifact.h"
#include "text/tokenizer.h"

namespace slm::finetune {

namespace {

constexpr const char* kHint = "--distill sequence learns from the logged answers of any teacher";

Error refused(const std::filesystem::path& dir, std::string_view why) {
  return {ErrorCode::kUnsupportedModel, fmt::format("teacher {}: {}", dir.string(), why), kHint};
}

}  // namespace

Result<Teacher> Teacher::open(const std::filesystem::path& dir) {
  Teacher out;
  std::error_code ec;
  out.dir_ = std::filesystem::weakly_canonical(dir, ec);
  SLM_TRY(out.config_, nn::read_config(out.dir_));
  SLM_TRY(out.digest_, select::model_digest(out.dir_));
  return out;
}

Status Teacher::fit(const std::filesystem::path& student, const nn::ModelConfig& config) {
  SLM_TRY(const auto theirs, text::Tokenizer::open(dir_));
  SLM_TRY(const auto ours, text::Tokenizer::open(student));
  const int32_t n = std::min(theirs->n_ids(), ours->n_ids());
  for (int32_t id = 0; id < n; ++id)
    if (theirs->piece_of(id) != ours->piece_of(id) || theirs->is_special(id) != ours->is_special(id))
      return fail(refused(dir_, fmt::format("token {} is \"{}\", in the model to train \"{}\"", id,
                                            theirs->piece_of(id), ours->piece_of(id))));
  n_common_ = std::min({static_cast<int64_t>(n), config_.vocab_size, config.vocab_size});
  return {};
}

Status Teacher::reads(std::span<const nn::Sequence> examples) const {
  for (const auto& example : examples) {
    const auto n = std::ssize(example.ids);
    if (n > config_.max_positions)
      return fail(refused(dir_, fmt::format("an example has {} tokens, its context {}", n, config_.max_positions)));
    if (example.rope_key != nn::rope_key(config_, n))
      return fail(refused(dir_, "its rotary frequencies change with a sequence's length otherwise"));
    for (const int32_t id : example.ids)
      if (id >= n_common_)
        return fail(refused(dir_, fmt::format("token {} of an example isn't among the {} it shares", id, n_common_)));
  }
  return {};
}

Status Teacher::load(const nn::Decoder::Options& options) {
  if (decoder_) return {};
  SLM_TRY(decoder_, nn::Decoder::load(dir_, {options.compute, options.device, false}));
  return {};
}

}  // namespace slm::finetune
