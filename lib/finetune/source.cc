#include "finetune/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include "core/random.h"

namespace slm::finetune {

std::vector<std::vector<uint32_t>> epoch_steps(const std::vector<uint32_t>& sessions, int64_t batch, uint64_t seed,
                                               int64_t epoch) {
  const auto full = static_cast<size_t>(std::max<int64_t>(1, batch));
  std::vector<std::vector<uint32_t>> units;  // sessions in the order they first appear, cut where too long
  std::unordered_map<uint32_t, size_t> open;
  for (uint32_t i = 0; i < sessions.size(); ++i) {
    const auto [it, is_new] = open.try_emplace(sessions[i], units.size());
    if (!is_new && units[it->second].size() == full) it->second = units.size();
    if (it->second == units.size()) units.emplace_back();
    units[it->second].push_back(i);
  }
  Prng prng(seed * 0x9e3779b97f4a7c15ULL + static_cast<uint64_t>(epoch));
  prng.shuffle(std::span(units));
  std::vector<std::vector<uint32_t>> steps;
  for (const auto& unit : units) {
    if (steps.empty() || steps.back().size() + unit.size() > full) steps.emplace_back();
    steps.back().insert(steps.back().end(), unit.begin(), unit.end());
  }
  return steps;
}

int64_t count_steps(const std::vector<uint32_t>& sessions, int64_t batch, uint64_t seed, double epochs) {
  int64_t n = 0;
  for (int64_t epoch = 0; static_cast<double>(epoch) < epochs; ++epoch) {
    const auto all = static_cast<double>(epoch_steps(sessions, batch, seed, epoch).size());
    n += std::llround(std::ceil(all * std::min(1.0, epochs - static_cast<double>(epoch))));
  }
  return std::max<int64_t>(1, n);
}

std::vector<std::vector<uint32_t>> cut_step(const std::vector<uint32_t>& step, const std::vector<int64_t>& lengths,
                                            int n) {
  std::vector<std::vector<uint32_t>> out(static_cast<size_t>(n));
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  int64_t before = 0;
  for (size_t i = 0; i < step.size(); ++i) {
    // The part in which its middle falls.
    const auto part = static_cast<size_t>((2 * before + lengths[i]) * n / (2 * total));
    out[std::min(part, out.size() - 1)].push_back(step[i]);
    before += lengths[i];
  }
  return out;
}

ShuffledSource::ShuffledSource(std::vector<nn::Sequence> sequences, std::vector<uint32_t> sessions,
                               const Options& options)
    : sequences_(std::move(sequences)),
      sessions_(std::move(sessions)),
      options_(options),
      steps_(epoch_steps(sessions_, options_.batch, options_.seed, 0)) {
  for (size_t i = 0; i < sequences_.size(); ++i) sequences_[i].key = static_cast<int64_t>(i);
}

Result<std::vector<nn::ForestBatch>> ShuffledSource::next() {
  if (at_ == steps_.size()) {
    ++epoch_;
    at_ = 0;
    steps_ = epoch_steps(sessions_, options_.batch, options_.seed, epoch_);
  }
  const auto& examples = steps_[at_++];
  const auto full = static_cast<double>(std::min<int64_t>(options_.batch, std::ssize(sequences_)));
  fullness_ = static_cast<double>(examples.size()) / full;
  std::vector<nn::Sequence> step;
  for (const uint32_t i : part_of(examples)) step.push_back(sequences_[i]);
  return nn::make_forests(step, {.max_tokens = options_.max_batch_tokens, .share_prefixes = options_.share_prefixes});
}

// Examples that begin alike lie together, so that a part shares what it can.
std::vector<uint32_t> ShuffledSource::part_of(std::vector<uint32_t> examples) const {
  if (options_.n_ranks == 1) return examples;
  if (options_.share_prefixes)
    std::sort(examples.begin(), examples.end(),
              [&](uint32_t a, uint32_t b) { return std::tie(sequences_[a].ids, a) < std::tie(sequences_[b].ids, b); });
  std::vector<int64_t> lengths;
  for (const uint32_t i : examples) lengths.push_back(std::ssize(sequences_[i].ids));
  return cut_step(examples, lengths, options_.n_ranks)[static_cast<size_t>(options_.rank)];
}

json::object ShuffledSource::position() const { return {{"epoch", epoch_}, {"at", at_}}; }

Status ShuffledSource::seek(const json::object& position) {
  const auto epoch = get_int(position, "epoch"), at = get_int(position, "at");
  if (!epoch || !at || *epoch < 0 || *at < 0)
    return fail(ErrorCode::kManifestMismatch, "checkpoint: no position among the examples");
  auto steps = epoch_steps(sessions_, options_.batch, options_.seed, *epoch);
  if (*at > std::ssize(steps))
    return fail(ErrorCode::kManifestMismatch,
                fmt::format("checkpoint: step {} of an epoch, there are {}", *at, steps.size()));
  epoch_ = *epoch;
  at_ = static_cast<size_t>(*at);
  steps_ = std::move(steps);
  return {};
}

}  // namespace slm::finetune
