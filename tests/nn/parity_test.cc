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
      const auto ours = decoder.logits(batch_of({reference.ids(i)}, {0}));
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
        const auto ours = decoder.logits(batch_of({reference.ids(i)}, {0}));
        EXPECT_LE(relative_max(ours, reference.get("adapted_logits." + std::to_string(i))), kLogits)
            << reference.dir << i;
      }
    }
    decoder.clear_lora();
    const auto ours = decoder.logits(batch_of({reference.ids(0)}, {0}));
    EXPECT_LE(relative_max(ours, reference.get("logits.0")), kLogits);
  }
}

void expect_gradients(const Reference& reference, nn::Decoder& decoder) {
  size_t n = 0;
  for (const auto& slice : decoder.gradients()) {
    ASSERT_TRUE(slice.value.defined()) << slice.name;
    EXPECT_LE(relative_norm(slice.value, reference.get("grad." + slice.name)), kGradient) << slice.name;
    ++n;
  }
  EXPECT_EQ(n, decoder.weights().size());
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
      const auto ours = decoder.logits(batch_of({reference.ids(i)}, {0}));
      // Eight bits of mantissa through two layers of large random weights.
      EXPECT_LE(relative_max(ours, reference.get("logits." + std::to_string(i))), 0.06) << reference.dir << " " << i;
    }
  }
}

}  // namespace
}  // namespace slm::testing
