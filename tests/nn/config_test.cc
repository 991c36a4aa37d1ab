#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nn/engine.h"
#include "nn/plan.h"

namespace slm::nn {
namespace {

using ::testing::HasSubstr;

json::object llama() {
  return parse_json(R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":3072,"hidden_size":256,
    "num_hidden_layers":6,"num_attention_heads":4,"num_key_value_heads":2,"intermediate_size":688,"hidden_act":"silu",
    "max_position_embeddings":1024,"rms_norm_eps":1e-5,"tie_word_embeddings":true,"eos_token_id":[2,5]})")
      .value()
      .as_object();
}

TEST(Config, ReadsBothPlacesOfRotary) {
  auto object = llama();
  EXPECT_EQ(parse_config(object)->ropes[0].theta, 10000.0);
  object["rope_theta"] = 5e5;
  EXPECT_EQ(parse_config(object)->ropes[0].theta, 5e5);
  object["rope_scaling"] = nullptr;
  object["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 2e4}};
  const auto config = parse_config(object);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->ropes[0].theta, 2e4);
  EXPECT_EQ(config->head_dim, 64);
  EXPECT_EQ(config->n_kv_heads, 2);
  EXPECT_EQ(config->eos_ids, (std::vector<int64_t>{2, 5}));
  EXPECT_TRUE(config->tied_embeddings);
  object["head_dim"] = 32;
  EXPECT_EQ(parse_config(object)->head_dim, 32);
}

struct Refusal {
  const char* key;
  const char* value;
  ErrorCode code;
  const char* says;
};
class ConfigRefusal : public ::testing::TestWithParam<Refusal> {};

TEST_P(ConfigRefusal, NamesFieldAndValue) {
  auto object = llama();
  object[GetParam().key] = parse_json(GetParam().value).value();
  const auto config = parse_config(object);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, GetParam().code);
  EXPECT_THAT(config.error().message, HasSubstr(GetParam().key));
  EXPECT_THAT(config.error().message, HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    All, ConfigRefusal,
    ::testing::Values(
        Refusal{"model_type", "\"mamba\"", ErrorCode::kUnsupportedModel, "\"mamba\"; known: llama, mistral, qwen2"},
        Refusal{"architectures", "[\"LlamaForSequenceClassification\"]", ErrorCode::kUnsupportedModel,
                "SequenceClassification"},
        Refusal{"hidden_act", "\"gelu\"", ErrorCode::kUnsupportedModel, "\"gelu\""},
        Refusal{"qk_layernorm", "true", ErrorCode::kUnsupportedModel, "true; known: false"},
        Refusal{"attn_logit_softcapping", "30.0", ErrorCode::kUnsupportedModel, "3E1; known: null"},
        Refusal{"rope_scaling", "{\"type\":\"spiral\"}", ErrorCode::kUnsupportedModel, "\"spiral\""},
        Refusal{"rope_scaling", "3", ErrorCode::kUnsupportedModel, "null, or an object"},
        Refusal{"layer_types", "[\"full_attention\"]", ErrorCode::kBadInput, "a list of 6"},
        Refusal{"rope_theta", "-1", ErrorCode::kBadInput, "above 0"},
        Refusal{"quantization_config", "{\"bits\":4}", ErrorCode::kUnsupportedModel, "quantization_config"},
        Refusal{"hidden_size", "0", ErrorCode::kBadInput, "expected 1 to"},
        Refusal{"hidden_size", "\"wide\"", ErrorCode::kBadInput, "expected 1 to"},
        Refusal{"num_hidden_layers", "null", ErrorCode::kBadInput, "is missing"},
        Refusal{"num_key_value_heads", "3", ErrorCode::kBadInput, "isn't a multiple"},
        Refusal{"head_dim", "7", ErrorCode::kBadInput, "must be even"}));

TEST(Config, AStretchedContextIsWhatPromptsMayTake) {
  auto object = llama();
  object["rope_scaling"] = {{"rope_type", "dynamic"}, {"factor", 2.5}};
  EXPECT_EQ(parse_config(object)->max_positions, 2560);
  object["rope_scaling"] = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 512}};
  EXPECT_EQ(parse_config(object)->max_positions, 2048);
  object["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  EXPECT_EQ(parse_config(object)->max_positions, 1024);
  for (const char* type : {"linear", "dynamic", "llama3"}) {  // each needs a factor
    object["rope_scaling"] = {{"rope_type", type}};
    EXPECT_EQ(parse_config(object).error().code, ErrorCode::kBadInput) << type;
  }
  object["rope_scaling"] = {{"rope_type", "dynamic"}, {"factor", 1e300}};
  EXPECT_EQ(parse_config(object).error().code, ErrorCode::kBadInput);
}

TEST(Config, RopeKeysFollowASequencesOwnLength) {
  auto object = llama();
  EXPECT_EQ(rope_key(parse_config(object).value(), 5000), 0);
  object["rope_scaling"] = {{"rope_type", "dynamic"}, {"factor", 2.5}};
  EXPECT_EQ(rope_key(parse_config(object).value(), 1024), 0);
  EXPECT_EQ(rope_key(parse_config(object).value(), 1025), 1025);
}

TEST(Config, LinearsAreThoseOfTheFamily) {
  auto object = llama();
  EXPECT_THAT(linear_names(parse_config(object).value()),
              ::testing::ElementsAre("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"));
  object.erase("architectures");
  object["model_type"] = "phi3";
  const auto fused = parse_config(object).value();
  EXPECT_THAT(linear_names(fused), ::testing::ElementsAre("qkv_proj", "o_proj", "gate_up_proj", "down_proj"));
  EXPECT_EQ(linear_sites(fused)[0].out, (4 + 2 * 2) * 64);
  EXPECT_EQ(linear_sites(fused)[2].parts[0].out, 2 * 688);
}

TEST(Config, AFolderWithoutConfigIsAnIoError) {
  EXPECT_EQ(read_config(::testing::TempDir() + "/no_such_model").error().code, ErrorCode::kIo);
}

TEST(Plan, CountsParametersAsTransformersDoes) {
  // SmolLM2-135M's published size, 134,515,008: vocabulary 49152, width 576, 30 layers, 9 heads of 64, 3 kv heads, ffn
  // 1536, tied.
  auto object = llama();
  object["vocab_size"] = 49152;
  object["hidden_size"] = 576;
  object["num_hidden_layers"] = 30;
  object["num_attention_heads"] = 9;
  object["num_key_value_heads"] = 3;
  object["intermediate_size"] = 1536;
  const auto config = parse_config(object).value();
  EXPECT_EQ(n_parameters(config), 134'515'008);
  const auto serve = plan_serve(config, DType::kBFloat16, 2048, 4);
  EXPECT_EQ(serve.weight_bytes, 2 * 134'515'008);
  EXPECT_EQ(serve.cache_bytes, 2LL * 30 * 4 * 2048 * 3 * 64 * 2);
  EXPECT_GT(serve.total_bytes, serve.weight_bytes + serve.cache_bytes);
  // Rank 16 on all seven linears: peft reports 4,884,480 trainable parameters.
  const auto train = plan_train(config, DType::kBFloat16, {4608, 576, 16});
  EXPECT_EQ(train.n_adapter_parameters, 4'884'480);
  EXPECT_EQ(train.optimiser_bytes, 4 * 4 * 4'884'480) << "two moments, gradient, best so far";
  const auto full = plan_train(config, DType::kBFloat16, {4608, 576, 0});
  EXPECT_EQ(full.optimiser_bytes, 4LL * 4 * 134'515'008);
  EXPECT_EQ(full.weight_bytes, (4LL + 2) * 134'515'008) << "masters and their copies";
}

}  // namespace
}  // namespace slm::nn
