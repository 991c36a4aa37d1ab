#include "nn/engine.h"

#include <gmock/gmock.h>

#include "nn/export.h"
#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<nn::Engine> open(const Reference& reference, nn::DType dtype = nn::DType::kFloat32) {
  nn::EngineOptions options;
  options.dtype = dtype;
  auto engine = nn::Engine::load(reference.dir, options);
  if (!engine) throw std::runtime_error(engine.error().message);
  return std::move(*engine);
}

void expect_close(std::span<const float> ours, std::span<const float> theirs, double tolerance = 1e-5) {
  ASSERT_EQ(ours.size(), theirs.size());
  double largest = 0;
  for (const float x : theirs) largest = std::max<double>(largest, std::abs(x));
  for (size_t i = 0; i < ours.size(); ++i) ASSERT_NEAR(ours[i], theirs[i], tolerance * largest) << i;
}

// A directory like the untied reference with one file replaced.
fs::path changed_copy(const std::string& name, const std::string& file, ByteSpan content) {
  const fs::path from = fs::path(SLM_SOURCE_DIR) / "tests/data/families/llama-wide",
                 to = fs::path(::testing::TempDir()) / name;
  fs::create_directories(to);
  for (const char* f : {"config.json", "model.safetensors"})
    fs::copy_file(from / f, to / f, fs::copy_options::overwrite_existing);
  EXPECT_TRUE(write_file_atomic(to / file, content));
  return to;
}
std::string untied_file(const char* name) {
  return read_file(fs::path(SLM_SOURCE_DIR) / "tests/data/families/llama-wide" / name).value();
}

TEST(Engine, PrefillDoesNotDependOnPadding) {
  for (const auto& reference : references()) {
    auto engine = open(reference);
    std::vector<std::vector<int32_t>> prompts;
    for (int i = 0; i < reference.n_examples(); ++i) prompts.push_back(reference.ids(i));
    const auto v = static_cast<size_t>(engine->config().vocab_size);
    std::vector<float> all;
    auto cache = engine->prefill(prompts, all);
    ASSERT_TRUE(cache) << cache.error().message;
    for (size_t r = 0; r < prompts.size(); ++r) {
      EXPECT_EQ((*cache)->length(r), static_cast<int64_t>(prompts[r].size()));
      const auto one = engine->logits(prompts[r]).value();
      expect_close(std::span(all).subspan(r * v, v), std::span(one).last(v));
      std::vector<float> alone;
      ASSERT_TRUE(engine->prefill({&prompts[r], 1}, alone));
      expect_close(alone, std::span(one).last(v));
    }
  }
}

TEST(Engine, PromptsThatBeginAlikeAreTheSameAsAlone) {
  for (const auto& reference : references()) {
    auto engine = open(reference);
    const auto v = static_cast<size_t>(engine->config().vocab_size);
    std::vector<std::vector<int32_t>> prompts;
    for (int i = 0; i < reference.n_examples(); ++i) {
      prompts.push_back(reference.ids(0));  // 17 tokens in common
      const auto rest = reference.ids(i);
      prompts.back().insert(prompts.back().end(), rest.begin(), rest.end());
    }
    prompts.push_back(prompts[1]);
    prompts.push_back(reference.ids(0));  // the beginning itself
    std::vector<float> all;
    auto cache = engine->prefill(prompts, all).value();
    std::vector<int32_t> next;
    for (size_t r = 0; r < prompts.size(); ++r) {
      const auto one = engine->logits(prompts[r]).value();
      expect_close(std::span(all).subspan(r * v, v), std::span(one).last(v), 2e-5);
      next.push_back(static_cast<int32_t>(r + 3));
      prompts[r].push_back(next.back());
    }
    ASSERT_TRUE(engine->step(*cache, next, all));
    for (size_t r = 0; r < prompts.size(); ++r) {
      const auto one = engine->logits(prompts[r]).value();
      expect_close(std::span(all).subspan(r * v, v), std::span(one).last(v), 2e-5);
    }
  }
}

TEST(Engine, CachedStepsEqualTheWholeForwardPass) {
  for (const bool adapted : {false, true})
    for (const auto& reference : references()) {
      auto engine = open(reference);
      if (adapted) {
        const auto status = engine->set_adapter(reference.adapter());
        ASSERT_TRUE(status) << status.error().message;
      }
      const auto v = static_cast<size_t>(engine->config().vocab_size);
      std::vector<std::vector<int32_t>> rows{{5, 9, 3}, {8}, {4, 4, 30, 21, 17, 6}};
      std::vector<float> logits;
      auto cache = engine->prefill(rows, logits).value();
      Prng prng(3);
      for (int t = 0; t < 80; ++t) {  // beyond the cache's spare room: it grows
        std::vector<int32_t> next;
        for (auto& row : rows) {
          next.push_back(static_cast<int32_t>(prng.below(v)));
          row.push_back(next.back());
        }
        ASSERT_TRUE(engine->step(*cache, next, logits));
        if (t % 13 != 0 && t != 79) continue;
        for (size_t r = 0; r < rows.size(); ++r) {
          const auto whole = engine->logits(rows[r]).value();
          expect_close(std::span(logits).subspan(r * v, v), std::span(whole).last(v), 2e-5);
        }
      }
    }
}

TEST(Engine, PlainDecodingEqualsTheWholeForwardPass) {
  // float64 takes the path of other devices.
  const auto reference = references()[0];
  auto decoder = load(reference.dir, at::kDouble);
  std::vector<std::vector<int32_t>> rows{{5, 9, 3}, {8}};
  std::vector<nn::Decoder::LayerCache> cache;
  std::vector<int64_t> lengths{3, 1};
  decoder.prefill(rows, 16, cache);
  for (int32_t t = 0; t < 5; ++t) {
    const auto logits = decoder.step({{t + 10, t + 20}, lengths, {}}, cache);
    rows[0].push_back(t + 10);
    rows[1].push_back(t + 20);
    ++lengths[0], ++lengths[1];
    for (size_t r = 0; r < 2; ++r) {
      const auto whole = decoder.logits(batch_of({rows[r]}, {0}));
      EXPECT_LE(relative_max(logits[static_cast<int64_t>(r)], whole[-1]), 1e-6);
    }
  }
}

TEST(Engine, KeepSelectsAndReordersRows) {
  const auto reference = references()[1];
  auto engine = open(reference);
  const auto v = static_cast<size_t>(engine->config().vocab_size);
  const std::vector<std::vector<int32_t>> rows{{5, 9, 3}, {8}, {4, 4, 30}};
  std::vector<float> logits, again;
  auto cache = engine->prefill(rows, logits).value();
  const std::vector<size_t> kept{2, 0};
  ASSERT_TRUE(engine->keep(*cache, kept));
  ASSERT_EQ(cache->n_rows(), 2u);
  EXPECT_EQ(cache->length(0), 3);
  const std::vector<int32_t> next{7, 11};
  ASSERT_TRUE(engine->step(*cache, next, again));
  const std::vector<int32_t> first{4, 4, 30, 7}, second{5, 9, 3, 11};
  const auto a = engine->logits(first).value(), b = engine->logits(second).value();
  expect_close(std::span(again).first(v), std::span(a).last(v));
  expect_close(std::span(again).last(v), std::span(b).last(v));
  const std::vector<size_t> wrong{2};
  EXPECT_EQ(engine->keep(*cache, wrong).error().code, ErrorCode::kUsage);
  ASSERT_TRUE(engine->keep(*cache, {}));
  EXPECT_TRUE(engine->step(*cache, {}, again));
  EXPECT_TRUE(again.empty());
}

TEST(Engine, AdaptersComeAndGo) {
  const auto reference = references()[1];
  auto engine = open(reference);
  const auto ids = reference.ids(0);
  const auto plain = engine->logits(ids).value();
  ASSERT_TRUE(engine->set_adapter(reference.adapter()));
  const auto adapted = engine->logits(ids).value();
  EXPECT_NE(plain, adapted);
  engine->clear_adapter();
  EXPECT_EQ(engine->logits(ids).value(), plain);
}

TEST(Engine, RefusesWhatIsOutsideItsBounds) {
  const auto reference = references()[1];
  auto engine = open(reference);
  std::vector<float> logits;
  const std::vector<std::vector<int32_t>> empty{{}}, high{{1, 61}}, longer{std::vector<int32_t>(129, 1)};
  EXPECT_EQ(engine->prefill({}, logits).error().code, ErrorCode::kUsage);
  EXPECT_EQ(engine->prefill(empty, logits).error().code, ErrorCode::kBadInput);
  EXPECT_THAT(engine->prefill(high, logits).error().message, HasSubstr("token id 61, the vocabulary has 0 to 60"));
  EXPECT_THAT(engine->prefill(longer, logits).error().message, HasSubstr("129 tokens, the model's context is 128"));
  const std::vector<std::vector<int32_t>> full{std::vector<int32_t>(128, 1)};
  auto cache = engine->prefill(full, logits).value();
  const std::vector<int32_t> one{1}, two{1, 2};
  EXPECT_EQ(engine->step(*cache, one, logits).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(engine->step(*cache, two, logits).error().code, ErrorCode::kUsage);
  nn::EngineOptions options;
  options.device = "tpu";
  EXPECT_EQ(nn::Engine::load(reference.dir, options).error().code, ErrorCode::kUsage);
}

TEST(Engine, DamagedModelsAreNamed) {
  const std::string weights = untied_file("model.safetensors");
  const auto truncated = changed_copy("truncated", "model.safetensors", as_bytes(weights).first(weights.size() / 2));
  auto engine = nn::Engine::load(truncated);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(engine.error().message, HasSubstr("model.safetensors: truncated"));

  auto config = parse_json(untied_file("config.json")).value().as_object();
  config["intermediate_size"] = 48;
  engine = nn::Engine::load(changed_copy("shape", "config.json", as_bytes(json::serialize(config))));
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(engine.error().message, HasSubstr("mlp.gate_proj.weight is [40, 24], config.json says [48, 24]"));

  config["intermediate_size"] = 40;
  config["num_hidden_layers"] = 3;
  engine = nn::Engine::load(changed_copy("missing", "config.json", as_bytes(json::serialize(config))));
  EXPECT_THAT(engine.error().message, HasSubstr("tensor model.layers.2.input_layernorm.weight is missing"));

  config["num_hidden_layers"] = 1;
  engine = nn::Engine::load(changed_copy("spare", "config.json", as_bytes(json::serialize(config))));
  EXPECT_EQ(engine.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_THAT(engine.error().message, HasSubstr("model.layers.1"));

  config["model_type"] = "mamba2";
  engine = nn::Engine::load(changed_copy("unknown", "config.json", as_bytes(json::serialize(config))));
  EXPECT_EQ(engine.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_THAT(engine.error().message, HasSubstr("\"mamba2\""));
}

TEST(Adapter, RefusesWhatItDoesNotCompute) {
  const auto reference = references()[1];
  const auto files = reference.adapter();
  const auto with = [&](const char* key, const json::value& value) {
    auto changed = files;
    auto object = parse_json(files.config_json).value().as_object();
    object[key] = value;
    changed.config_json = json::serialize(object);
    return nn::parse_adapter(changed);
  };
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, json::value>>{{"bias", "all"},
                                                        {"modules_to_save", json::array{"lm_head"}},
                                                        {"rank_pattern", {{"q_proj", 4}}},
                                                        {"peft_type", "IA3"},
                                                        {"fan_in_fan_out", true}}) {
    const auto adapter = with(key, value);
    ASSERT_FALSE(adapter) << key;
    EXPECT_EQ(adapter.error().code, ErrorCode::kUnsupportedModel);
    EXPECT_THAT(adapter.error().message, HasSubstr(key));
  }
  EXPECT_TRUE(with("target_modules", "all-linear"));
  EXPECT_TRUE(with("some_later_key", true));

  auto engine = open(reference);
  auto rank = files;
  auto object = parse_json(files.config_json).value().as_object();
  object["r"] = 4;
  rank.config_json = json::serialize(object);
  EXPECT_EQ(engine->set_adapter(rank).error().code, ErrorCode::kManifestMismatch);
  EXPECT_EQ(engine->set_adapter(references()[0].adapter()).error().code, ErrorCode::kManifestMismatch);
  auto cut = files;
  cut.weights.resize(cut.weights.size() - 4);
  EXPECT_EQ(engine->set_adapter(cut).error().code, ErrorCode::kBadInput);

  const Bytes a(4 * 3 * 24);
  auto half = files;
  half.weights =
      nn::write_safetensors({{"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "F32", {3, 24}, a}});
  EXPECT_THAT(engine->set_adapter(half).error().message, HasSubstr("lora_B.weight is missing"));
  half.weights = nn::write_safetensors(
      {{"base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "F32", {72, 4}, Bytes(4 * 288)}});
  EXPECT_EQ(engine->set_adapter(half).error().code, ErrorCode::kUnsupportedModel);
  const auto no_magnitudes = with("use_dora", true);
  EXPECT_EQ(no_magnitudes.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(no_magnitudes.error().message, HasSubstr("lora_magnitude_vector is missing"));
}

// All weights anew beside the base: the engine answers as the other model does, and as before once they are gone.
TEST(Engine, AFullSetOfWeightsStandsInForTheBase) {
  const auto base = references()[0], other_reference = references()[1];
  const std::vector<int32_t> ids{5, 9, 2, 30, 11};
  auto decoder = load(base.dir);
  for (const auto& slice : decoder.weights()) slice.value.mul_(1.25);
  const auto weights = nn::weight_file(decoder, nn::DType::kFloat32);
  ASSERT_TRUE(weights) << weights.error().message;
  auto engine = nn::Engine::load(base.dir, {nn::DType::kFloat32, "cpu", 1}).value();
  const auto before = engine->logits(ids).value();
  ASSERT_TRUE(engine->set_adapter({.config_json = {}, .weights = *weights, .full = true}));
  const auto flat = logits_of(decoder, ids).contiguous();
  EXPECT_EQ(engine->logits(ids).value(),
            std::vector<float>(flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()));
  EXPECT_NE(engine->logits(ids).value(), before);
  engine->clear_adapter();
  EXPECT_EQ(engine->logits(ids).value(), before);
  // A model of another shape is refused, naming the tensor.
  const auto foreign = nn::weight_file(load(other_reference.dir), nn::DType::kFloat32).value();
  const auto status = engine->set_adapter({.config_json = {}, .weights = foreign, .full = true});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kBadInput);
  EXPECT_EQ(engine->logits(ids).value(), before);
}

}  // namespace
}  // namespace slm::testing
