#include "finetune/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/random.h"

namespace slm::finetune {

ShuffledSource::ShuffledSource(std::vector<nn::Sequence> sequences, const Options& options)
    : sequences_(std::move(sequences)), options_(options), order_(sequences_.size()) {
  order_epoch();
}

void ShuffledSource::order_epoch() {
  std::iota(order_.begin(), order_.end(), 0u);
  Prng prng(options_.seed * 0x9e3779b97f4a7c15ULL + static_cast<uint64_t>(epoch_));
  prng.shuffle(std::span<uint32_t>(order_));
}

Result<std::vector<nn::ForestBatch>> ShuffledSource::next() {
  if (at_ == order_.size()) {
    ++epoch_;
    at_ = 0;
    order_epoch();
  }
  const size_t full = std::min(static_cast<size_t>(options_.batch), order_.size());
  const size_t end = std::min(at_ + full, order_.size());
  fullness_ = static_cast<double>(end - at_) / static_cast<double>(full);
  std::vector<nn::Sequence> step;
  while (at_ < end) step.push_back(sequences_[order_[at_++]]);
  return nn::make_forests(step, {.max_tokens = options_.max_batch_tokens});
}

json::object ShuffledSource::position() const { return {{"epoch", epoch_}, {"at", at_}}; }

Status ShuffledSource::seek(const json::object& position) {
  const auto epoch = get_int(position, "epoch"), at = get_int(position, "at");
  if (!epoch || !at || *epoch < 0 || *at < 0 || *at > static_cast<int64_t>(order_.size()))
    return fail(ErrorCode::kManifestMismatch,
                fmt::format("checkpoint: no such position among {} examples", order_.size()));
  epoch_ = *epoch;
  at_ = static_cast<size_t>(*at);
  order_epoch();
  return {};
}

}  // namespace slm::finetune
