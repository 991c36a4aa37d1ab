#include "nn/mamba.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

namespace slm::nn {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

namespace {

// What the projection gives, a token a row, in the wide type.
struct Projected {
  Tensor gate, convolved, dt;
};
Projected split(const Tensor& projected, const MambaConfig& c) {
  Tensor x = projected.scalar_type() == at::kDouble ? projected : projected.to(at::kFloat);
  const int64_t sizes[] = {c.inner(), c.inner(), c.n_groups * c.state, c.n_groups * c.state, c.n_heads};
  if (c.multipliers != std::array<double, 5>{1, 1, 1, 1, 1}) {
    std::vector<Tensor> factors;
    for (size_t i = 0; i < 5; ++i) factors.push_back(at::full({sizes[i]}, c.multipliers[i], x.options()));
    x = x * at::cat(factors);
  }
  return {x.narrow(1, 0, c.inner()), x.narrow(1, c.inner(), c.convolved()),
          x.narrow(1, c.inner() + c.convolved(), c.n_heads)};
}

Tensor time_steps(const Tensor& dt, const MambaWeights& w, const MambaConfig& c) {
  const Tensor out = at::softplus(dt + w.dt_bias);
  if (c.dt_min <= 0 && c.dt_max <= 0) return out;
  return at::clamp(out, c.dt_min, c.dt_max > 0 ? c.dt_max : std::numeric_limits<double>::infinity());
}

Tensor gated(const Tensor& y, const Tensor& gate, const MambaWeights& w, const MambaShape& shape) {
  using Gate = MambaConfig::Gate;
  const auto& c = shape.config;
  Tensor out = c.gate == Gate::kAfterNorm ? y : y * at::silu(gate);
  if (c.gate == Gate::kPlain) return out;
  const Tensor groups = out.view({-1, c.n_groups, c.inner() / c.n_groups});
  out = (groups * at::rsqrt(groups.square().mean(-1, true) + shape.norm_eps)).view(y.sizes()) * w.norm;
  return c.gate == Gate::kAfterNorm ? out * at::silu(gate) : out;
}

struct Scan {
  Tensor y;       // [N, H·P], before the gate
  Tensor states;  // after each chunk, [C, G, E·P, S]
};

// E heads of a group; tokens that no chunk has take no time, so they leave a state as it is.
Scan scan(const Tensor& convolved, const Tensor& dt, const MambaWeights& w, const MambaConfig& c,
          const Recurrence& where) {
  const int64_t n_chunks = where.n_chunks(), len = where.length, g = c.n_groups, e = c.n_heads / g, p = c.head_dim,
                s = c.state;
  const auto chunked = [&](const Tensor& t) {
    return at::constant_pad_nd(t, {0, 0, 0, 1}).index_select(0, where.tokens);
  };
  const Tensor xbc = chunked(convolved);
  const Tensor x = xbc.narrow(1, 0, c.inner()).view({n_chunks, len, g, e, p}).permute({0, 2, 3, 4, 1});
  const Tensor b = xbc.narrow(1, c.inner(), g * s).view({n_chunks, len, g, s}).transpose(1, 2);
  const Tensor read = xbc.narrow(1, c.inner() + g * s, g * s).view({n_chunks, len, g, s}).transpose(1, 2);
  const Tensor steps = chunked(dt).view({n_chunks, len, g, e}).permute({0, 2, 3, 1});  // [C, G, E, L]
  // Sums over a chunk in float64: what decays between two tokens is a difference of them.
  const Tensor decay = at::cumsum((steps * -at::exp(w.a_log).view({1, g, e, 1})).to(at::kDouble), -1);
  const auto exp_of = [&](const Tensor& t) { return at::exp(t.to(convolved.scalar_type())); };

  const Tensor taken = x * steps.unsqueeze(3);  // [C, G, E, P, L]
  const Tensor later =
      at::ones({len, len}, at::TensorOptions().dtype(at::kBool).device(convolved.device())).triu(1);  // than the reader
  const Tensor between =
      exp_of((decay.unsqueeze(-1) - decay.unsqueeze(-2)).masked_fill(later, -std::numeric_limits<double>::infinity()));
  const Tensor weights = at::matmul(read, b.transpose(2, 3)).unsqueeze(2) * between;  // [C, G, E, L, L]
  Tensor y = at::matmul(weights, taken.transpose(3, 4));                              // [C, G, E, L, P]

  const Tensor total = decay.narrow(-1, len - 1, 1);
  const Tensor kept = (taken * exp_of(total - decay).unsqueeze(3)).reshape({n_chunks, g, e * p, len});
  const Tensor own = at::matmul(kept, b);  // [C, G, E·P, S]: what a chunk adds
  const Tensor lasts = exp_of(total).expand({n_chunks, g, e, p}).reshape({n_chunks, g, e * p, 1});

  std::vector<Tensor> before, after{own.narrow(0, 0, where.level_begin[1])};
  for (int64_t level = 1; level < where.n_levels(); ++level) {
    const auto at_level = static_cast<size_t>(level);
    const int64_t from = where.level_begin[at_level], n = where.level_begin[at_level + 1] - from;
    before.push_back(after.back().index_select(0, where.parents[at_level - 1]));
    after.push_back(at::addcmul(own.narrow(0, from, n), before.back(), lasts.narrow(0, from, n)));
  }
  if (!before.empty()) {
    const int64_t first = where.level_begin[1], rest = n_chunks - first;
    const Tensor past = at::matmul(read.narrow(0, first, rest), at::cat(before).transpose(2, 3));  // [C', G, L, E·P]
    const Tensor faded =
        past.view({rest, g, len, e, p}).transpose(2, 3) * exp_of(decay.narrow(0, first, rest)).unsqueeze(-1);
    y = at::cat({y.narrow(0, 0, first), y.narrow(0, first, rest) + faded});
  }
  const Tensor rows = y.permute({0, 3, 1, 2, 4}).reshape({n_chunks * len, c.inner()}).index_select(0, where.places);
  const Tensor skip = convolved.narrow(1, 0, c.inner()).view({-1, c.n_heads, p}) * w.d.view({1, -1, 1});
  return {rows + skip.reshape(rows.sizes()), at::cat(after)};
}

Scan run(const Projected& parts, const MambaWeights& w, const MambaShape& shape, const Recurrence& where) {
  return scan(at::silu(causal_conv(parts.convolved, w.conv, where)), time_steps(parts.dt, w, shape.config), w,
              shape.config, where);
}

Tensor whole(const Tensor& projected, const MambaWeights& w, const MambaShape& shape, const Recurrence& where) {
  const Projected parts = split(projected, shape.config);
  return gated(run(parts, w, shape, where).y, parts.gate, w, shape).to(projected.scalar_type());
}

struct Held : torch::CustomClassHolder {
  Held(const MambaShape& s, const Recurrence& r) : shape(s), where(r) {}
  MambaShape shape;
  Recurrence where;
};

// A function's inputs must be tensors: an empty one stands for none.
Tensor or_empty(const Tensor& t, const Tensor& like) { return t.defined() ? t : at::empty({0}, like.options()); }
Tensor or_none(const Tensor& t) { return t.numel() > 0 ? t : Tensor(); }
MambaWeights weights_of(const tensor_list& t) { return {{t[1], or_none(t[2])}, t[3], t[4], t[5], or_none(t[6])}; }

// whole(), of which only the inputs are held until the gradient comes.
struct Recomputed : Function<Recomputed> {
  static Tensor forward(AutogradContext* context, const Tensor& projected, const Tensor& conv, const Tensor& conv_bias,
                        const Tensor& dt_bias, const Tensor& a_log, const Tensor& d, const Tensor& norm,
                        const c10::intrusive_ptr<Held>& held) {
    const tensor_list inputs{projected, conv, conv_bias, dt_bias, a_log, d, norm};
    context->save_for_backward(inputs);
    context->saved_data["held"] = at::IValue::make_capsule(held);
    return whole(projected, weights_of(inputs), held->shape, held->where);
  }
  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const auto capsule = context->saved_data["held"].toCapsule();
    const auto& held = static_cast<const Held&>(*capsule);
    tensor_list inputs, wanted, out(saved.size() + 1);
    std::vector<size_t> which;
    for (size_t i = 0; i < saved.size(); ++i) {
      inputs.push_back(saved[i].detach());
      if (!context->needs_input_grad(i)) continue;
      inputs.back().requires_grad_(true);
      wanted.push_back(inputs.back());
      which.push_back(i);
    }
    at::AutoGradMode with_grad(true);
    const Tensor again = whole(inputs[0], weights_of(inputs), held.shape, held.where);
    const auto found = torch::autograd::grad({again}, wanted, {grads[0]});
    for (size_t k = 0; k < which.size(); ++k) out[which[k]] = found[k];
    return out;
  }
};

}  // namespace

Tensor mamba(const Tensor& projected, const MambaWeights& w, const MambaShape& shape, const Recurrence& where) {
  if (!at::GradMode::is_enabled()) return whole(projected, w, shape, where);
  return Recomputed::apply(projected, w.conv.weight, or_empty(w.conv.bias, w.d), w.dt_bias, w.a_log, w.d,
                           or_empty(w.norm, w.d), c10::make_intrusive<Held>(shape, where));
}

Tensor mamba_with_state(const Tensor& projected, const MambaWeights& w, const MambaShape& shape,
                        const Recurrence& where, const MambaRows& rows, RecurrentState& state) {
  at::NoGradGuard no_grad;
  const auto& c = shape.config;
  const Projected parts = split(projected, c);
  const Scan all = run(parts, w, shape, where);
  std::vector<int64_t> chunks;
  for (const int32_t node : rows.nodes) chunks.push_back(where.last_chunk[static_cast<size_t>(node)]);
  const Tensor index = at::tensor(at::ArrayRef<int64_t>(chunks.data(), chunks.size()), at::kLong);
  state.state = all.states.index_select(0, index.to(projected.device()))
                    .view({std::ssize(rows.nodes), c.n_heads, c.head_dim, c.state});
  state.tail = conv_tails(parts.convolved, rows.paths, w.conv.taps());
  return gated(all.y, parts.gate, w, shape).to(projected.scalar_type());
}

Tensor mamba_step(const Tensor& projected, const MambaWeights& w, const MambaShape& shape, RecurrentState& state) {
  at::NoGradGuard no_grad;
  const auto& c = shape.config;
  const int64_t n = projected.size(0), g = c.n_groups, e = c.n_heads / g, p = c.head_dim, s = c.state;
  const Projected parts = split(projected, c);
  const Tensor xbc = at::silu(conv_step(parts.convolved, w.conv, state.tail));
  const Tensor x = xbc.narrow(1, 0, c.inner()).view({n, g, e, p});
  const Tensor b = xbc.narrow(1, c.inner(), g * s).view({n, g, 1, 1, s});
  const Tensor read = xbc.narrow(1, c.inner() + g * s, g * s).view({n, g, 1, 1, s});
  const Tensor dt = time_steps(parts.dt, w, c).view({n, g, e, 1});
  const Tensor kept = at::exp(dt * -at::exp(w.a_log).view({1, g, e, 1})).unsqueeze(-1);
  const Tensor old = state.state.view({n, g, e, p, s});
  const Tensor now = old * kept + (x * dt).unsqueeze(-1) * b;
  state.state = now.view({n, c.n_heads, p, s});
  const Tensor y = (now * read).sum(-1) + x * w.d.view({1, g, e, 1});
  return gated(y.reshape({n, c.inner()}), parts.gate, w, shape).to(projected.scalar_type());
}

}  // namespace slm::nn
