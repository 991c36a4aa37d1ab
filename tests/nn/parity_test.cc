// Logits, losses and gradients against transformers and peft.
#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

constexpr double kLogits = 1e-4;    // of the largest |logit|
constexpr double kGradient = 1e-4;  // of the tensor's norm

TEST(Parity, LogitsOfThePlainModel) {
  for (const auto& reference : references()) {
    auto decoder = load(reference.dir);
    for (int i = 0; i < reference.n_examples(); ++i) {
      const auto ours = decoder.logits(padded_batch({reference.ids(i)}, {0}));
      EXPECT_LE(relative_max(ours, reference.get("logits." + std::to_string(i))), kLogits) << reference.dir << " " << i;
    }
  }
}

TEST(Parity, LogitsWithAPeftAdapter) {
  for (const auto& reference : references()) {
    auto decoder = load(reference.dir);
    auto adapter = nn::parse_adapter(reference.adapter());
    ASSERT_TRUE(adapter) << adapter.error().message;
    for (const bool trainable : {false, true}) {
      ASSERT_TRUE(decoder.set_lora(adapter->config, adapter->pairs, trainable));
      for (int i = 0; i < reference.n_examples(); ++i) {
        const auto ours = decoder.logits(padded_batch({reference.ids(i)}, {0}));
        EXPECT_LE(relative_max(ours, reference.get("adapted_logits." + std::to_string(i))), kLogits)
            << reference.dir << i;
      }
    }
    decoder.clear_lora();
    const auto ours = decoder.logits(padded_batch({reference.ids(0)}, {0}));
    EXPECT_LE(relative_max(ours, reference.get("logits.0")), kLogits);
  }
}

// The checkpoint's slices of a parameter's gradient, by the checkpoint's names.
void expect_gradients(const Reference& reference, nn::Decoder& decoder) {
  const auto& c = decoder.config();
  const int64_t q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim;
  const auto check = [&](const std::string& name, const at::Tensor& ours) {
    const auto theirs = reference.get("grad." + name + ".weight");
    ASSERT_EQ(ours.sizes(), theirs.sizes()) << name;
    EXPECT_LE(relative_norm(ours, theirs), kGradient) << name;
  };
  int n = 0;
  for (const auto& p : decoder.parameters()) {
    const at::Tensor g = p.value.grad();
    ASSERT_TRUE(g.defined()) << p.name;
    ++n;
    if (p.name == "embed_tokens")
      check("model.embed_tokens", g);
    else if (p.name == "norm")
      check("model.norm", g);
    else if (p.name == "lm_head")
      check("lm_head", g);
    else {
      const std::string layer = "model." + p.name.substr(0, p.name.rfind('.')),
                        part = p.name.substr(p.name.rfind('.') + 1);
      if (part == "norm1")
        check(layer + ".input_layernorm", g);
      else if (part == "norm2")
        check(layer + ".post_attention_layernorm", g);
      else if (part == "o")
        check(layer + ".self_attn.o_proj", g);
      else if (part == "down")
        check(layer + ".mlp.down_proj", g);
      else if (part == "gate_up") {
        check(layer + ".mlp.gate_proj", g.narrow(0, 0, c.ffn_width));
        check(layer + ".mlp.up_proj", g.narrow(0, c.ffn_width, c.ffn_width));
      } else {
        ASSERT_EQ(part, "qkv");
        check(layer + ".self_attn.q_proj", g.narrow(0, 0, q));
        check(layer + ".self_attn.k_proj", g.narrow(0, q, kv));
        check(layer + ".self_attn.v_proj", g.narrow(0, q + kv, kv));
      }
    }
  }
  EXPECT_EQ(n, 6 * c.n_layers + (c.tied_embeddings ? 2 : 3));
}

TEST(Parity, LossAndGradientsOfAllWeights) {
  for (const auto& reference : references()) {
    auto decoder = load(reference.dir, at::kFloat, true);
    const auto batch = reference_batch(reference);
    const auto out = decoder.loss(batch);
    const double weight = batch.loss_weight();
    EXPECT_NEAR(out.loss.item<double>() / weight, reference.get("loss").item<float>(), 2e-5);
    (out.loss / weight).backward();
    expect_gradients(reference, decoder);
  }
}

TEST(Parity, LossAndGradientsOfAnAdapter) {
  for (const auto& reference : references()) {
    auto decoder = load(reference.dir);
    auto adapter = nn::parse_adapter(reference.adapter()).value();
    ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, true));
    const auto batch = reference_batch(reference);
    const auto out = decoder.loss(batch);
    EXPECT_NEAR(out.loss.item<double>() / batch.loss_weight(), reference.get("adapted_loss").item<float>(), 2e-5);
    (out.loss / batch.loss_weight()).backward();
    size_t n = 0;
    for (const auto& p : decoder.parameters()) {
      EXPECT_LE(relative_norm(p.value.grad(), reference.get("adapted_grad." + p.name)), kGradient) << p.name;
      ++n;
    }
    EXPECT_EQ(n, adapter.pairs.size() * 2);
  }
}

TEST(Parity, PlainOperationsAgreeToo) {
  // In float64 the decoder runs plain ATen operations: the path of other devices.
  for (const auto& reference : references()) {
    auto decoder = load(reference.dir, at::kDouble);
    auto adapter = nn::parse_adapter(reference.adapter()).value();
    ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, true));
    const auto batch = reference_batch(reference);
    const auto out = decoder.loss(batch);
    EXPECT_NEAR(out.loss.item<double>() / batch.loss_weight(), reference.get("adapted_loss").item<float>(), 2e-5);
    (out.loss / batch.loss_weight()).backward();
    for (const auto& p : decoder.parameters())
      EXPECT_LE(relative_norm(p.value.grad(), reference.get("adapted_grad." + p.name)), kGradient) << p.name;
  }
}

TEST(Parity, BFloat16IsClose) {
  for (const auto& reference : references()) {
    auto decoder = load(reference.dir, at::kBFloat16);
    for (int i = 0; i < reference.n_examples(); ++i) {
      const auto ours = decoder.logits(padded_batch({reference.ids(i)}, {0}));
      // Eight bits of mantissa through two layers of large random weights.
      EXPECT_LE(relative_max(ours, reference.get("logits." + std::to_string(i))), 0.06) << reference.dir << " " << i;
    }
  }
}

}  // namespace
}  // namespace slm::testing
