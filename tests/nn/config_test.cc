#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "nn/engine.h"
#include "nn/plan.h"
#include "nn/safetensors.h"

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

json::object hybrid(const char* more) {
  json::object out = llama();
  out.erase("architectures");
  out.erase("tie_word_embeddings");
  const auto fields = parse_json(more).value().as_object();
  for (const auto& [key, value] : fields) out[key] = value;
  return out;
}

TEST(Config, NemotronHIsReadInBothGenerations) {
  const auto older =
      parse_config(hybrid(R"({"model_type":"nemotron_h","hybrid_override_pattern":"M-M*-M","head_dim":128,
    "mamba_num_heads":16,"mamba_head_dim":32,"n_groups":4,"time_step_limit":[0.01,{"__float__":"Infinity"}]})"));
  ASSERT_TRUE(older) << older.error().message;
  auto fields =
      hybrid(R"({"model_type":"nemotron_h","head_dim":128,"mamba_num_heads":16,"mamba_head_dim":32,"n_groups":4,
    "layers_block_type":["linear_attention","mlp","mamba","full_attention","mlp","linear_attention"],
    "time_step_limit":[0.01,0.5]})");
  fields.erase("num_hidden_layers");
  const auto newer = parse_config(fields);
  ASSERT_TRUE(newer) << newer.error().message;
  EXPECT_EQ(older->layers, newer->layers);
  EXPECT_EQ(newer->n_layers, 6);
  EXPECT_EQ(older->layers[3].mixer, Mixer::kAttention);
  EXPECT_FALSE(older->layers[3].ffn);
  EXPECT_EQ(older->layers[3].rope, -1);
  EXPECT_EQ(older->layers[1].mixer, Mixer::kNone);
  EXPECT_EQ(older->mamba.dt_min, 0.01);
  EXPECT_EQ(older->mamba.dt_max, 0);  // none
  EXPECT_EQ(newer->mamba.dt_max, 0.5);
  EXPECT_EQ(older->mamba.projected(), 2 * 512 + 2 * 4 * 128 + 16);
  EXPECT_EQ(layer_prefix(*older, 3), "backbone.layers.3.");
  EXPECT_EQ(other_name(*older, "backbone.norm_f.weight"), "model.norm_f.weight");
  EXPECT_EQ(own_name(*older, "model.norm_f.weight"), "backbone.norm_f.weight");
  EXPECT_THAT(linear_names(*older), ::testing::UnorderedElementsAre("in_proj", "up_proj", "down_proj", "q_proj",
                                                                    "k_proj", "v_proj", "o_proj"));
}

TEST(Config, Lfm2WidensAsItsMakersDo) {
  auto fields = hybrid(R"({"model_type":"lfm2","block_ff_dim":12288,"full_attn_idxs":[2,5]})");
  fields.erase("intermediate_size");
  const auto first = parse_config(fields);  // LFM2-1.2B's
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->ffn_width, 8192);
  EXPECT_EQ(first->layers[2].mixer, Mixer::kAttention);
  EXPECT_EQ(first->layers[3].mixer, Mixer::kShortConv);
  EXPECT_TRUE(first->tied_embeddings);
  fields["block_auto_adjust_ff_dim"] = false;
  fields["tie_embedding"] = false;
  EXPECT_EQ(parse_config(fields)->ffn_width, 12288);
  EXPECT_FALSE(parse_config(fields)->tied_embeddings);
}

TEST(Config, InfinityIsANumberOfPythons) {
  const auto path = ::testing::TempDir() + "/infinity.json";
  ASSERT_TRUE(write_file_atomic(path, R"({"time_step_limit": [0.0, Infinity], "note": "Infinity \" Infinity"})"));
  const auto value = read_config_json(path);
  ASSERT_TRUE(value) << value.error().message;
  EXPECT_EQ(value->at("time_step_limit").at(1).at("__float__").as_string(), "Infinity");
  EXPECT_EQ(value->at("note").as_string(), "Infinity \" Infinity");
  ASSERT_TRUE(write_file_atomic(path, R"({"x": NaN})"));
  EXPECT_EQ(read_config_json(path).error().code, ErrorCode::kBadInput);
}

struct HybridRefusal {
  const char* fields;
  ErrorCode code;
  const char* says;
};
class ConfigHybridRefusal : public ::testing::TestWithParam<HybridRefusal> {};

TEST_P(ConfigHybridRefusal, SaysWhat) {
  const auto config = parse_config(hybrid(GetParam().fields));
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, GetParam().code);
  EXPECT_THAT(config.error().message, HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    All, ConfigHybridRefusal,
    ::testing::Values(
        HybridRefusal{R"({"model_type":"hymba"})", ErrorCode::kUnsupportedModel, "\"hymba\": no program"},
        HybridRefusal{R"({"model_type":"phi3small"})", ErrorCode::kUnsupportedModel, "\"phi3small\": no program"},
        HybridRefusal{R"({"model_type":"lfm2_moe"})", ErrorCode::kUnsupportedModel, "mixtures of experts"},
        HybridRefusal{R"({"model_type":"nemotron_h","hybrid_override_pattern":"MEM*-M"})", ErrorCode::kUnsupportedModel,
                      "hybrid_override_pattern is \"E\" for a layer; known: layers without experts"},
        HybridRefusal{R"({"model_type":"nemotron_h","layers_block_type":["mamba","moe","mlp","mlp","mlp","mlp"]})",
                      ErrorCode::kUnsupportedModel, "layers_block_type is \"moe\""},
        HybridRefusal{R"({"model_type":"nemotron_h","hybrid_override_pattern":"MXM*-M"})", ErrorCode::kUnsupportedModel,
                      "\"X\" for a layer"},
        HybridRefusal{R"({"model_type":"nemotron_h","hybrid_override_pattern":"M*-"})", ErrorCode::kBadInput,
                      "num_hidden_layers is 6, hybrid_override_pattern has 3"},
        HybridRefusal{R"({"model_type":"nemotron_h"})", ErrorCode::kBadInput, "hybrid_override_pattern"},
        HybridRefusal{R"({"model_type":"nemotron_h","hybrid_override_pattern":"M-M*-M","n_groups":3})",
                      ErrorCode::kBadInput, "isn't a multiple"},
        HybridRefusal{R"({"model_type":"nemotron_h","hybrid_override_pattern":"M-M*-M","time_step_limit":[0.5,0.1]})",
                      ErrorCode::kBadInput, "time_step_limit"},
        HybridRefusal{R"({"model_type":"nemotron_h","hybrid_override_pattern":"M-M*-M","attention_bias":true})",
                      ErrorCode::kUnsupportedModel, "attention_bias is true"},
        HybridRefusal{R"({"model_type":"granitemoehybrid","num_local_experts":64,"shared_intermediate_size":64})",
                      ErrorCode::kUnsupportedModel, "num_local_experts is 64; known: 0"},
        HybridRefusal{R"({"model_type":"granitemoehybrid","num_local_experts":0,"shared_intermediate_size":64,
                      "mamba_n_heads":100})",
                      ErrorCode::kBadInput, "mamba_n_heads is 100"},
        HybridRefusal{R"({"model_type":"granitemoehybrid","num_local_experts":0,"shared_intermediate_size":64,
                      "position_embedding_type":"alibi"})",
                      ErrorCode::kUnsupportedModel, "\"alibi\""},
        HybridRefusal{R"({"model_type":"lfm2","full_attn_idxs":[2,6]})", ErrorCode::kBadInput, "full_attn_idxs has 6"},
        HybridRefusal{R"({"model_type":"lfm2","layer_types":["conv"]})", ErrorCode::kBadInput, "a list of 6"},
        HybridRefusal{R"({"model_type":"falcon_h1","ssm_multipliers":[1,2]})", ErrorCode::kBadInput,
                      "ssm_multipliers isn't a list of 5"}));

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
  EXPECT_EQ(linear_sites(fused)[kAttentionIn].out, (4 + 2 * 2) * 64);
  EXPECT_EQ(linear_sites(fused)[kFfnIn].parts[0].out, 2 * 688);
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

TEST(Plan, CountsParametersOfHybridsAsTransformersDoes) {
  // tests/data/families: the sizes of their files' tensors, all of which are parameters.
  for (const char* row : {"nemotron-h", "nemotron-h-new", "granite-h", "granite-h-new", "lfm2", "lfm2-new", "falcon-h1",
                          "falcon-h1-new", "falcon-h1-norm"}) {
    const auto dir = std::filesystem::path(SLM_SOURCE_DIR) / "tests/data/families" / row;
    const auto file = SafeTensors::open(dir / "model.safetensors").value();
    int64_t want = 0;
    for (const auto& [name, view] : file.tensors()) want += view.n_elements();
    const auto config = read_config(dir).value();
    EXPECT_EQ(n_parameters(config), want) << row;
    // A conversation's keys and values grow with it, what recurrent layers keep doesn't.
    const auto grown = [&](int64_t tokens) { return plan_serve(config, DType::kFloat32, tokens, 1).cache_bytes; };
    int64_t attending = 0;
    for (const auto& layer : config.layers) attending += layer.attends();
    EXPECT_EQ(grown(48) - grown(16), 32 * attending * 2 * config.n_kv_heads * config.head_dim * 4) << row;
    EXPECT_GT(grown(16), 16 * attending * 2 * config.n_kv_heads * config.head_dim * 4) << row;
  }
}

}  // namespace
}  // namespace slm::nn
