#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

std::vector<at::Tensor> gradients(nn::Decoder& decoder, const std::vector<nn::ForestBatch>& batches, double* loss) {
  *loss = 0;
  for (const auto& batch : batches) {
    auto out = decoder.loss(batch);
    out.loss.backward();
    *loss += out.loss.item<double>();
  }
  std::vector<at::Tensor> out;
  for (const auto& p : decoder.parameters()) {
    out.push_back(p.value.grad().clone());
    p.value.mutable_grad().reset();
  }
  return out;
}

TEST(Decoder, SplittingDoesNotChangeTheGradient) {
  for (const auto& reference : references()) {
    const std::vector<std::vector<int32_t>> s{reference.ids(0), reference.ids(2), reference.ids(3)};
    const std::vector<size_t> n_prompt{5, 11, 4};
    for (const bool lora : {false, true}) {
      auto decoder = load(reference.dir, at::kFloat, !lora);
      if (lora) {
        auto adapter = nn::parse_adapter(reference.adapter()).value();
        ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, true));
      }
      std::vector<nn::ForestBatch> single;
      for (size_t i = 0; i < 3; ++i) single.push_back(batch_of({s[i]}, {n_prompt[i]}));
      double want_loss, loss;
      const auto want = gradients(decoder, single, &want_loss);
      const auto ours = gradients(decoder, {batch_of(s, n_prompt)}, &loss);
      EXPECT_NEAR(loss, want_loss, 1e-5 * want_loss);
      for (size_t i = 0; i < want.size(); ++i)
        EXPECT_LE(relative_norm(ours[i], want[i]), 2e-5) << decoder.parameters()[i].name;
    }
  }
}

// Two kinds of layers, one with a window that begins within what is shared; more query heads than key heads.
nn::ModelConfig branching_config() {
  nn::ModelConfig config;
  config.vocab_size = 60;
  config.width = 48;
  config.n_layers = 4;
  config.n_heads = 6;
  config.n_kv_heads = 2;
  config.head_dim = 12;
  config.ffn_width = 40;
  config.max_positions = 1024;
  for (int i = 0; i < 4; ++i) config.layers.push_back({i % 2 == 0 ? 0 : 50, 0});
  return config;
}

// Sessions under two system prompts whose turns grow; a session that is the beginning of another; a duplicate.
std::vector<nn::Sequence> branching(Prng& prng) {
  std::vector<nn::Sequence> out;
  const auto grown = [&](std::vector<int32_t> ids, uint64_t n) {
    for (uint64_t t = 0; t < n; ++t) ids.push_back(static_cast<int32_t>(prng.below(60)));
    return ids;
  };
  for (int system = 0; system < 2; ++system) {
    const auto beginning = grown({}, 75);
    for (int session = 0; session < 3; ++session) {
      auto history = beginning;
      for (int turn = 0; turn < 3; ++turn) {
        history = grown(history, 9 + prng.below(60));
        out.push_back({history, history.size() - 9, turn == 1 ? 0.5f : 0.0f, 0});
      }
    }
  }
  out.push_back(out[4]);
  return out;
}

TEST(Decoder, SharingBranchesDoesNotChangeTheGradient) {
  Prng prng(3);
  const auto sequences = branching(prng);
  const auto alone = nn::make_forests(sequences, {.max_tokens = 1, .share_prefixes = false});
  const auto shared = nn::make_forests(sequences, {.max_tokens = 1 << 20});
  ASSERT_EQ(alone.size(), sequences.size());
  ASSERT_EQ(shared.size(), 1u);
  ASSERT_LT(shared[0].size() * 2, shared[0].n_tokens);
  std::vector<at::Tensor> exact;  // gradients in double precision
  for (const auto compute : {at::kDouble, at::kFloat}) {
    for (const bool lora : {true, false}) {
      auto decoder = nn::Decoder::random(branching_config(), 1, {compute, at::kCPU, !lora}).value();
      nn::LoraConfig config;
      config.rank = 4;
      if (lora) {
        ASSERT_TRUE(decoder.add_lora(config, 5, true));
        Prng values(6);
        at::NoGradGuard no_grad;
        for (const auto& pair : decoder.lora_pairs())  // zero, it would hide errors of A
          for (int64_t i = 0; i < pair.b.size(0); ++i) pair.b[i].fill_(0.1 * values.normal());
      }
      double want_loss, loss;
      const auto want = gradients(decoder, alone, &want_loss), ours = gradients(decoder, shared, &loss);
      EXPECT_NEAR(loss, want_loss, (compute == at::kDouble ? 1e-12 : 1e-6) * want_loss);
      for (size_t i = 0; i < want.size(); ++i)
        EXPECT_LE(relative_norm(ours[i], want[i]), compute == at::kDouble ? 1e-10 : 2e-5)
            << decoder.parameters()[i].name;
      if (compute == at::kDouble) {
        exact.insert(exact.end(), ours.begin(), ours.end());
        continue;
      }
      for (size_t i = 0; i < ours.size(); ++i)
        EXPECT_LE(relative_norm(ours[i], exact[lora ? i : exact.size() - ours.size() + i]), 2e-5)
            << decoder.parameters()[i].name;
    }
  }
}

TEST(Decoder, AFreshAdapterChangesNothingAndIsReproducible) {
  const auto reference = references()[0];
  auto decoder = load(reference.dir);
  const auto batch = batch_of({reference.ids(0)}, {0});
  const auto before = decoder.logits(batch);
  nn::LoraConfig lora;
  lora.rank = 4;
  ASSERT_TRUE(decoder.add_lora(lora, 11, true));
  EXPECT_TRUE(at::equal(decoder.logits(batch), before));
  EXPECT_EQ(decoder.lora_pairs().size(), 14u);
  const auto a = decoder.lora_pairs()[3].a.detach().clone();
  ASSERT_TRUE(decoder.add_lora(lora, 11, true));
  EXPECT_TRUE(at::equal(decoder.lora_pairs()[3].a, a));
  ASSERT_TRUE(decoder.add_lora(lora, 12, true));
  EXPECT_FALSE(at::equal(decoder.lora_pairs()[3].a, a));
  lora.targets = {"q_proj", "down_proj"};
  ASSERT_TRUE(decoder.add_lora(lora, 11, true));
  EXPECT_EQ(decoder.lora_pairs().size(), 4u);
  lora.targets = {"w_proj"};
  EXPECT_EQ(decoder.add_lora(lora, 11, true).error().code, ErrorCode::kUsage);
  lora.targets = {};
  lora.rank = 0;
  EXPECT_EQ(decoder.add_lora(lora, 11, true).error().code, ErrorCode::kUsage);
}

TEST(Decoder, DropoutIsSeededAndOffWithoutGradients) {
  const auto reference = references()[1];
  auto decoder = load(reference.dir);
  auto adapter = nn::parse_adapter(reference.adapter()).value();
  adapter.config.dropout = 0.3;
  ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, true));
  const auto batch = reference_batch(reference);
  const auto loss = [&](uint64_t seed) { return decoder.loss(batch, {.dropout_seed = seed}).loss.item<double>(); };
  EXPECT_EQ(loss(1), loss(1));
  EXPECT_NE(loss(1), loss(2));
  at::NoGradGuard no_grad;
  EXPECT_EQ(loss(1), loss(2));
  EXPECT_NEAR(loss(1) / batch.loss_weight(), reference.get("adapted_loss").item<float>(), 2e-5);
}

TEST(Decoder, WhatItWritesItReads) {
  const auto reference = references()[0];
  const auto decoder = load(reference.dir);
  const auto file = nn::SafeTensors::open(reference.dir / "model.safetensors").value();
  size_t n = 0;
  for (const auto& slice : decoder.weights()) {
    const at::Tensor written = nn::tensor_of(file.tensors().at(slice.name)).value();
    EXPECT_TRUE(at::equal(slice.value.contiguous(), written.to(at::kFloat))) << slice.name;
    ++n;
  }
  EXPECT_EQ(n, file.tensors().size());
}

TEST(Decoder, HitsCountTheMostLikelyToken) {
  const auto reference = references()[1];
  auto decoder = load(reference.dir);
  const auto ids = reference.ids(0);
  const auto batch = batch_of({ids}, {0});
  const auto best = reference.get("logits.0").argmax(-1);
  int64_t want = 0;
  for (size_t t = 1; t < ids.size(); ++t) want += best[static_cast<int64_t>(t) - 1].item<int64_t>() == ids[t];
  EXPECT_EQ(decoder.loss(batch).hits, want);
  auto own = ids;
  own[1] = static_cast<int32_t>(best[0].item<int64_t>());
  auto first = batch_of({{own[0], own[1]}}, {0});
  EXPECT_EQ(decoder.loss(first).hits, 1);
}

}  // namespace
}  // namespace slm::testing
