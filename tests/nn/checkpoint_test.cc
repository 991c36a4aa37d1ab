// Layers that are computed again on the way back give what layers give that are held: loss and gradients bit for bit.
#include "nn/checkpoint.h"

#include <ATen/Parallel.h>

#include "core/random.h"
#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

using at::Tensor;

class Checkpoint : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

struct Pass {
  std::vector<double> losses;
  std::vector<Tensor> gradients;  // of all micro-batches
};
Pass pass(nn::Decoder& decoder, const std::vector<nn::ForestBatch>& batches, bool recompute) {
  Pass out;
  for (const auto& p : decoder.parameters()) p.value.mutable_grad().reset();
  for (const auto& batch : batches) {
    const auto loss = decoder.loss(batch, {.dropout_seed = 5, .recompute = recompute}).loss;
    out.losses.push_back(loss.item<double>());
    loss.backward();
  }
  for (const auto& p : decoder.parameters())
    out.gradients.push_back(p.value.grad().defined() ? p.value.grad().clone() : Tensor());
  return out;
}

void expect_same(nn::Decoder& decoder, const std::vector<nn::ForestBatch>& batches) {
  const Pass held = pass(decoder, batches, false), again = pass(decoder, batches, true);
  EXPECT_EQ(again.losses, held.losses);
  const auto parameters = decoder.parameters();
  int64_t n = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    ASSERT_EQ(again.gradients[i].defined(), held.gradients[i].defined()) << parameters[i].name;
    if (!held.gradients[i].defined()) continue;
    EXPECT_TRUE(at::equal(again.gradients[i], held.gradients[i])) << parameters[i].name;
    n += held.gradients[i].norm().item<double>() > 0;
  }
  EXPECT_GE(2 * n, std::ssize(parameters)) << "gradients of nothing";
}

// Three calls of which two begin alike, and one by itself.
std::vector<nn::ForestBatch> forests(const nn::ModelConfig& config, bool shared) {
  Prng prng(3);
  std::vector<nn::Sequence> out(4);
  for (size_t i = 0; i < out.size(); ++i) {
    if (i == 1 || i == 2) out[i].ids = {out[0].ids.begin(), out[0].ids.begin() + 12};
    for (int k = 0; k < 20; ++k) out[i].ids.push_back(static_cast<int32_t>(3 + prng.below(30)));
    out[i].n_prompt = 9;
    out[i].rope_key = nn::rope_key(config, std::ssize(out[i].ids));
  }
  return nn::make_forests(out, {.max_tokens = 40, .share_prefixes = shared});
}

// Each kind of layer with its adapters as they are (LoRA, rsLoRA, DoRA; over NF4 too), with and without dropout, shared
// and apart, gradients added up over micro-batches; and all of its weights.
TEST_P(Checkpoint, GradientsAreThoseOfHeldActivations) {
  const fs::path dir = fs::path(SLM_SOURCE_DIR) / "tests/data/families" / GetParam();
  const auto reference = reference_in(dir);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    if (type == at::kBFloat16 && !nn::cpu_has_bf16()) continue;
    SCOPED_TRACE(c10::toString(type));
    auto decoder = load(dir, type);
    auto adapter = nn::parse_adapter(reference.adapter()).value();
    for (const double dropout : {0.0, 0.25}) {
      adapter.config.dropout = dropout;
      ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, true));
      const bool shared = dropout == 0;
      const auto batches = forests(decoder.config(), shared);
      ASSERT_GE(batches.size(), 2u);
      SCOPED_TRACE(fmt::format("dropout {}, shared {}", dropout, shared));
      expect_same(decoder, batches);
    }
    if (is_nf4(dir)) continue;
    auto full = load(dir, type, true);
    SCOPED_TRACE("all weights");
    expect_same(full, forests(full.config(), true));
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Checkpoint,
                         ::testing::Values("llama-wide", "llama-partial", "llama-dora", "llama-nf4-dora", "phi", "phi3",
                                           "phi3-longrope", "gemma2", "qwen3", "granite", "nemotron-h", "granite-h",
                                           "lfm2", "falcon-h1-norm"));

// The embedding is frozen, so nothing that the first layer is given takes a gradient.
TEST(Recompute, TheFirstLayersAdaptersGetTheirs) {
  const auto reference = references()[1];
  auto decoder = load(reference.dir);
  const auto adapter = nn::parse_adapter(reference.adapter()).value();
  ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, true));
  decoder.loss(reference_batch(reference), {.recompute = true}).loss.backward();
  int n_first = 0;
  for (const auto& p : decoder.parameters()) {
    if (p.name.find(".layers.0.") == std::string::npos) continue;
    ++n_first;
    EXPECT_GT(p.value.grad().norm().item<double>(), 0) << p.name;
  }
  EXPECT_GT(n_first, 0);
}

TEST(Recompute, RunsALayerTwiceAndOnlyWithGradients) {
  int n = 0;
  const Tensor w = at::full({3}, 2.0f).requires_grad_(true), x = at::ones({2, 3}).requires_grad_(true),
               y = at::ones({2, 3}).requires_grad_(true);
  const auto layer = [&](const Tensor& a, const Tensor& b) {
    ++n;
    const Tensor sum = b.defined() ? a + b : a;
    return nn::NormOut{sum, sum.square() * w};
  };
  const auto out = nn::recomputed(x, y, layer);
  EXPECT_EQ(n, 1);
  (out.sum.sum() * 10 + out.normed.sum()).backward();
  EXPECT_EQ(n, 2);
  // d(10 s + w s²) at s = 2, w = 2: 10 + 8; by w: Σ s² over two rows.
  for (const Tensor& t : {x, y}) EXPECT_TRUE(at::equal(t.grad(), at::full({2, 3}, 18.0f)));
  EXPECT_TRUE(at::equal(w.grad(), at::full({3}, 8.0f)));
  at::NoGradGuard no_grad;
  const auto plain = nn::recomputed(x, {}, layer);
  EXPECT_EQ(n, 3);
  EXPECT_FALSE(plain.normed.requires_grad());
}

// What of two may be missing: a second block's output, a gradient of the stream.
TEST(Recompute, AStreamThatNobodyReadsOn) {
  const Tensor w = at::full({3}, 2.0f).requires_grad_(true), x = at::ones({2, 3});
  const auto out = nn::recomputed(x, {}, [&](const Tensor& a, const Tensor&) { return nn::NormOut{a, a * w}; });
  out.normed.sum().backward();
  EXPECT_TRUE(at::equal(w.grad(), at::full({3}, 2.0f)));
  EXPECT_FALSE(x.grad().defined());
}

}  // namespace
}  // namespace slm::testing
