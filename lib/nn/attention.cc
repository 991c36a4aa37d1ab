#include "nn/attention.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "nn/attention_tiles.h"
#include "nn/engine.h"
#include "nn/ops.h"

namespace slm::nn {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

namespace {

constexpr int64_t kRowGrain = 64;

char* shifted(const Tensor& t, int64_t elements) {
  return static_cast<char*>(t.data_ptr()) + elements * t.element_size();
}
bool is_bf16(const Tensor& t) { return t.scalar_type() == at::kBFloat16; }
HeadShape head_shape(const AttentionShape& s) { return {s.n_heads, s.n_kv, s.head_dim, s.rotated}; }

// Into `out`, which may be qkv. sign −1 is the gradient of sign 1.
void rotate(const Tensor& qkv, const AttentionContext& c, const AttentionShape& s, float sign, const Tensor& out) {
  at::parallel_for(0, qkv.size(0), kRowGrain, [&](int64_t a, int64_t b) {
    kernels().rotate(shifted(qkv, a * s.width()), c.cos.data_ptr<float>(), c.sin.data_ptr<float>(),
                     c.rows.data_ptr<int32_t>() + a, static_cast<float>(s.scale), sign, b - a, head_shape(s),
                     shifted(out, a * s.width()), is_bf16(qkv));
  });
}

// What the backward pass needs beside tensors.
struct Held : torch::CustomClassHolder {
  Held(AttentionContext c, AttentionShape s) : context(std::move(c)), shape(s) {}
  AttentionContext context;
  AttentionShape shape;
};

struct TiledAttention : Function<TiledAttention> {
  static Tensor forward(AutogradContext* autograd, const Tensor& qkv, const AttentionContext& c,
                        const AttentionShape& s) {
    const Tensor rotated = at::empty_like(qkv);
    rotate(qkv, c, s, 1.0f, rotated);
    Tensor lse;
    Tensor out = tiles_forward(rotated, c, s, &lse);
    autograd->save_for_backward({rotated, out, lse});
    autograd->saved_data["held"] = at::IValue::make_capsule(c10::make_intrusive<Held>(c, s));
    return out;
  }
  static tensor_list backward(AutogradContext* autograd, tensor_list grads) {
    const auto saved = autograd->get_saved_variables();
    const auto capsule = autograd->saved_data["held"].toCapsule();
    const auto& held = static_cast<const Held&>(*capsule);
    const Tensor d = tiles_backward(saved[0], saved[1], saved[2], grads[0].contiguous(), held.context, held.shape);
    rotate(d, held.context, held.shape, -1.0f, d);
    return {d, Tensor(), Tensor()};
  }
};

// x [N, heads, D], cos and sin [N, 1, R/2]
Tensor rotate_plain(const Tensor& x, const Tensor& cos, const Tensor& sin, int64_t rotated) {
  const auto halves = x.narrow(-1, 0, rotated).chunk(2, -1);
  const Tensor turned = at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1);
  return rotated == x.size(-1) ? turned : at::cat({turned, x.narrow(-1, rotated, x.size(-1) - rotated)}, -1);
}

// Rotated queries and keys, and values: [N, H or K, D]; the queries not yet scaled.
struct Split {
  Tensor q, k, v;
};
Split split_plain(const Tensor& qkv, const AttentionContext& c, const AttentionShape& s) {
  const Tensor x = qkv.view({-1, s.n_heads + 2 * s.n_kv, s.head_dim});
  const Tensor cos = c.cos.index_select(0, c.rows).unsqueeze(1).to(qkv.scalar_type());
  const Tensor sin = c.sin.index_select(0, c.rows).unsqueeze(1).to(qkv.scalar_type());
  return {rotate_plain(x.narrow(1, 0, s.n_heads), cos, sin, s.rotated),
          rotate_plain(x.narrow(1, s.n_heads, s.n_kv), cos, sin, s.rotated), x.narrow(1, s.n_heads + s.n_kv, s.n_kv)};
}

// Queries [B, H, T, D] over keys and values [B, K, S, D]; hidden [B or 1, 1, T, S].
Tensor attend_plain(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& hidden, const AttentionShape& s) {
  const int64_t group = s.n_heads / s.n_kv;
  Tensor scores = at::matmul(q, k.repeat_interleave(group, 1).transpose(2, 3)) * s.scale;
  if (s.softcap > 0) scores = at::tanh(scores / s.softcap) * s.softcap;
  const Tensor p = at::softmax(scores.masked_fill(hidden, -std::numeric_limits<double>::infinity()), -1);
  return at::matmul(p, v.repeat_interleave(group, 1));
}

}  // namespace

std::shared_ptr<const ForestPaths> forest_paths(const ForestBatch& batch) {
  auto out = std::make_shared<ForestPaths>();
  out->nodes = batch.nodes;
  out->positions = batch.positions;
  for (const auto& node : batch.nodes) {
    out->path_begin.push_back(static_cast<int32_t>(out->path_blocks.size()));
    if (node.parent >= 0) {
      const auto parent = static_cast<size_t>(node.parent);
      for (int32_t i = out->path_begin[parent]; i < out->path_begin[parent + 1]; ++i)
        out->path_blocks.push_back(out->path_blocks[static_cast<size_t>(i)]);
    }
    for (int32_t t = node.begin; t < node.end; t += static_cast<int32_t>(kBlock)) {
      out->path_blocks.push_back(static_cast<int32_t>(out->blocks.size()));
      out->blocks.push_back(
          {t, std::min(static_cast<int32_t>(kBlock), node.end - t), batch.positions[static_cast<size_t>(t)]});
    }
  }
  out->path_begin.push_back(static_cast<int32_t>(out->path_blocks.size()));
  return out;
}

bool has_attention_tiles(const Tensor& qkv, const AttentionShape& s) {
  return has_kernel(qkv) && s.head_dim % 2 == 0 && (!is_bf16(qkv) || cpu_has_bf16());
}

AttentionParts attention_plain(const Tensor& qkv, const AttentionContext& c, const AttentionShape& s) {
  const Split x = split_plain(qkv, c, s);
  const auto options = at::TensorOptions().dtype(at::kLong).device(qkv.device());
  const Tensor positions = at::tensor(c.paths->positions, at::kLong).to(qkv.device());
  std::vector<Tensor> parts;
  for (const auto& node : c.paths->nodes) {
    std::vector<Tensor> path{at::arange(node.begin, node.end, options)};
    for (int32_t up = node.parent; up >= 0; up = c.paths->nodes[static_cast<size_t>(up)].parent)
      path.push_back(at::arange(c.paths->nodes[static_cast<size_t>(up)].begin,
                                c.paths->nodes[static_cast<size_t>(up)].end, options));
    const Tensor keys = at::cat(path);
    const Tensor at_key = positions.index_select(0, keys).unsqueeze(0);
    const Tensor at_query = positions.slice(0, node.begin, node.end).unsqueeze(1);
    Tensor hidden = at_key > at_query;
    if (c.window > 0) hidden = hidden | (at_key <= at_query - c.window);
    const auto heads = [](const Tensor& t) { return t.transpose(0, 1).unsqueeze(0); };
    const Tensor out = attend_plain(heads(x.q.slice(0, node.begin, node.end)), heads(x.k.index_select(0, keys)),
                                    heads(x.v.index_select(0, keys)), hidden.unsqueeze(0).unsqueeze(0), s);
    parts.push_back(out.squeeze(0).transpose(0, 1).reshape({node.end - node.begin, s.n_heads * s.head_dim}));
  }
  return {at::cat(parts), x.k.contiguous(), x.v.contiguous()};
}

Tensor attention(const Tensor& qkv, const AttentionContext& context, const AttentionShape& shape) {
  if (has_attention_tiles(qkv, shape)) return TiledAttention::apply(qkv, context, shape);
  return attention_plain(qkv, context, shape).out;
}

AttentionParts attention_with_cache(const Tensor& qkv, const AttentionContext& c, const AttentionShape& s) {
  if (!has_attention_tiles(qkv, s)) return attention_plain(qkv, c, s);
  const Tensor rotated = at::empty_like(qkv);
  rotate(qkv, c, s, 1.0f, rotated);
  const Tensor heads = rotated.view({-1, s.n_heads + 2 * s.n_kv, s.head_dim});
  return {tiles_forward(rotated, c, s, nullptr), heads.narrow(1, s.n_heads, s.n_kv),
          heads.narrow(1, s.n_heads + s.n_kv, s.n_kv)};
}

Tensor attend_cached(const Tensor& qkv, const AttentionContext& context, const AttentionShape& s,
                     const std::vector<int64_t>& lengths, Tensor& keys, Tensor& values) {
  const int64_t n = qkv.size(0), group = s.n_heads / s.n_kv, capacity = keys.size(2), window = context.window;
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end()) + 1;
  if (!has_kernel(qkv)) {
    const Split x = split_plain(qkv, context, s);
    const auto options = at::TensorOptions().dtype(at::kLong).device(qkv.device());
    const Tensor at_new = at::tensor(lengths, at::kLong).to(qkv.device()), rows = at::arange(n, options);
    keys.index_put_({rows, at::indexing::Slice(), at_new}, x.k);
    values.index_put_({rows, at::indexing::Slice(), at_new}, x.v);
    const Tensor at_key = at::arange(longest, options).view({1, 1, 1, longest}), last = at_new.view({n, 1, 1, 1});
    Tensor hidden = at_key > last;
    if (window > 0) hidden = hidden | (at_key <= last - window);
    return attend_plain(x.q.unsqueeze(2), keys.narrow(2, 0, longest), values.narrow(2, 0, longest), hidden, s)
        .reshape({n, s.n_heads * s.head_dim});
  }
  const Tensor rotated = at::empty_like(qkv), out = at::empty({n, s.n_heads * s.head_dim}, qkv.options());
  rotate(qkv, context, s, 1.0f, rotated);
  const auto bytes = static_cast<size_t>(s.head_dim * qkv.element_size());
  at::parallel_for(0, n * s.n_kv, 8, [&](int64_t from, int64_t to) {
    std::vector<float> scratch(static_cast<size_t>(longest));
    for (int64_t j = from; j < to; ++j) {
      const int64_t row = j / s.n_kv, head = j % s.n_kv, held = lengths[static_cast<size_t>(row)] + 1;
      const int64_t seen = window > 0 ? std::min(held, window) : held;
      const int64_t end = (j * capacity + held) * s.head_dim, q = row * s.width();
      std::memcpy(shifted(keys, end - s.head_dim), shifted(rotated, q + (s.n_heads + head) * s.head_dim), bytes);
      std::memcpy(shifted(values, end - s.head_dim), shifted(rotated, q + (s.n_heads + s.n_kv + head) * s.head_dim),
                  bytes);
      kernels().attend_one(shifted(rotated, q + head * group * s.head_dim), shifted(keys, end - seen * s.head_dim),
                           shifted(values, end - seen * s.head_dim), group, seen, s.head_dim,
                           static_cast<float>(s.softcap), scratch.data(), shifted(out, j * group * s.head_dim),
                           is_bf16(qkv));
    }
  });
  return out;
}

}  // namespace slm::nn
