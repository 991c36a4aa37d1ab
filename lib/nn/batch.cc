#include "nn/batch.h"

#include <algorithm>
#include <numeric>

namespace slm::nn {

namespace {

// A shorter common beginning isn't worth its bookkeeping.
constexpr int64_t kMinShared = 8;
// Attention costs the square of a row: beyond its prefix a shared row is at least this long, or twice the prefix.
constexpr int64_t kSharedRow = 256;

int64_t length_of(const Sequence& s) { return static_cast<int64_t>(s.ids.size()); }
int64_t round_up(int64_t n) { return (n + 15) / 16 * 16; }

// Sequences that share their first n_prefix tokens.
struct Group {
  std::vector<size_t> members;
  int64_t n_prefix = 0;
};
// Part of a group that lies in one row: its prefix once, then its members' rests.
struct Unit {
  std::vector<size_t> members;
  int64_t n_prefix = 0, used = 0;
};
struct Row {
  std::vector<size_t> units;
  int64_t used = 0;
};

std::vector<Group> group_by_prefix(std::span<const Sequence> sequences, bool share) {
  std::vector<size_t> order(sequences.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<Group> groups;
  if (!share) {
    for (const size_t i : order) groups.push_back({{i}, 0});
    return groups;
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const auto &x = sequences[a], &y = sequences[b];
    return x.rope_key != y.rope_key ? x.rope_key < y.rope_key : x.ids < y.ids;
  });
  for (const size_t i : order) {
    const auto& ids = sequences[i].ids;
    const int64_t own = length_of(sequences[i]) - 1;  // at least one token of its own
    if (!groups.empty()) {
      auto& last = groups.back();
      const auto& neighbour = sequences[last.members.back()];
      const auto& before = neighbour.ids;
      const auto common = std::mismatch(ids.begin(), ids.end(), before.begin(), before.end()).first - ids.begin();
      const int64_t prefix = std::min({last.n_prefix, static_cast<int64_t>(common), own});
      // Joining saves `prefix` tokens and costs the other members what they shared beyond it.
      const int64_t cost = (last.n_prefix - prefix) * static_cast<int64_t>(last.members.size() - 1);
      if (prefix >= kMinShared && prefix > cost && neighbour.rope_key == sequences[i].rope_key) {
        last.members.push_back(i);
        last.n_prefix = prefix;
        continue;
      }
    }
    groups.push_back({{i}, own});
  }
  for (auto& group : groups)
    if (group.members.size() == 1) group.n_prefix = 0;
  return groups;
}

int64_t choose_row_length(std::span<const Sequence> sequences, const std::vector<Group>& groups) {
  int64_t out = 0;
  for (const auto& s : sequences) out = std::max(out, length_of(s));
  for (const auto& group : groups) {
    if (group.n_prefix == 0) continue;
    int64_t whole = group.n_prefix;
    for (const size_t i : group.members) whole += length_of(sequences[i]) - group.n_prefix;
    out = std::max(out, std::min(whole, group.n_prefix + std::max(kSharedRow, 2 * group.n_prefix)));
  }
  return round_up(out);
}

// First-fit decreasing of `sizes` into bins that hold `room`; give(item, bin).
template <class Give>
void first_fit(const std::vector<int64_t>& sizes, int64_t room, const Give& give) {
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  std::vector<int64_t> left;
  size_t first_open = 0;  // bins before it have less room than the smallest item
  for (const size_t i : order) {
    size_t bin = first_open;
    while (bin < left.size() && left[bin] < sizes[i]) ++bin;
    if (bin == left.size()) left.push_back(room);
    left[bin] -= sizes[i];
    give(i, bin);
    while (first_open < left.size() && left[first_open] < sizes[order.back()]) ++first_open;
  }
}

class Writer {
 public:
  Writer(std::span<const Sequence> sequences, bool share, std::vector<Placement>* placements)
      : sequences_(sequences),
        share_(share),
        keyed_(std::any_of(sequences.begin(), sequences.end(), [](const Sequence& s) { return s.rope_key != 0; })),
        placements_(placements) {}

  RowBatch write(const std::vector<Row>& rows, size_t from, size_t n, const std::vector<Unit>& units, int64_t length,
                 size_t batch_index) {
    batch_ = {};
    batch_.rows = static_cast<int64_t>(n);
    batch_.length = length;
    const auto size = n * static_cast<size_t>(length);
    batch_.ids.assign(size, 0);
    batch_.positions.assign(size, 0);
    batch_.starts.resize(size);
    // Padding sees only itself.
    for (size_t i = 0; i < size; ++i) batch_.starts[i] = static_cast<int32_t>(i % static_cast<size_t>(length));
    if (keyed_) batch_.rope_keys.assign(size, 0);
    if (share_) {
      batch_.prefix_starts.assign(size, 0);
      batch_.prefix_ends.assign(size, 0);
    }
    for (size_t r = 0; r < n; ++r) {
      int64_t at = 0;
      for (const size_t u : rows[from + r].units) {
        write_unit(units[u], batch_index, static_cast<int64_t>(r), at);
        at += units[u].used;
      }
    }
    return std::move(batch_);
  }

 private:
  void write_unit(const Unit& unit, size_t batch_index, int64_t row, int64_t at) {
    const int64_t p = unit.n_prefix, base = row * batch_.length;
    if (p > 0) {
      write_tokens(sequences_[unit.members[0]], 0, p, base + at, at);
      for (int64_t t = 1; t < p; ++t) {
        float weight = 0;  // the same prediction for every member
        for (const size_t i : unit.members) weight += weight_of(sequences_[i], t);
        add_loss(base + at + t - 1, sequences_[unit.members[0]].ids[static_cast<size_t>(t)], weight);
      }
    }
    int64_t start = at + p;
    for (const size_t i : unit.members) {
      const auto& s = sequences_[i];
      const int64_t n = length_of(s);
      write_tokens(s, p, n, base + start, start);
      for (int64_t t = std::max<int64_t>(p, 1); t < n; ++t) {
        // The prefix's last state predicts the first token of every rest.
        const int64_t before = t == p ? base + at + p - 1 : base + start + t - p - 1;
        add_loss(before, s.ids[static_cast<size_t>(t)], weight_of(s, t));
      }
      if (p > 0)
        for (int64_t t = p; t < n; ++t) {
          batch_.prefix_starts[static_cast<size_t>(base + start + t - p)] = static_cast<int32_t>(at);
          batch_.prefix_ends[static_cast<size_t>(base + start + t - p)] = static_cast<int32_t>(at + p);
        }
      if (placements_ != nullptr) (*placements_)[i] = {batch_index, row, at, p, start};
      batch_.n_tokens += n;
      start += n - p;
    }
  }
  void write_tokens(const Sequence& s, int64_t from, int64_t to, int64_t flat, int64_t start) {
    for (int64_t t = from; t < to; ++t) {
      const auto i = static_cast<size_t>(flat + t - from);
      batch_.ids[i] = s.ids[static_cast<size_t>(t)];
      batch_.positions[i] = static_cast<int32_t>(t);
      batch_.starts[i] = static_cast<int32_t>(start);
      if (!batch_.rope_keys.empty()) batch_.rope_keys[i] = s.rope_key;
    }
  }
  static float weight_of(const Sequence& s, int64_t t) {
    return static_cast<size_t>(t) < s.n_prompt ? s.prompt_weight : 1.0f;
  }
  void add_loss(int64_t before, int32_t target, float weight) {
    if (weight == 0) return;
    batch_.loss_at.push_back(static_cast<int32_t>(before));
    batch_.targets.push_back(target);
    batch_.weights.push_back(weight);
  }

  std::span<const Sequence> sequences_;
  bool share_, keyed_;
  std::vector<Placement>* placements_;
  RowBatch batch_;
};

}  // namespace

double RowBatch::loss_weight() const {
  double sum = 0;
  for (const float w : weights) sum += w;
  return sum;
}

std::vector<RowBatch> pack_rows(std::span<const Sequence> sequences, const PackOptions& options,
                                std::vector<Placement>* placements) {
  if (placements != nullptr) placements->assign(sequences.size(), {});
  if (sequences.empty()) return {};
  const auto groups = group_by_prefix(sequences, options.share_prefixes);
  const bool share = std::any_of(groups.begin(), groups.end(), [](const Group& g) { return g.n_prefix > 0; });
  const int64_t length = options.row_length > 0 ? options.row_length : choose_row_length(sequences, groups);

  std::vector<Unit> units;
  for (const auto& group : groups) {
    std::vector<int64_t> sizes;
    for (const size_t i : group.members) sizes.push_back(length_of(sequences[i]) - group.n_prefix);
    const size_t first = units.size();
    first_fit(sizes, length - group.n_prefix, [&](size_t item, size_t bin) {
      if (first + bin == units.size()) units.push_back({{}, group.n_prefix, group.n_prefix});
      units[first + bin].members.push_back(group.members[item]);
      units[first + bin].used += sizes[item];
    });
  }
  std::vector<int64_t> sizes;
  for (const auto& unit : units) sizes.push_back(unit.used);
  std::vector<Row> rows;
  first_fit(sizes, length, [&](size_t item, size_t bin) {
    if (bin == rows.size()) rows.emplace_back();
    rows[bin].units.push_back(item);
  });

  const auto per_batch = static_cast<size_t>(std::max<int64_t>(1, options.max_tokens / length));
  Writer writer(sequences, share, placements);
  std::vector<RowBatch> out;
  for (size_t from = 0; from < rows.size(); from += per_batch)
    out.push_back(writer.write(rows, from, std::min(per_batch, rows.size() - from), units, length, out.size()));
  return out;
}

RowBatch join_rows(std::span<const RowBatch> batches) {
  RowBatch out;
  const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  for (const auto& b : batches) {
    const auto shift = static_cast<int32_t>(out.rows * b.length);
    out.length = b.length;
    out.rows += b.rows;
    out.n_tokens += b.n_tokens;
    append(out.ids, b.ids);
    append(out.positions, b.positions);
    append(out.rope_keys, b.rope_keys);
    append(out.starts, b.starts);
    append(out.prefix_starts, b.prefix_starts);
    append(out.prefix_ends, b.prefix_ends);
    for (const int32_t at : b.loss_at) out.loss_at.push_back(at + shift);
    append(out.targets, b.targets);
    append(out.weights, b.weights);
  }
  return out;
}

}  // namespace slm::nn
