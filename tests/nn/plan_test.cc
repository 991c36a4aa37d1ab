// The plan beside what the system counts: each case runs in a process of its own, whose peak resident memory is the
// oracle.
#include "nn/plan.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "nn/decoder.h"
#include "nn/process_memory.h"

namespace slm::nn {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

int64_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  return 0;
}

[[noreturn]] void report_peak() {
  std::fprintf(stderr, "peak=%lld;", static_cast<long long>(peak_bytes()));
  std::exit(0);
}

// Of what the process said: plan / peak within [low, high].
MATCHER_P3(PeakIs, plan, low, high, "") {
  const std::string text(arg);
  const auto at = text.find("peak=");
  if (at == std::string::npos) return false;
  const double peak = std::stod(text.substr(at + 5)), ratio = static_cast<double>(plan) / peak;
  *result_listener << "planned " << static_cast<double>(plan) / 1e6 << " MB, held " << peak / 1e6 << " MB, ratio "
                   << ratio;
  return ratio >= low && ratio <= high;
}

// The quickstart's base model, or one of fewer layers.
ModelConfig small_model(int64_t n_layers = 6) {
  ModelConfig c;
  c.architecture = "LlamaForCausalLM";
  c.vocab_size = 3072, c.width = 256, c.n_layers = n_layers, c.n_heads = 4, c.n_kv_heads = 4, c.head_dim = 64;
  c.ffn_width = 688, c.max_positions = 4096, c.tied_embeddings = true;
  return c;
}

// Mamba, attention and a feed-forward part in turns, as in a Nemotron-H; or attention and Mamba side by side in each,
// as in a Falcon-H1; or short convolutions, as in an LFM2.
enum class Kind { kLlama, kNemotron, kFalcon, kLfm2 };
ModelConfig model_of(Kind kind, int64_t n_layers) {
  ModelConfig c = small_model(n_layers);
  if (kind == Kind::kLlama) return c;
  static ModuleNames names = [] {
    ModuleNames out = kLlamaNames;
    out.recurrent = "mamba";
    return out;
  }();
  c.names = &names;
  c.mamba.n_heads = 16, c.mamba.head_dim = 32, c.mamba.n_groups = 2, c.mamba.state = 64;
  for (int64_t i = 0; i < n_layers; ++i) {
    LayerConfig layer;
    if (kind == Kind::kFalcon) layer.mixer = Mixer::kBoth;
    if (kind == Kind::kLfm2) layer.mixer = i % 3 == 2 ? Mixer::kAttention : Mixer::kShortConv;
    if (kind == Kind::kNemotron) {
      layer.mixer = i % 3 == 0 ? Mixer::kMamba : i % 3 == 1 ? Mixer::kNone : Mixer::kAttention;
      layer.ffn = layer.mixer == Mixer::kNone;
    }
    c.layers.push_back(layer);
  }
  return c;
}

at::ScalarType torch_dtype(DType dtype) { return dtype == DType::kFloat32 ? at::kFloat : at::kBFloat16; }

std::vector<int32_t> random_ids(int64_t n, Prng& prng) {
  std::vector<int32_t> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(static_cast<int32_t>(prng.uniform() * 3000));
  return out;
}

struct Training {
  TrainShape shape;
  DType dtype = DType::kBFloat16;
  int n_steps = 1;
  bool same_length = true;
  int64_t n_layers = 6;
  Kind kind = Kind::kLlama;
};

// Steps as the trainer makes them, without its data.
void train(const Training& t) {
  at::set_num_threads(1);
  const bool lora = t.shape.rank > 0;
  const auto nf4 = t.shape.nf4 ? Nf4Base::kPacked : Nf4Base::kNo;
  auto decoder = Decoder::random(model_of(t.kind, t.n_layers), 1, {torch_dtype(t.dtype), at::kCPU, !lora, nf4}).value();
  if (lora) {
    LoraConfig config;
    config.rank = t.shape.rank;
    config.dropout = t.shape.dropout ? 0.1 : 0;
    config.dora = t.shape.dora;
    if (!decoder.add_lora(config, 1, true)) std::exit(1);
  }
  std::vector<at::Tensor> moments_and_best;
  for (const auto& p : decoder.parameters())
    for (int i = 0; i < 3; ++i) moments_and_best.push_back(at::full_like(p.value, 0.5).detach());
  Prng prng(3);
  for (int step = 0; step < t.n_steps; ++step) {
    std::vector<Sequence> sequences;
    for (int64_t i = 0; i < t.shape.batch_tokens / t.shape.longest; ++i) {
      const auto most = static_cast<double>(t.shape.longest);
      const auto n = t.same_length ? t.shape.longest : static_cast<int64_t>(most / 2 + most / 2 * prng.uniform());
      sequences.push_back({random_ids(n, prng), static_cast<size_t>(n) * 3 / 4, 0});
    }
    for (const auto& batch : make_forests(sequences, {}))
      decoder.loss(batch, {.recompute = t.shape.recompute}).loss.backward();
    for (const auto& p : decoder.parameters()) p.value.mutable_grad().reset();
  }
}

class PlanPeak : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a sanitizer has memory of its own";
    if (peak_bytes() == 0) GTEST_SKIP() << "no VmHWM in /proc/self/status";
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // the program anew, not a fork of this one
  }
  void TearDown() override { keep_compiled(nullptr); }
  // Without them, the peak is what tensors take.
  static void keep_compiled(const char* n) {
    for (const char* name : {"LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"})
      n != nullptr ? setenv(name, n, 1) : unsetenv(name);
  }
};

void expect_live(const Training& t) {
  const TrainPlan plan = plan_train(model_of(t.kind, t.n_layers), t.dtype, t.shape);
  EXPECT_EXIT((train(t), report_peak()), ::testing::ExitedWithCode(0),
              PeakIs(plan.total_bytes - plan.compiled_bytes, 0.85, t.kind == Kind::kLlama ? 1.2 : 1.3));
}

TEST_F(PlanPeak, TrainingLongMicroBatch) { keep_compiled("1"), expect_live({{6144, 384, 8}}); }
TEST_F(PlanPeak, TrainingShortMicroBatch) { keep_compiled("1"), expect_live({{2048, 128, 8}}); }
TEST_F(PlanPeak, TrainingFloat32) { keep_compiled("1"), expect_live({{1024, 128, 8}, DType::kFloat32}); }
TEST_F(PlanPeak, TrainingWithDropout) { keep_compiled("1"), expect_live({{2048, 128, 8, true}}); }
TEST_F(PlanPeak, TrainingDora) { keep_compiled("1"), expect_live({{2048, 128, 8, false, true}}); }
// Weights enough that holding them otherwise would show: 50 M elements, 103 MB in bfloat16, 27 MB packed.
TEST_F(PlanPeak, TrainingQlora) {
  keep_compiled("1"), expect_live({{256, 128, 8, false, false, true}, DType::kBFloat16, 2, true, 64});
}
TEST_F(PlanPeak, TrainingFullWeights) { keep_compiled("1"), expect_live({{2048, 128, 0}}); }
TEST_F(PlanPeak, TrainingOneLongSequence) {
  keep_compiled("1"), expect_live({{4096, 4096, 8}, DType::kBFloat16, 1, true, 2});
}

TEST_F(PlanPeak, TrainingNemotronH) {
  keep_compiled("1"), expect_live({{4096, 256, 8}, DType::kBFloat16, 1, true, 6, Kind::kNemotron});
}
TEST_F(PlanPeak, TrainingFalconH1) {
  keep_compiled("1"), expect_live({{2048, 256, 8}, DType::kFloat32, 1, true, 4, Kind::kFalcon});
}
TEST_F(PlanPeak, TrainingLfm2) {
  keep_compiled("1"), expect_live({{6144, 256, 8}, DType::kBFloat16, 1, true, 6, Kind::kLfm2});
}

// What is held beside the layers' inputs is a layer, so that both the count and the plan are far below those of above.
void expect_less(Training t, double share) {
  const TrainPlan held = plan_train(model_of(t.kind, t.n_layers), t.dtype, t.shape);
  t.shape.recompute = true;
  const TrainPlan again = plan_train(model_of(t.kind, t.n_layers), t.dtype, t.shape);
  EXPECT_LT(static_cast<double>(again.total_bytes - again.compiled_bytes),
            share * static_cast<double>(held.total_bytes - held.compiled_bytes));
  expect_live(t);
}
TEST_F(PlanPeak, RecomputingDeepModel) {
  keep_compiled("1"), expect_less({{2048, 256, 8}, DType::kBFloat16, 1, true, 24}, 0.45);
}
TEST_F(PlanPeak, RecomputingWithDropout) {
  keep_compiled("1"), expect_less({{2048, 128, 8, true}, DType::kBFloat16, 1, true, 16}, 0.5);
}
TEST_F(PlanPeak, RecomputingDora) {
  keep_compiled("1"), expect_less({{2048, 128, 8, false, true}, DType::kBFloat16, 1, true, 16}, 0.6);
}
TEST_F(PlanPeak, RecomputingQlora) {
  keep_compiled("1"), expect_less({{2048, 128, 8, false, false, true}, DType::kBFloat16, 1, true, 16}, 0.5);
}
TEST_F(PlanPeak, RecomputingFullWeights) {
  keep_compiled("1"), expect_less({{4096, 128, 0}, DType::kBFloat16, 1, true, 10}, 0.7);
}
TEST_F(PlanPeak, RecomputingNemotronH) {
  keep_compiled("1"), expect_less({{2048, 256, 8}, DType::kBFloat16, 1, true, 18, Kind::kNemotron}, 0.8);
}

TEST(Plan, LayersAreComputedAgainOnlyBeyondTheBudget) {
  const auto config = small_model();
  const TrainShape shape{6144, 384, 8};
  const auto held = plan_train(config, DType::kBFloat16, shape);
  EXPECT_FALSE(plan_within(config, DType::kBFloat16, shape, held.total_bytes).recompute);
  const auto again = plan_within(config, DType::kBFloat16, shape, held.total_bytes - 1);
  EXPECT_TRUE(again.recompute);
  EXPECT_LT(again.total_bytes, held.total_bytes);
  EXPECT_EQ(plan_within(config, DType::kBFloat16, shape, 0).total_bytes, again.total_bytes) << "doesn't fit either way";
  EXPECT_FALSE(plan_within(small_model(1), DType::kBFloat16, shape, 0).recompute) << "one layer: nothing to gain";
  const ExampleShape examples{.longest = 384};
  EXPECT_FALSE(plan_examples(config, DType::kBFloat16, examples).recompute);
  EXPECT_EQ(plan_examples(config, DType::kBFloat16, {.longest = 384, .budget_bytes = 1}).total_bytes,
            again.total_bytes);
}

// A job's limit may be set at any level above its process.
TEST(MachineMemory, TheLowestLimitOfItsGroupsCounts) {
  namespace fs = std::filesystem;
  const fs::path root = fs::path(::testing::TempDir()) / "groups";
  fs::create_directories(root / "job/step");
  const auto set = [](const fs::path& path, const char* text) { std::ofstream(path / "memory.max") << text << "\n"; };
  set(root / "job/step", "max");
  EXPECT_EQ(group_limit_bytes(root, "/job/step"), std::numeric_limits<int64_t>::max());
  set(root / "job", "8000000000");
  EXPECT_EQ(group_limit_bytes(root, "/job/step"), 8'000'000'000);
  set(root / "job/step", "5000000000");
  EXPECT_EQ(group_limit_bytes(root, "/job/step"), 5'000'000'000);
  set(root, "3000000000");  // a container sees its own limit here
  EXPECT_EQ(group_limit_bytes(root, "/"), 3'000'000'000);
  EXPECT_EQ(group_limit_bytes(root / "nowhere", "/job"), std::numeric_limits<int64_t>::max());
  fs::remove_all(root);
  EXPECT_GT(machine_memory_bytes(), 100'000'000);
}

// Steps of many lengths: what is freed is taken again, and compiled products don't pile up.
TEST_F(PlanPeak, TrainingManySteps) {
  const Training t{{2048, 128, 8}, DType::kBFloat16, 40, false};
  const TrainPlan plan = plan_train(small_model(t.n_layers), t.dtype, t.shape);
  EXPECT_EXIT((train(t), report_peak()), ::testing::ExitedWithCode(0), PeakIs(plan.total_bytes, 0.85, 1.2));
}

struct Serving {
  int64_t context, batch;
  int64_t n_layers = 3;
  Kind kind = Kind::kLlama;
};

// Prompts that share nothing, answered by a token each, as the engine does it.
void serve(const Serving& s) {
  at::set_num_threads(1);
  auto decoder = Decoder::random(model_of(s.kind, s.n_layers), 1, {at::kBFloat16, at::kCPU, false}).value();
  Prng prng(3);
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < s.batch; ++i) prompts.push_back(random_ids(s.context, prng));
  std::vector<Decoder::LayerCache> cache;
  decoder.prefill(prompts, s.context + 64, cache);
  const auto n = static_cast<size_t>(s.batch);
  decoder.step({std::vector<int32_t>(n, 7), std::vector<int64_t>(n, s.context), {}}, cache);
}

void expect_served(const Serving& s) {
  const ServePlan plan = plan_serve(model_of(s.kind, s.n_layers), DType::kBFloat16, s.context, s.batch);
  EXPECT_EXIT((serve(s), report_peak()), ::testing::ExitedWithCode(0), PeakIs(plan.total_bytes, 0.85, 1.25));
}

TEST_F(PlanPeak, ServingOneConversation) { keep_compiled("1"), expect_served({2048, 1}); }
TEST_F(PlanPeak, ServingManyInOnePass) { keep_compiled("1"), expect_served({512, 16}); }
// More than prefill computes at once, so that only a part of the cache exists twice.
TEST_F(PlanPeak, ServingManyInSeveralPasses) { keep_compiled("1"), expect_served({256, 128}); }
TEST_F(PlanPeak, ServingFalconH1) { keep_compiled("1"), expect_served({512, 16, 3, Kind::kFalcon}); }
TEST_F(PlanPeak, ServingAsItIs) { expect_served({512, 16}); }

}  // namespace
}  // namespace slm::nn
