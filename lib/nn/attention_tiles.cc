#include "nn/attention_tiles.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace slm::nn {

using at::Tensor;

namespace {

// Rows (queries times heads of a group) of a tile; a group of more heads has one token a tile.
constexpr int64_t kTileRows = 64;
// Into so many parts, at least, is the backward pass of a layer cut: what may run at once. Fixed, so that sums are
// taken in the same order whatever the number of threads.
constexpr int64_t kParts = 16;

struct Tile {
  int32_t node, first;       // first token
  int64_t n_tokens, n_rows;  // n_rows: computed, a few sizes only, since libtorch makes code for each
};

int64_t tokens_a_tile(const AttentionShape& s) { return std::max<int64_t>(1, kTileRows / (s.n_heads / s.n_kv)); }

std::vector<Tile> tiles_of(const ForestPaths& paths, const AttentionShape& s) {
  std::vector<Tile> out;
  const int64_t most = tokens_a_tile(s), group = s.n_heads / s.n_kv;
  for (size_t i = 0; i < paths.nodes.size(); ++i)
    for (int64_t t = paths.nodes[i].begin; t < paths.nodes[i].end; t += most) {
      const int64_t n = std::min<int64_t>(most, paths.nodes[i].end - t);
      int64_t size = 1;
      while (size < n) size *= 2;
      out.push_back({static_cast<int32_t>(i), static_cast<int32_t>(t), n, std::min(size, most) * group});
    }
  return out;
}

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// The blocks that a tile's queries see, in order.
class Way {
 public:
  void find(const ForestPaths& paths, const Tile& tile, int64_t window) {
    blocks.clear();
    numbers.clear();
    const auto node = static_cast<size_t>(tile.node);
    const int64_t first = paths.positions[static_cast<size_t>(tile.first)], last = first + tile.n_tokens - 1;
    for (int32_t i = paths.path_begin[node]; i < paths.path_begin[node + 1]; ++i) {
      const int32_t number = paths.path_blocks[static_cast<size_t>(i)];
      const KeyBlock& block = paths.blocks[static_cast<size_t>(number)];
      if (block.position > last || (window > 0 && block.position + block.length <= first - window + 1)) continue;
      blocks.push_back(block);
      numbers.push_back(number);
    }
  }
  std::vector<KeyBlock> blocks;
  std::vector<int32_t> numbers;
};

// f(i) for i in [0, n), on all threads, as they come free. `T` is the type of the products in it.
template <class T, class F>
void on_all_threads(int64_t n, const F& f) {
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(at::get_num_threads(), n), 1, [&](int64_t from, int64_t to) {
    for (int64_t thread = from; thread < to; ++thread)
      for (int64_t i = next++; i < n; i = next++) f(i);
    at::native::cpublas::brgemm_release(std::is_same_v<T, at::BFloat16>);
  });
}

template <class T>
T* grown(std::vector<T>& v, int64_t n) {
  if (static_cast<int64_t>(v.size()) < n) v.resize(static_cast<size_t>(n));
  return v.data();
}

// One layer's attention for one element type.
template <class T>
class Tiles {
 public:
  Tiles(const Tensor& rotated, const AttentionContext& context, const AttentionShape& shape)
      : s_(shape),
        paths_(*context.paths),
        window_(context.window),
        group_(shape.n_heads / shape.n_kv),
        d_(shape.head_dim),
        n_blocks_(static_cast<int64_t>(paths_.blocks.size())),
        rotated_(rotated),
        x_(rotated.data_ptr<T>()),
        tiles_(tiles_of(paths_, shape)) {}

  Tensor forward(Tensor* lse) const {
    const Tensor key_columns = pack(&Tiles::key, true), value_rows = pack(&Tiles::value, false);
    Tensor out = at::empty({rotated_.size(0), s_.n_heads * d_}, rotated_.options());
    if (lse != nullptr) *lse = at::empty({rotated_.size(0), s_.n_heads}, at::kFloat);
    on_all_threads<T>(std::ssize(tiles_) * s_.n_kv, [&](int64_t task) {
      const Tile& tile = tiles_[static_cast<size_t>(task / s_.n_kv)];
      const int64_t head = task % s_.n_kv, rows = tile.n_rows;
      thread_local Way way;
      thread_local std::vector<T> q_tile, p_tile;
      thread_local std::vector<float> score_tile, out_tile, row_tile;
      way.find(paths_, tile, window_);
      const auto n = static_cast<int64_t>(way.blocks.size());
      T *q = grown(q_tile, rows * d_), *p = grown(p_tile, n * rows * kBlock);
      float *scores = grown(score_tile, n * rows * kBlock), *o = grown(out_tile, rows * d_);
      float *sum = grown(row_tile, 2 * rows), *log_sum = sum + rows;
      gather(tile, x_ + head * group_ * d_, s_.width(), q);
      for (int64_t b = 0; b < n; ++b)
        product(rows, columns(way.blocks[b]), d_, q, d_, packed(key_columns, head, way.numbers[b]), kBlock, false,
                scores + b * rows * kBlock, kBlock);
      kernels().tile_softmax(scores, way.blocks.data(), n, queries(tile), rows, p, sum,
                             lse != nullptr ? log_sum : nullptr, kBf);
      for (int64_t b = 0; b < n; ++b)
        product(rows, d_, columns(way.blocks[b]), p + b * rows * kBlock, kBlock,
                packed(value_rows, head, way.numbers[b]), d_, b > 0, o, d_);
      for (int64_t r = 0; r < tile.n_tokens * group_; ++r) sum[r] = 1.0f / sum[r];
      scatter(tile, o, sum, out.data_ptr<T>() + head * group_ * d_, s_.n_heads * d_);
      if (lse == nullptr) return;
      for (int64_t t = 0; t < tile.n_tokens; ++t)
        std::memcpy(lse->data_ptr<float>() + (tile.first + t) * s_.n_heads + head * group_, log_sum + t * group_,
                    static_cast<size_t>(group_) * sizeof(float));
    });
    return out;
  }

  Tensor backward(const Tensor& out, const Tensor& lse, const Tensor& d_out) const {
    const Tensor key_columns = pack(&Tiles::key, true), value_columns = pack(&Tiles::value, true),
                 key_rows = pack(&Tiles::key, false);
    Tensor d = at::empty_like(rotated_);
    const auto parts = cut();
    // Gradients of a block's keys and values, [D, kBlock] each, by head, part and block; undefined where untouched.
    const auto n_parts = std::ssize(parts);
    std::vector<std::vector<Tensor>> gathered(static_cast<size_t>(s_.n_kv * n_parts));
    on_all_threads<T>(s_.n_kv * n_parts, [&](int64_t task) {
      const int64_t head = task / n_parts;
      auto& sums = gathered[static_cast<size_t>(task)];
      sums.resize(static_cast<size_t>(n_blocks_));
      thread_local Way way;
      thread_local std::vector<T> narrow;
      thread_local std::vector<float> wide;
      const auto [from, to] = parts[static_cast<size_t>(task % n_parts)];
      for (size_t i = from; i < to; ++i) {
        const Tile& tile = tiles_[i];
        way.find(paths_, tile, window_);
        const int64_t rows = tile.n_rows, padded = round_up(rows, 32);
        T* q = grown(narrow, 2 * rows * d_ + 2 * padded * d_ + 3 * padded * kBlock);
        T *g = q + rows * d_, *q_t = g + rows * d_, *g_t = q_t + padded * d_, *ds = g_t + padded * d_;
        T *p_pairs = ds + padded * kBlock, *ds_pairs = p_pairs + padded * kBlock;
        float* scores = grown(wide, 2 * rows * kBlock + rows * d_ + 2 * rows);
        float *dp = scores + rows * kBlock, *dq = dp + rows * kBlock, *row_lse = dq + rows * d_,
              *delta = row_lse + rows;
        gather(tile, x_ + head * group_ * d_, s_.width(), q);
        gather(tile, d_out.data_ptr<T>() + head * group_ * d_, s_.n_heads * d_, g);
        kernels().transposed(q, rows, d_, q_t, padded, kBf);
        kernels().transposed(g, rows, d_, g_t, padded, kBf);
        for (int64_t t = 0; t < tile.n_tokens; ++t) {
          const int64_t at_row = (tile.first + t) * s_.n_heads + head * group_;
          kernels().row_dots(g + t * group_ * d_, out.data_ptr<T>() + at_row * d_, group_, d_, delta + t * group_, kBf);
          std::memcpy(row_lse + t * group_, lse.data_ptr<float>() + at_row,
                      static_cast<size_t>(group_) * sizeof(float));
        }
        for (size_t b = 0; b < way.blocks.size(); ++b) {
          const int32_t number = way.numbers[b];
          const int64_t n = columns(way.blocks[b]);
          Tensor& sum = sums[static_cast<size_t>(number)];
          const bool again = sum.defined();
          if (!again) sum = at::empty({2, d_, kBlock}, at::kFloat);
          float* d_keys = sum.data_ptr<float>();
          product(rows, n, d_, q, d_, packed(key_columns, head, number), kBlock, false, scores, kBlock);
          product(rows, n, d_, g, d_, packed(value_columns, head, number), kBlock, false, dp, kBlock);
          kernels().tile_softmax_backward(scores, dp, way.blocks[b], queries(tile), row_lse, delta, ds, p_pairs,
                                          ds_pairs, padded, kBf);
          product(rows, d_, n, ds, kBlock, packed(key_rows, head, number), d_, b > 0, dq, d_);
          product(d_, n, padded, q_t, padded, ds_pairs, kBlock, again, d_keys, kBlock);
          product(d_, n, padded, g_t, padded, p_pairs, kBlock, again, d_keys + d_ * kBlock, kBlock);
        }
        scatter(tile, dq, nullptr, d.data_ptr<T>() + head * group_ * d_, s_.width());
      }
    });
    at::parallel_for(0, s_.n_kv * n_blocks_, 1, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) add_up(gathered, n_parts, i / n_blocks_, i % n_blocks_, d);
    });
    return d;
  }

 private:
  static constexpr bool kBf = std::is_same_v<T, at::BFloat16>;
  using Source = const T* (Tiles::*)(int64_t token, int64_t head) const;

  // c [m, n] = a [m, k] · b [k, n], b in pairs of rows where T is bfloat16.
  static void product(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, bool add,
                      float* c, int64_t ldc) {
    if constexpr (kBf)
      at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, add, a, b, c, true);
    else
      at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, add, a, b, c, false);
  }

  const T* key(int64_t token, int64_t head) const { return x_ + token * s_.width() + (s_.n_heads + head) * d_; }
  const T* value(int64_t token, int64_t head) const { return key(token, head) + s_.n_kv * d_; }
  QueryTile queries(const Tile& tile) const {
    return {paths_.positions.data() + tile.first, tile.n_tokens, group_, window_, static_cast<float>(s_.softcap)};
  }
  // Columns computed of a block: few sizes, too.
  static int64_t columns(const KeyBlock& block) { return round_up(block.length, 16); }

  // Keys or values of every head and block as products take them.
  Tensor pack(Source source, bool as_columns) const {
    Tensor out = at::empty({s_.n_kv * n_blocks_, kBlock * d_}, rotated_.options());
    at::parallel_for(0, out.size(0), 4, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        const KeyBlock& block = paths_.blocks[static_cast<size_t>(i % n_blocks_)];
        const T* rows = (this->*source)(block.token, i / n_blocks_);
        T* to_pack = out.data_ptr<T>() + i * kBlock * d_;
        if (as_columns)
          kernels().block_columns(rows, s_.width(), block.length, d_, to_pack, kBf);
        else
          kernels().block_rows(rows, s_.width(), block.length, d_, to_pack, kBlock, kBf);
      }
    });
    return out;
  }
  const T* packed(const Tensor& packs, int64_t head, int32_t number) const {
    return packs.data_ptr<T>() + (head * n_blocks_ + number) * kBlock * d_;
  }

  // A tile's rows of one head, `stride` values a token; zeros up to n_rows.
  void gather(const Tile& tile, const T* source, int64_t stride, T* rows) const {
    const int64_t n = group_ * d_;
    for (int64_t t = 0; t < tile.n_tokens; ++t)
      std::memcpy(rows + t * n, source + (tile.first + t) * stride, static_cast<size_t>(n) * sizeof(T));
    std::memset(static_cast<void*>(rows + tile.n_tokens * n), 0,
                static_cast<size_t>(tile.n_rows * d_ - tile.n_tokens * n) * sizeof(T));
  }
  void scatter(const Tile& tile, const float* rows, const float* factors, T* to, int64_t stride) const {
    for (int64_t t = 0; t < tile.n_tokens; ++t)
      kernels().store_rows(rows + t * group_ * d_, factors != nullptr ? factors + t * group_ : nullptr, group_, d_,
                           to + (tile.first + t) * stride, d_, kBf);
  }

  // The tiles in stretches of about the same work.
  std::vector<std::pair<size_t, size_t>> cut() const {
    std::vector<int64_t> until;
    int64_t work = 0;
    for (const Tile& tile : tiles_) {
      const auto node = static_cast<size_t>(tile.node);
      until.push_back(work += tile.n_rows * (paths_.path_begin[node + 1] - paths_.path_begin[node]));
    }
    const int64_t n_parts = (kParts + s_.n_kv - 1) / s_.n_kv;
    std::vector<std::pair<size_t, size_t>> out;
    size_t from = 0;
    for (int64_t part = 1; part <= n_parts && from < tiles_.size(); ++part) {
      const auto it = std::lower_bound(until.begin(), until.end(), work * part / n_parts);
      const size_t to = std::min(tiles_.size(), static_cast<size_t>(it - until.begin()) + 1);
      if (to > from) out.emplace_back(from, to);
      from = std::max(from, to);
    }
    return out;
  }

  // The parts' gradients of one block's keys and values of a head, in the parts' order.
  void add_up(const std::vector<std::vector<Tensor>>& gathered, int64_t n_parts, int64_t head, int64_t number,
              const Tensor& d) const {
    const KeyBlock& block = paths_.blocks[static_cast<size_t>(number)];
    thread_local std::vector<float> sum_of, turned_of;
    const int64_t n = 2 * d_ * kBlock, row = round_up(d_, 32);
    float* sum = grown(sum_of, n);
    bool first = true;
    for (int64_t part = 0; part < n_parts; ++part) {
      const Tensor& t = gathered[static_cast<size_t>(head * n_parts + part)][static_cast<size_t>(number)];
      if (!t.defined()) continue;
      const float* from = t.data_ptr<float>();
      if (std::exchange(first, false))
        std::copy(from, from + n, sum);
      else
        for (int64_t i = 0; i < n; ++i) sum[i] += from[i];
    }
    float* turned = grown(turned_of, kBlock * row);
    for (const int64_t which : {0, 1}) {
      kernels().transposed(sum + which * d_ * kBlock, d_, kBlock, turned, row, false);
      const T* place = which == 0 ? key(block.token, head) : value(block.token, head);
      T* to = d.data_ptr<T>() + (place - x_);
      for (int64_t t = 0; t < block.length; ++t)
        kernels().store_rows(turned + t * row, nullptr, 1, d_, to + t * s_.width(), d_, kBf);
    }
  }

  const AttentionShape& s_;
  const ForestPaths& paths_;
  const int64_t window_, group_, d_, n_blocks_;
  const Tensor& rotated_;
  const T* x_;
  const std::vector<Tile> tiles_;
};

}  // namespace

Tensor tiles_forward(const Tensor& rotated, const AttentionContext& c, const AttentionShape& s, Tensor* lse) {
  return rotated.scalar_type() == at::kBFloat16 ? Tiles<at::BFloat16>(rotated, c, s).forward(lse)
                                                : Tiles<float>(rotated, c, s).forward(lse);
}

Tensor tiles_backward(const Tensor& rotated, const Tensor& out, const Tensor& lse, const Tensor& d_out,
                      const AttentionContext& c, const AttentionShape& s) {
  return rotated.scalar_type() == at::kBFloat16 ? Tiles<at::BFloat16>(rotated, c, s).backward(out, lse, d_out)
                                                : Tiles<float>(rotated, c, s).backward(out, lse, d_out);
}

}  // namespace slm::nn
