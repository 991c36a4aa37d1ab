// Every family of decoders against transformers and peft: tests/data/families (see its README), and fresh models where
// scripts/interop/run.sh has made them. With SLMCONV_INTEROP_TABLE the deviations are appended to that file.
#include <fmt/format.h>

#include "nn/merge.h"
#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

constexpr double kBound = 1e-4;  // max|Δ| / max|logit|; for gradients ‖Δ‖ / ‖theirs‖ of each tensor

class Family : public ::testing::TestWithParam<fs::path> {
 protected:
  Reference reference_ = reference_in(GetParam());

  void record(const char* what, double deviation) const { record_deviation(GetParam(), what, deviation); }
  // The reference's examples as a batch of ours; shared: those that begin alike share what they begin with.
  std::vector<nn::ForestBatch> packed(const nn::ModelConfig& config, bool shared) const {
    std::vector<nn::Sequence> sequences;
    for (int i = 0; i < reference_.n_examples(); ++i) {
      const auto ids = reference_.ids(i);
      sequences.push_back({ids, reference_.n_prompt(i), 0, nn::rope_key(config, std::ssize(ids))});
    }
    return nn::make_forests(sequences, {.max_tokens = 1 << 20, .share_prefixes = shared});
  }
  double worst(nn::Decoder& decoder, const std::string& what) const {
    double out = 0;
    for (int i = 0; i < reference_.n_examples(); ++i)
      out = std::max(
          out, relative_max(logits_of(decoder, reference_.ids(i)), reference_.get(fmt::format("{}.{}", what, i))));
    return out;
  }
};

TEST_P(Family, LogitsEqualTransformers) {
  for (const auto type : {at::kFloat, at::kDouble}) {  // fused kernels; plain operations
    auto decoder = load(GetParam(), type);
    const double deviation = worst(decoder, "logits");
    EXPECT_LE(deviation, kBound);
    if (type == at::kFloat) record("logits", deviation);
  }
  auto rough = load(GetParam(), at::kBFloat16);
  EXPECT_LE(worst(rough, "logits"), 0.1);  // eight bits of mantissa through layers of large random weights
}

TEST_P(Family, AdaptersEqualPeft) {
  auto decoder = load(GetParam());
  auto adapter = nn::parse_adapter(reference_.adapter());
  ASSERT_TRUE(adapter) << adapter.error().message;
  ASSERT_TRUE(decoder.set_lora(adapter->config, adapter->pairs, false));
  const double deviation = worst(decoder, "adapted_logits");
  EXPECT_LE(deviation, kBound);
  record("adapted", deviation);
  ASSERT_TRUE(decoder.set_lora(adapter->config, adapter->pairs, true));  // not packed
  EXPECT_LE(worst(decoder, "adapted_logits"), kBound);
  decoder.clear_lora();
  EXPECT_LE(worst(decoder, "logits"), kBound);
}

TEST_P(Family, AMergedModelEqualsTheAdapter) {
  // Where asked, for transformers to load.
  const char* kept = std::getenv("SLMCONV_INTEROP_MERGED");
  const fs::path dir = fs::path(kept != nullptr ? kept : ::testing::TempDir()) / GetParam().filename();
  fs::create_directories(dir);
  fs::copy_file(GetParam() / "config.json", dir / "config.json", fs::copy_options::overwrite_existing);
  const auto merged =
      nn::merge_weights(GetParam(), reference_.adapter(), nn::DType::kFloat32, dir / "model.safetensors");
  ASSERT_TRUE(merged) << merged.error().message;
  auto merged_decoder = nn::Decoder::load(dir, {}).value();  // a QLoRA's too is a model like any other now
  EXPECT_LE(worst(merged_decoder, "adapted_logits"), kBound);
  // In the base's own type, which is bfloat16 for half of them, as many bytes as the base.
  ASSERT_TRUE(nn::merge_weights(GetParam(), reference_.adapter(), nn::DType::kAuto, dir / "own.safetensors"));
  const auto own = nn::SafeTensors::open(dir / "own.safetensors").value();
  const auto base = nn::WeightFiles::open(GetParam()).value();
  for (const auto& [name, view] : own.tensors()) EXPECT_EQ(view.dtype, base.find(name)->dtype) << name;
  fs::remove(dir / "own.safetensors");
}

TEST(Merge, AnAdapterOfAnotherModelIsRefused) {
  const auto all = family_dirs();
  const auto adapter_of = [&](const char* row) { return reference_in(all[0].parent_path() / row).adapter(); };
  const fs::path out = fs::path(::testing::TempDir()) / "merged.safetensors";
  const auto other_names = nn::merge_weights(all[0].parent_path() / "llama", adapter_of("phi3"), nn::DType::kAuto, out);
  EXPECT_EQ(other_names.error().code, ErrorCode::kManifestMismatch);
  const auto other_shapes =
      nn::merge_weights(all[0].parent_path() / "llama", adapter_of("llama3"), nn::DType::kAuto, out);
  EXPECT_EQ(other_shapes.error().code, ErrorCode::kManifestMismatch);
  EXPECT_FALSE(fs::exists(out));
}

TEST_P(Family, GradientsEqualPeft) {
  double most = 0;
  for (const bool shared : {false, true})
    for (const auto type : {at::kFloat, at::kDouble}) {
      auto decoder = load(GetParam(), type);
      auto adapter = nn::parse_adapter(reference_.adapter()).value();
      ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, true));
      const auto batches = packed(decoder.config(), shared);
      at::Tensor loss;
      double weight = 0;
      for (const auto& batch : batches) {
        // The two that begin alike, unless their positions are of different kinds.
        EXPECT_LE(batch.size() == batch.n_tokens, !shared || !batch.rope_keys.empty());
        const auto out = decoder.loss(batch).loss;
        loss = loss.defined() ? loss + out : out;
        weight += batch.loss_weight();
      }
      EXPECT_NEAR(loss.item<double>() / weight, reference_.get("adapted_loss").item<float>(), 2e-5);
      (loss / weight).backward();
      for (const auto& p : decoder.parameters()) {
        const double deviation = relative_norm(p.value.grad(), reference_.get("adapted_grad." + p.name));
        EXPECT_LE(deviation, kBound) << p.name;
        most = std::max(most, deviation);
      }
    }
  if (reference_.has("grad.lm_head.weight") ||
      reference_.has("grad.model.embed_tokens.weight")) {  // of most, fresh ones only: they are as large as the model
    auto decoder = load(GetParam(), at::kFloat, true);
    const auto batches = packed(decoder.config(), false);
    ASSERT_EQ(batches.size(), 1u);
    (decoder.loss(batches[0]).loss / batches[0].loss_weight()).backward();
    for (const auto& slice : decoder.gradients()) {
      ASSERT_TRUE(slice.value.defined()) << slice.name;
      const double deviation = relative_norm(slice.value, reference_.get("grad." + slice.name));
      EXPECT_LE(deviation, kBound) << slice.name;
      most = std::max(most, deviation);
    }
  }
  record("gradients", most);
}

// A token at a time from a prompt of 5 on, through the engine: the prompt decides the set of rotary frequencies, so
// only sequences that keep to it are compared.
TEST_P(Family, DecodingEqualsTransformers) {
  auto engine = nn::Engine::load(GetParam(), {nn::DType::kFloat32, "cpu", 0, is_nf4(GetParam())});
  ASSERT_TRUE(engine) << engine.error().message;
  const auto& config = (*engine)->config();
  double most = 0;
  int n_compared = 0;
  for (int i = 0; i < reference_.n_examples(); ++i) {
    const auto ids = reference_.ids(i);
    if (nn::rope_key(config, std::ssize(ids)) != nn::rope_key(config, 5)) continue;
    ++n_compared;
    const auto theirs = reference_.get(fmt::format("logits.{}", i));
    std::vector<float> row;
    auto cache = (*engine)->prefill(std::vector<std::vector<int32_t>>{{ids.begin(), ids.begin() + 5}}, row);
    ASSERT_TRUE(cache) << cache.error().message;
    for (size_t t = 5;; ++t) {
      const auto ours = at::tensor(at::ArrayRef<float>(row.data(), row.size()));
      most = std::max(most, (ours - theirs[static_cast<int64_t>(t) - 1]).abs().max().item<double>() /
                                theirs.abs().max().item<double>());
      if (t == ids.size()) break;
      const int32_t next[] = {ids[t]};
      ASSERT_TRUE((*engine)->step(**cache, next, row));
    }
  }
  EXPECT_GT(n_compared, 0);
  EXPECT_LE(most, kBound);
  record("decoding", most);
}

// The reference can tell: each of these fields, read wrongly, would show.
TEST(Families, EveryFieldMatters) {
  struct Change {
    const char *row, *key, *value;
  };
  constexpr Change kChanges[] = {
      {"llama", "rms_norm_eps", "0.5"},
      {"llama", "rope_theta", "10.0"},
      {"llama3", "rope_scaling", "null"},
      {"llama-linear", "rope_scaling", "null"},
      {"llama-dynamic", "rope_scaling", "null"},
      {"llama-yarn", "rope_parameters", R"({"rope_type":"default","rope_theta":10000.0})"},
      {"llama-yarn", "rope_parameters",
       R"({"rope_type":"yarn","rope_theta":10000.0,"factor":4.0,"original_max_position_embeddings":10,
           "beta_fast":4.0,"beta_slow":1.0,"attention_factor":1.0})"},
      {"mistral", "sliding_window", "null"},
      {"qwen2-yarn-window", "use_sliding_window", "false"},
      {"qwen2-yarn-window", "max_window_layers", "0"},
      {"smollm3", "no_rope_layer_interval", "100"},
      {"granite", "embedding_multiplier", "1.0"},
      {"granite", "logits_scaling", "1.0"},
      {"granite", "residual_multiplier", "1.0"},
      {"granite", "attention_multiplier", "1.0"},
      {"phi", "partial_rotary_factor", "1.0"},
      {"phi", "layer_norm_eps", "0.5"},
      {"phi3", "sliding_window", "null"},
      {"phi3-longrope", "original_max_position_embeddings", "63"},
      {"phi3-longrope", "original_max_position_embeddings", "2"},
      {"gemma2", "attn_logit_softcapping", "null"},
      {"gemma2", "final_logit_softcapping", "null"},
      {"gemma2", "query_pre_attn_scalar", "8"},
      {"gemma2", "sliding_window", "null"},
      {"gemma3", "rope_local_base_freq", "1000000.0"},
      {"gemma3", "sliding_window_pattern", "2"},
      {"gemma3", "rope_scaling", "null"},
      {"gemma3-new", "layer_types", R"(["full_attention","full_attention","sliding_attention","full_attention"])"},
      {"nemotron-h", "layer_norm_epsilon", "0.5"},
      {"nemotron-h", "time_step_limit", "[0.9,1.0]"},
      {"nemotron-h-new", "time_step_limit", "[0.0,1e9]"},
      {"granite-h", "position_embedding_type", "\"rope\""},
      {"granite-h", "embedding_multiplier", "1.0"},
      {"granite-h", "residual_multiplier", "1.0"},
      {"granite-h", "attention_multiplier", "1.0"},
      {"granite-h-new", "position_embedding_type", "null"},
      {"granite-h-new", "time_step_limit", "[0.6,1e9]"},
      {"granite-h-new", "time_step_limit", "[0.0,0.8]"},
      {"lfm2", "rope_theta", "10.0"},
      {"lfm2", "norm_eps", "0.5"},
      {"falcon-h1", "rope_theta", "10.0"},
      {"falcon-h1", "embedding_multiplier", "1.0"},
      {"falcon-h1", "lm_head_multiplier", "1.0"},
      {"falcon-h1", "key_multiplier", "1.0"},
      {"falcon-h1", "attention_in_multiplier", "1.0"},
      {"falcon-h1", "attention_out_multiplier", "1.0"},
      {"falcon-h1", "ssm_in_multiplier", "1.0"},
      {"falcon-h1", "ssm_out_multiplier", "1.0"},
      {"falcon-h1", "mlp_multipliers", "[1.0,0.4]"},
      {"falcon-h1", "mlp_multipliers", "[0.8,1.0]"},
      {"falcon-h1", "ssm_multipliers", "[1.0,0.6,0.9,1.4,0.7]"},
      {"falcon-h1", "ssm_multipliers", "[0.35,1.0,0.9,1.4,0.7]"},
      {"falcon-h1", "ssm_multipliers", "[0.35,0.6,1.0,1.4,0.7]"},
      {"falcon-h1", "ssm_multipliers", "[0.35,0.6,0.9,1.0,0.7]"},
      {"falcon-h1", "ssm_multipliers", "[0.35,0.6,0.9,1.4,1.0]"},
      {"falcon-h1-new", "mamba_norm_before_gate", "true"},
      {"falcon-h1-norm", "mamba_norm_before_gate", "false"}};
  const fs::path families = fs::path(SLM_SOURCE_DIR) / "tests/data/families",
                 dir = fs::path(::testing::TempDir()) / "slm_family";
  for (const auto& change : kChanges) {
    fs::remove_all(dir);
    fs::copy(families / change.row, dir, fs::copy_options::recursive);
    auto config = nn::read_config_json(dir / "config.json").value().as_object();
    config[change.key] = parse_json(change.value).value();
    ASSERT_TRUE(write_file_atomic(dir / "config.json", json::serialize(config)));
    const Reference reference = reference_in(dir);
    auto decoder = load(dir);
    double worst = 0;
    for (int i = 0; i < reference.n_examples(); ++i)
      worst = std::max(worst,
                       relative_max(logits_of(decoder, reference.ids(i)), reference.get(fmt::format("logits.{}", i))));
    EXPECT_GT(worst, 10 * kBound) << change.row << " with another " << change.key;
  }
  fs::remove_all(dir);
}

INSTANTIATE_TEST_SUITE_P(All, Family, ::testing::ValuesIn(family_dirs()), [](const auto& row) {
  std::string name = row.param.filename().string();
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
});

}  // namespace
}  // namespace slm::testing
