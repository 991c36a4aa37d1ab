#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

// Three sequences in two rows, laid out by hand, with a hole at the end of each.
nn::RowBatch packed(const std::vector<std::vector<int32_t>>& s, const std::vector<size_t>& n_prompt) {
  nn::RowBatch batch;
  batch.rows = 2;
  batch.length = 32;
  batch.ids.assign(64, 3);
  batch.positions.assign(64, 0);
  for (int32_t i = 0; i < 64; ++i) batch.starts.push_back(i % 32);
  const std::vector<size_t> at{0, s[0].size(), 32};
  for (size_t k = 0; k < 3; ++k)
    for (size_t t = 0; t < s[k].size(); ++t) {
      const size_t i = at[k] + t;
      batch.ids[i] = s[k][t];
      batch.positions[i] = static_cast<int32_t>(t);
      batch.starts[i] = static_cast<int32_t>(at[k] % 32);
      if (t == 0 || t < n_prompt[k]) continue;
      batch.loss_at.push_back(static_cast<int32_t>(i) - 1);
      batch.targets.push_back(s[k][t]);
      batch.weights.push_back(1);
    }
  return batch;
}

std::vector<at::Tensor> gradients(nn::Decoder& decoder, const std::vector<nn::RowBatch>& batches, double* loss) {
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

TEST(Decoder, PackingPaddingAndSplittingDoNotChangeTheGradient) {
  for (const auto& reference : references()) {
    const std::vector<std::vector<int32_t>> s{reference.ids(0), reference.ids(2), reference.ids(3)};
    const std::vector<size_t> n_prompt{5, 11, 4};
    for (const bool lora : {false, true}) {
      auto decoder = load(reference.dir, at::kFloat, !lora);
      if (lora) {
        auto adapter = nn::parse_adapter(reference.adapter()).value();
        ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, true));
      }
      std::vector<nn::RowBatch> single;
      for (size_t i = 0; i < 3; ++i) single.push_back(padded_batch({s[i]}, {n_prompt[i]}));
      double want_loss, loss;
      const auto want = gradients(decoder, single, &want_loss);
      for (const auto& batch : {padded_batch(s, n_prompt), padded_batch(s, n_prompt, 45), packed(s, n_prompt)}) {
        const auto ours = gradients(decoder, {batch}, &loss);
        EXPECT_NEAR(loss, want_loss, 1e-5 * want_loss);
        for (size_t i = 0; i < want.size(); ++i)
          EXPECT_LE(relative_norm(ours[i], want[i]), 2e-5) << decoder.parameters()[i].name;
      }
    }
  }
}

TEST(Decoder, SharingABeginningDoesNotChangeTheGradient) {
  for (const auto& reference : references()) {
    std::vector<nn::Sequence> sequences;
    for (int i = 0; i < reference.n_examples(); ++i) {
      auto ids = reference.ids(2);  // 12 tokens in common
      const auto rest = reference.ids(i);
      ids.insert(ids.end(), rest.begin(), rest.end());
      sequences.push_back({ids, 12 + reference.n_prompt(i), i % 2 == 0 ? 0.5f : 0.0f});
      sequences.push_back({rest, reference.n_prompt(i), 0.0f});
    }
    const auto alone = nn::pack_rows(sequences, {.row_length = 48, .max_tokens = 48, .share_prefixes = false});
    const auto shared = nn::pack_rows(sequences, {.row_length = 0, .max_tokens = 1 << 20});
    ASSERT_EQ(shared.size(), 1u);
    ASSERT_FALSE(shared[0].prefix_ends.empty());
    for (const auto compute : {at::kFloat, at::kDouble}) {  // the kernels, and plain operations
      auto decoder = load(reference.dir, compute);
      auto adapter = nn::parse_adapter(reference.adapter()).value();
      ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, true));
      double want_loss, loss;
      const auto want = gradients(decoder, alone, &want_loss), ours = gradients(decoder, shared, &loss);
      EXPECT_NEAR(loss, want_loss, 1e-5 * want_loss);
      for (size_t i = 0; i < want.size(); ++i)
        EXPECT_LE(relative_norm(ours[i], want[i]), compute == at::kDouble ? 1e-12 : 2e-5)
            << decoder.parameters()[i].name;
    }
  }
}

TEST(Decoder, LongRowsWorkThroughAttentionInParts) {
  // Scores of 8 rows of 750 tokens and 4 heads: 72 MB, more than are held at once; of one row: 9 MB.
  nn::ModelConfig config;
  config.vocab_size = 40;
  config.width = 16;
  config.n_layers = 1;
  config.n_heads = 4;
  config.n_kv_heads = 2;
  config.head_dim = 4;
  config.ffn_width = 16;
  config.max_positions = 1024;
  auto decoder = nn::Decoder::random(config, 1, {at::kFloat, at::kCPU, true}).value();
  Prng prng(2);
  std::vector<std::vector<int32_t>> rows(8);
  for (auto& row : rows)
    for (int t = 0; t < 750; ++t) row.push_back(static_cast<int32_t>(prng.below(40)));
  std::vector<nn::RowBatch> single;
  for (const auto& row : rows) single.push_back(padded_batch({row}, {0}));
  double want_loss, loss;
  const auto want = gradients(decoder, single, &want_loss);
  const auto ours = gradients(decoder, {padded_batch(rows, std::vector<size_t>(8, 0))}, &loss);
  EXPECT_NEAR(loss, want_loss, 1e-5 * want_loss);
  for (size_t i = 0; i < want.size(); ++i)
    EXPECT_LE(relative_norm(ours[i], want[i]), 1e-4) << decoder.parameters()[i].name;
}

TEST(Decoder, AFreshAdapterChangesNothingAndIsReproducible) {
  const auto reference = references()[0];
  auto decoder = load(reference.dir);
  const auto batch = padded_batch({reference.ids(0)}, {0});
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
  const auto loss = [&](uint64_t seed) { return decoder.loss(batch, seed).loss.item<double>(); };
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
  const auto batch = padded_batch({ids}, {0});
  const auto best = reference.get("logits.0").argmax(-1);
  int64_t want = 0;
  for (size_t t = 1; t < ids.size(); ++t) want += best[static_cast<int64_t>(t) - 1].item<int64_t>() == ids[t];
  EXPECT_EQ(decoder.loss(batch).hits, want);
  auto own = ids;
  own[1] = static_cast<int32_t>(best[0].item<int64_t>());
  auto first = padded_batch({{own[0], own[1]}}, {0});
  EXPECT_EQ(decoder.loss(first).hits, 1);
}

}  // namespace
}  // namespace slm::testing
