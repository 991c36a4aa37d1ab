#include "finetune/pack.h"

#include <algorithm>
#include <numeric>

namespace slm::finetune {

namespace {

struct Row {
  std::vector<size_t> members;
  int64_t used = 0;
};

void place(nn::RowBatch& batch, int64_t offset, const Sequence& sequence) {
  const auto n = static_cast<int64_t>(sequence.ids.size());
  const int64_t row_start = offset / batch.length * batch.length;
  for (int64_t i = 0; i < n; ++i) {
    const auto flat = static_cast<size_t>(offset + i);
    batch.ids[flat] = sequence.ids[static_cast<size_t>(i)];
    batch.positions[flat] = static_cast<int32_t>(i);
    batch.starts[flat] = static_cast<int32_t>(offset - row_start);
    if (i == 0) continue;
    const float weight = static_cast<size_t>(i) < sequence.n_prompt ? sequence.prompt_weight : 1.0f;
    if (weight == 0) continue;
    batch.loss_at.push_back(static_cast<int32_t>(flat) - 1);
    batch.targets.push_back(sequence.ids[static_cast<size_t>(i)]);
    batch.weights.push_back(weight);
  }
  batch.n_tokens += n;
}

}  // namespace

std::vector<nn::RowBatch> pack_rows(std::span<const Sequence> sequences, const PackOptions& options) {
  std::vector<size_t> order(sequences.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return sequences[a].ids.size() > sequences[b].ids.size(); });
  if (order.empty()) return {};
  const auto longest = static_cast<int64_t>(sequences[order[0]].ids.size());
  const int64_t length = options.row_length > 0 ? options.row_length : (longest + 15) / 16 * 16;

  std::vector<Row> rows;
  size_t first_open = 0;  // rows before it have less room than the shortest sequence
  const auto shortest = static_cast<int64_t>(sequences[order.back()].ids.size());
  for (const size_t i : order) {
    const auto n = static_cast<int64_t>(sequences[i].ids.size());
    size_t r = first_open;
    while (r < rows.size() && rows[r].used + n > length) ++r;
    if (r == rows.size()) rows.emplace_back();
    rows[r].members.push_back(i);
    rows[r].used += n;
    while (first_open < rows.size() && rows[first_open].used + shortest > length) ++first_open;
  }

  const auto per_batch = static_cast<size_t>(std::max<int64_t>(1, options.max_tokens / length));
  std::vector<nn::RowBatch> out;
  for (size_t from = 0; from < rows.size(); from += per_batch) {
    const size_t n = std::min(per_batch, rows.size() - from);
    nn::RowBatch batch;
    batch.rows = static_cast<int64_t>(n);
    batch.length = length;
    const auto size = n * static_cast<size_t>(length);
    batch.ids.assign(size, 0);
    batch.positions.assign(size, 0);
    batch.starts.resize(size);
    // Padding sees only itself.
    for (size_t i = 0; i < size; ++i) batch.starts[i] = static_cast<int32_t>(i % static_cast<size_t>(length));
    for (size_t r = 0; r < n; ++r) {
      int64_t offset = static_cast<int64_t>(r) * length;
      for (const size_t i : rows[from + r].members) {
        place(batch, offset, sequences[i]);
        offset += static_cast<int64_t>(sequences[i].ids.size());
      }
    }
    out.push_back(std::move(batch));
  }
  return out;
}

nn::RowBatch join_rows(std::span<const nn::RowBatch> batches) {
  nn::RowBatch out;
  for (const auto& b : batches) {
    const auto shift = static_cast<int32_t>(out.rows * b.length);
    out.length = b.length;
    out.rows += b.rows;
    out.n_tokens += b.n_tokens;
    out.ids.insert(out.ids.end(), b.ids.begin(), b.ids.end());
    out.positions.insert(out.positions.end(), b.positions.begin(), b.positions.end());
    out.starts.insert(out.starts.end(), b.starts.begin(), b.starts.end());
    for (const int32_t at : b.loss_at) out.loss_at.push_back(at + shift);
    out.targets.insert(out.targets.end(), b.targets.begin(), b.targets.end());
    out.weights.insert(out.weights.end(), b.weights.begin(), b.weights.end());
  }
  return out;
}

}  // namespace slm::finetune
