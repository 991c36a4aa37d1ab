#include "nn/batch.h"

#include <algorithm>
#include <numeric>

namespace slm::nn {

namespace {

// A shorter common stretch isn't worth a node of its own.
constexpr int64_t kMinShared = 8;

int64_t length_of(const Sequence& s) { return static_cast<int64_t>(s.ids.size()); }

// Writes one batch from sequences in order of their tokens. common[i]: tokens that the i-th shares with the one before.
class Grower {
 public:
  Grower(std::span<const Sequence> sequences, std::span<const size_t> order, std::span<const int64_t> common)
      : sequences_(sequences), order_(order), common_(common), node_of_(order.size()) {}

  // `keyed`: some sequence of all batches has a rope key.
  ForestBatch grow(bool keyed) {
    keyed_ = keyed;
    for (size_t from = 0; from < order_.size();) {
      size_t to = from + 1;
      while (to < order_.size() && common_[to] >= kMinShared) ++to;
      grow_node(from, to, 0, -1);
      from = to;
    }
    for (const size_t i : order_) batch_.n_tokens += length_of(sequences_[i]);
    return std::move(batch_);
  }
  // Of the i-th in order.
  int32_t node_of(size_t i) const { return node_of_[i]; }

 private:
  const Sequence& at(size_t i) const { return sequences_[order_[i]]; }

  // Sequences [from, to) in order share more than their first `depth` tokens, which lie above.
  void grow_node(size_t from, size_t to, int64_t depth, int32_t parent) {
    int64_t end = length_of(at(from));
    for (size_t i = from + 1; i < to; ++i) end = std::min(end, common_[i]);
    const auto node = static_cast<int32_t>(batch_.nodes.size());
    write_tokens(from, to, depth, end, parent);
    for (size_t i = from; i < to;) {
      if (length_of(at(i)) == end) {
        node_of_[i++] = node;
        continue;
      }
      size_t next = i + 1;
      while (next < to && common_[next] >= end + kMinShared) ++next;
      grow_node(i, next, end, node);
      i = next;
    }
  }

  void write_tokens(size_t from, size_t to, int64_t depth, int64_t end, int32_t parent) {
    const auto begin = static_cast<int32_t>(batch_.ids.size());
    const Sequence& s = at(from);
    for (int64_t t = depth; t < end; ++t) {
      const auto token = static_cast<size_t>(t);
      const int32_t flat = begin + static_cast<int32_t>(t - depth);
      batch_.ids.push_back(s.ids[token]);
      batch_.positions.push_back(static_cast<int32_t>(t));
      if (keyed_) batch_.rope_keys.push_back(s.rope_key);
      if (t == 0) continue;
      float weight = 0;
      for (size_t i = from; i < to; ++i) weight += token < at(i).n_prompt ? at(i).prompt_weight : 1.0f;
      if (weight == 0) continue;
      const int32_t before = t > depth ? flat - 1 : batch_.nodes[static_cast<size_t>(parent)].end - 1;
      batch_.loss_at.push_back(before);
      batch_.targets.push_back(s.ids[token]);
      batch_.weights.push_back(weight);
      for (size_t i = from; i < to; ++i) {
        const auto& logged = at(i).logged;
        const auto it =
            std::partition_point(logged.begin(), logged.end(), [&](const LoggedTopK& k) { return k.at < t; });
        if (it == logged.end() || it->at != t) continue;
        batch_.logged.push_back(*it);
        batch_.logged.back().at = static_cast<int32_t>(batch_.loss_at.size()) - 1;
      }
    }
    batch_.nodes.push_back({begin, static_cast<int32_t>(batch_.ids.size()), parent});
    batch_.keys.push_back(s.key >= 0 ? s.key : static_cast<int64_t>(order_[from]));
  }

  std::span<const Sequence> sequences_;
  std::span<const size_t> order_;
  std::span<const int64_t> common_;
  std::vector<int32_t> node_of_;
  bool keyed_ = false;
  ForestBatch batch_;
};

}  // namespace

double ForestBatch::loss_weight() const {
  double sum = 0;
  for (const float w : weights) sum += w;
  return sum;
}

std::vector<int32_t> ForestBatch::path(int32_t node) const {
  std::vector<int32_t> way, out;
  for (; node >= 0; node = nodes[static_cast<size_t>(node)].parent) way.push_back(node);
  for (auto it = way.rbegin(); it != way.rend(); ++it)
    for (int32_t t = nodes[static_cast<size_t>(*it)].begin; t < nodes[static_cast<size_t>(*it)].end; ++t)
      out.push_back(t);
  return out;
}

std::vector<ForestBatch> make_forests(std::span<const Sequence> sequences, const ForestOptions& options,
                                      std::vector<Placement>* placements) {
  std::vector<size_t> order(sequences.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<int64_t> common(sequences.size());
  if (options.share_prefixes) {
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      const auto &x = sequences[a], &y = sequences[b];
      return x.rope_key != y.rope_key ? x.rope_key < y.rope_key : x.ids < y.ids;
    });
    for (size_t i = 1; i < order.size(); ++i) {
      const auto &x = sequences[order[i - 1]], &y = sequences[order[i]];
      if (x.rope_key == y.rope_key)
        common[i] = std::mismatch(x.ids.begin(), x.ids.end(), y.ids.begin(), y.ids.end()).first - x.ids.begin();
    }
  }
  const bool keyed = std::any_of(sequences.begin(), sequences.end(), [](const Sequence& s) { return s.rope_key != 0; });
  if (placements != nullptr) placements->assign(sequences.size(), {});
  std::vector<ForestBatch> out;
  for (size_t from = 0; from < order.size();) {
    int64_t n = length_of(sequences[order[from]]);
    size_t to = from + 1;
    for (; to < order.size(); ++to) {
      const int64_t length = length_of(sequences[order[to]]), more = length - common[to];
      if (n + more > most_tokens(options.max_tokens, common[to] > 0 ? length : 0)) break;
      n += more;
    }
    Grower grower(sequences, std::span(order).subspan(from, to - from), std::span(common).subspan(from, to - from));
    out.push_back(grower.grow(keyed));
    if (placements != nullptr)
      for (size_t i = from; i < to; ++i) (*placements)[order[i]] = {out.size() - 1, grower.node_of(i - from)};
    from = to;
  }
  return out;
}

}  // namespace slm::nn
