#include "nn/recurrence.h"

#include <algorithm>

namespace slm::nn {

using at::Tensor;

namespace {

Tensor index_tensor(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(at::ArrayRef<int64_t>(values.data(), values.size()), at::TensorOptions().dtype(at::kLong))
      .to(device);
}

struct Chunk {
  int64_t begin = 0, end = 0, parent = -1, level = 0;
};

}  // namespace

Recurrence recurrence_of(const ForestBatch& batch, int64_t reach, int64_t chunk, at::Device device) {
  Recurrence out;
  const int64_t n = batch.size();
  std::vector<int64_t> last(static_cast<size_t>(n));  // the token before, N for none
  for (const auto& node : batch.nodes)
    for (int64_t t = node.begin; t < node.end; ++t)
      last[static_cast<size_t>(t)] = t > node.begin     ? t - 1
                                     : node.parent >= 0 ? batch.nodes[static_cast<size_t>(node.parent)].end - 1
                                                        : n;
  std::vector<int64_t> back(static_cast<size_t>(n));
  for (int64_t t = 0; t < n; ++t) back[static_cast<size_t>(t)] = t;
  for (int64_t j = 0; j < reach; ++j) {
    for (auto& t : back)
      if (t < n) t = last[static_cast<size_t>(t)];
    out.before.push_back(index_tensor(back, device));
  }
  if (chunk <= 0) return out;

  int64_t longest = 1;
  for (const auto& node : batch.nodes) longest = std::max<int64_t>(longest, node.end - node.begin);
  out.length = std::min(chunk, longest);
  std::vector<Chunk> chunks;
  std::vector<int64_t> last_of;  // of a node, into chunks
  for (const auto& node : batch.nodes) {
    int64_t parent = node.parent >= 0 ? last_of[static_cast<size_t>(node.parent)] : -1;
    for (int64_t t = node.begin; t < node.end; t += out.length) {
      const int64_t level = parent >= 0 ? chunks[static_cast<size_t>(parent)].level + 1 : 0;
      chunks.push_back({t, std::min<int64_t>(t + out.length, node.end), parent, level});
      parent = static_cast<int64_t>(chunks.size()) - 1;
    }
    last_of.push_back(parent);
  }
  std::vector<size_t> order(chunks.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return chunks[a].level < chunks[b].level; });

  std::vector<int64_t> rank(chunks.size()), tokens(chunks.size() * static_cast<size_t>(out.length), n),
      places(static_cast<size_t>(n));
  std::vector<std::vector<int64_t>> parents;
  for (size_t i = 0; i < order.size(); ++i) {
    const Chunk& c = chunks[order[i]];
    rank[order[i]] = static_cast<int64_t>(i);
    if (static_cast<int64_t>(out.level_begin.size()) <= c.level) {
      out.level_begin.push_back(static_cast<int64_t>(i));
      parents.emplace_back();
    }
    if (c.level > 0)
      parents.back().push_back(rank[static_cast<size_t>(c.parent)] - out.level_begin[static_cast<size_t>(c.level) - 1]);
    for (int64_t t = c.begin; t < c.end; ++t) {
      const int64_t place = static_cast<int64_t>(i) * out.length + t - c.begin;
      tokens[static_cast<size_t>(place)] = t;
      places[static_cast<size_t>(t)] = place;
    }
  }
  out.level_begin.push_back(static_cast<int64_t>(chunks.size()));
  for (size_t level = 1; level < parents.size(); ++level) out.parents.push_back(index_tensor(parents[level], device));
  for (const int64_t c : last_of) out.last_chunk.push_back(c < 0 ? -1 : rank[static_cast<size_t>(c)]);
  out.tokens = index_tensor(tokens, device);
  out.places = index_tensor(places, device);
  return out;
}

}  // namespace slm::nn
