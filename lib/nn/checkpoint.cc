#include "nn/checkpoint.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace slm::nn {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

namespace {

struct Held : torch::CustomClassHolder {
  Held(LayerFunction f, bool has, at::ScalarType type) : layer(std::move(f)), has_y(has), y_type(type) {}
  LayerFunction layer;
  bool has_y;
  at::ScalarType y_type;
};

struct Recompute : torch::autograd::Function<Recompute> {
  // An empty y stands for none. `root` takes gradients, so that the way back comes here even where neither x nor y
  // does, as in the first layer over a frozen embedding.
  static tensor_list forward(AutogradContext* context, const Tensor& x, const Tensor& y, const Tensor& /*root*/,
                             const c10::intrusive_ptr<Held>& held) {
    // The sum, not both: so a layer costs one tensor of the stream.
    const Tensor sum = held->has_y ? at::add(x, y.to(x.scalar_type())) : x;
    context->save_for_backward({sum});
    context->saved_data["held"] = at::IValue::make_capsule(held);
    const NormOut out = held->layer(x, held->has_y ? y : Tensor());
    return {out.sum, out.normed};
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const Tensor sum = context->get_saved_variables()[0];
    const auto capsule = context->saved_data["held"].toCapsule();
    const auto& held = static_cast<const Held&>(*capsule);
    Tensor x = sum.detach(), y;
    x.requires_grad_(context->needs_input_grad(0));
    // y is in the sum already; zeros in its place get its gradient, by the same kernels.
    if (held.has_y) {
      y = at::zeros(sum.sizes(), sum.options().dtype(held.y_type));
      y.requires_grad_(context->needs_input_grad(1));
    }
    at::AutoGradMode with_grad(true);
    const NormOut again = held.layer(x, y);
    tensor_list from, with;
    const Tensor* outputs[] = {&again.sum, &again.normed};
    for (const size_t i : {0, 1}) {
      if (!outputs[i]->requires_grad()) continue;
      from.push_back(*outputs[i]);
      with.push_back(std::move(grads[i]));
    }
    if (!from.empty()) torch::autograd::backward(from, with);
    return {x.grad(), held.has_y ? y.grad() : Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

NormOut recomputed(const Tensor& x, const Tensor& y, LayerFunction layer) {
  if (!at::GradMode::is_enabled()) return layer(x, y);
  const Tensor none = at::empty({0}, x.options().requires_grad(false)), root = at::empty({0}, x.options());
  root.requires_grad_(true);
  const auto out = Recompute::apply(
      x, y.defined() ? y : none, root,
      c10::make_intrusive<Held>(std::move(layer), y.defined(), y.defined() ? y.scalar_type() : x.scalar_type()));
  return {out[0], out[1]};
}

}  // namespace slm::nn
