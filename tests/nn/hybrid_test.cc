// Recurrent layers over forests and caches: however tokens are shared, cut into chunks or fed, the same comes out. What
// it should be is families_test.cc's part.
#include <torch/csrc/autograd/autograd.h>

#include "core/random.h"
#include "nn/engine.h"
#include "nn/mamba.h"
#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

using at::Tensor;

std::vector<std::string> hybrids() {
  return {"nemotron-h", "nemotron-h-new", "granite-h",     "granite-h-new", "lfm2",
          "lfm2-new",   "falcon-h1",      "falcon-h1-new", "falcon-h1-norm"};
}
fs::path family(const std::string& row) { return fs::path(SLM_SOURCE_DIR) / "tests/data/families" / row; }

Tensor random_tensor(at::IntArrayRef sizes, Prng& prng, double scale = 1) {
  Tensor out = at::empty(sizes, at::kDouble);
  for (int64_t i = 0; i < out.numel(); ++i) out.data_ptr<double>()[i] = scale * prng.normal();
  return out;
}

std::vector<int32_t> random_ids(size_t n, Prng& prng) {
  std::vector<int32_t> out;
  for (size_t i = 0; i < n; ++i) out.push_back(static_cast<int32_t>(3 + prng.below(30)));
  return out;
}

// Sessions whose turns grow: every turn's prompt is the one before and more, beginnings are common to sessions.
std::vector<nn::Sequence> sessions(Prng& prng) {
  std::vector<nn::Sequence> out;
  const auto system = random_ids(83, prng);
  for (int session = 0; session < 3; ++session) {
    auto history = system;
    for (int turn = 0; turn < 3; ++turn) {
      const auto more = random_ids(9 + prng.below(80), prng);
      history.insert(history.end(), more.begin(), more.end());
      out.push_back({history, history.size() - 9, turn == 1 ? 0.5f : 0.0f, 0});
    }
  }
  out.push_back({random_ids(1, prng), 0, 0, 0});
  out.push_back({random_ids(130, prng), 0, 1, 0});
  return out;
}

struct Pass {
  double loss = 0;
  std::vector<Tensor> gradients;
};
Pass pass(nn::Decoder& decoder, const std::vector<nn::ForestBatch>& batches) {
  Pass out;
  for (const auto& p : decoder.parameters()) p.value.mutable_grad().reset();
  for (const auto& batch : batches) {
    const auto loss = decoder.loss(batch).loss;
    out.loss += loss.item<double>();
    loss.backward();
  }
  for (const auto& p : decoder.parameters()) out.gradients.push_back(p.value.grad().clone());
  return out;
}

TEST(Hybrid, SharingDoesNotChangeTheGradient) {
  for (const auto& row : hybrids()) {
    Prng prng(4);
    const auto all = sessions(prng);
    const auto alone = nn::make_forests(all, {.max_tokens = 1, .share_prefixes = false});
    const auto shared = nn::make_forests(all, {.max_tokens = 1 << 20});
    ASSERT_EQ(shared.size(), 1u);
    ASSERT_LT(shared[0].size() * 2, shared[0].n_tokens);
    for (const bool lora : {true, false}) {
      const auto reference = reference_in(family(row));
      auto decoder = load(reference.dir, at::kDouble, !lora);
      if (lora) {
        const auto adapter = nn::parse_adapter(reference.adapter()).value();
        ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, true));
      }
      const Pass want = pass(decoder, alone), ours = pass(decoder, shared);
      EXPECT_NEAR(ours.loss, want.loss, 1e-12 * want.loss) << row;
      const auto parameters = decoder.parameters();
      for (size_t i = 0; i < parameters.size(); ++i) {
        EXPECT_GT(want.gradients[i].norm().item<double>(), 0) << row << " " << parameters[i].name;
        EXPECT_LE(relative_norm(ours.gradients[i], want.gradients[i]), 1e-10) << row << " " << parameters[i].name;
      }
    }
  }
}

struct Layer {
  nn::MambaShape shape;
  nn::MambaWeights weights;
};
Layer random_layer(Prng& prng) {
  Layer out;
  auto& c = out.shape.config;
  c.n_heads = 6, c.head_dim = 5, c.n_groups = 3, c.state = 4, c.kernel = 3;
  c.dt_min = 0.4, c.dt_max = 1.1;
  c.multipliers = {0.5, 0.8, 1.2, 0.9, 1.1};
  out.weights.conv = {random_tensor({c.convolved(), 1, c.kernel}, prng), random_tensor({c.convolved()}, prng, 0.3)};
  out.weights.dt_bias = random_tensor({c.n_heads}, prng);
  out.weights.a_log = random_tensor({c.n_heads}, prng) - 1;
  out.weights.d = random_tensor({c.n_heads}, prng);
  out.weights.norm = 1 + random_tensor({c.inner()}, prng, 0.3);
  return out;
}
nn::ForestBatch layout(const std::vector<nn::Sequence>& all, bool share) {
  return nn::make_forests(all, {.max_tokens = 1 << 20, .share_prefixes = share})[0];
}

TEST(Mamba, ChunksOfAnyLengthGiveTheSame) {
  Prng prng(5);
  const auto layer = random_layer(prng);
  const auto batch = layout(sessions(prng), true);
  const Tensor x = random_tensor({batch.size(), layer.shape.config.projected()}, prng).requires_grad_(true);
  const Tensor back = random_tensor({batch.size(), layer.shape.config.inner()}, prng);
  Tensor want, want_grad;
  for (const int64_t chunk : {1, 2, 7, 64, 1000}) {
    const auto where = nn::recurrence_of(batch, 2, chunk, at::kCPU);
    const Tensor y = nn::mamba(x, layer.weights, layer.shape, where);
    const auto grad = torch::autograd::grad({(y * back).sum()}, {x})[0];
    if (!want.defined()) want = y.detach(), want_grad = grad;
    EXPECT_LE(relative_max(y, want), 1e-12) << chunk;
    EXPECT_LE(relative_norm(grad, want_grad), 1e-12) << chunk;
  }
}

// A token at a time is the recurrence itself.
TEST(Mamba, ChunksEqualSteps) {
  Prng prng(6);
  using Gate = nn::MambaConfig::Gate;
  for (const Gate gate : {Gate::kPlain, Gate::kBeforeNorm, Gate::kAfterNorm}) {
    auto layer = random_layer(prng);
    layer.shape.config.gate = gate;
    const auto& c = layer.shape.config;
    const std::vector<nn::Sequence> all{{random_ids(37, prng), 0, 0, 0}};
    const auto batch = layout(all, false);
    const auto where = nn::recurrence_of(batch, 2, 8, at::kCPU);
    at::NoGradGuard no_grad;
    const Tensor x = random_tensor({37, c.projected()}, prng);
    nn::RecurrentState state{at::zeros({1, c.kernel - 1, c.convolved()}, at::kDouble),
                             at::zeros({1, c.n_heads, c.head_dim, c.state}, at::kDouble)},
        after;
    const Tensor y = nn::mamba_with_state(x, layer.weights, layer.shape, where, {{0}, {batch.path(0)}}, after);
    for (int64_t t = 0; t < 37; ++t)
      EXPECT_LE(relative_max(nn::mamba_step(x.narrow(0, t, 1), layer.weights, layer.shape, state)[0], y[t]), 1e-11);
    EXPECT_LE(relative_max(state.state, after.state), 1e-12);
    EXPECT_LE(relative_max(state.tail, after.tail), 1e-15);
  }
}

TEST(Mamba, RecomputedGradientsEqualFiniteDifferences) {
  Prng prng(7);
  auto layer = random_layer(prng);
  layer.shape.config.dt_min = 0, layer.shape.config.dt_max = 0;
  const auto batch = layout(sessions(prng), true);
  const auto where = nn::recurrence_of(batch, 2, 16, at::kCPU);
  const Tensor back = random_tensor({batch.size(), layer.shape.config.inner()}, prng);
  Tensor x = random_tensor({batch.size(), layer.shape.config.projected()}, prng);
  auto& w = layer.weights;
  for (Tensor* t : {&x, &w.conv.weight, &w.conv.bias, &w.dt_bias, &w.a_log, &w.d, &w.norm}) {
    t->requires_grad_(true);
    const auto loss = [&] { return (nn::mamba(x, w, layer.shape, where) * back).sum(); };
    const Tensor grad = torch::autograd::grad({loss()}, {*t})[0];
    t->requires_grad_(false);
    at::NoGradGuard no_grad;
    const Tensor direction = random_tensor(t->sizes(), prng);
    constexpr double kStep = 1e-6;
    t->add_(direction, kStep);
    const double up = loss().item<double>();
    t->add_(direction, -2 * kStep);
    const double down = loss().item<double>();
    t->add_(direction, kStep);
    const double want = (up - down) / (2 * kStep), ours = (grad * direction).sum().item<double>();
    EXPECT_NEAR(ours, want, 1e-6 * std::abs(want) + 1e-7);
  }
}

TEST(Hybrid, PromptsThatBeginAlikeForkTheirState) {
  for (const auto& row : hybrids()) {
    auto engine = nn::Engine::load(family(row), {nn::DType::kFloat32}).value();
    const auto v = static_cast<size_t>(engine->config().vocab_size);
    Prng prng(8);
    const auto beginning = random_ids(17, prng);
    std::vector<std::vector<int32_t>> prompts{beginning};
    for (int i = 0; i < 3; ++i) {
      auto more = random_ids(static_cast<size_t>(1 + 11 * i), prng);
      more.insert(more.begin(), beginning.begin(), beginning.end());
      prompts.push_back(more);
    }
    prompts.push_back(random_ids(1, prng));
    prompts.push_back(prompts[2]);
    std::vector<float> logits;
    auto cache = engine->prefill(prompts, logits).value();
    const auto check = [&](const std::string& when) {
      for (size_t r = 0; r < prompts.size(); ++r) {
        const auto whole = engine->logits(prompts[r]).value();
        float most = 0, largest = 0;
        for (size_t i = 0; i < v; ++i) {
          const float want = whole[whole.size() - v + i];
          most = std::max(most, std::abs(logits[r * v + i] - want));
          largest = std::max(largest, std::abs(want));
        }
        EXPECT_LE(most, 2e-5f * largest) << row << ", prompt " << r << " " << when;
      }
    };
    check("after prefill");
    for (int step = 0; step < 70; ++step) {  // beyond the cache's spare room
      std::vector<int32_t> next = random_ids(prompts.size(), prng);
      ASSERT_TRUE(engine->step(*cache, next, logits));
      for (size_t r = 0; r < prompts.size(); ++r)
        if (prompts[r].size() < 63) prompts[r].push_back(next[r]);
      if (prompts[3].size() >= 60) break;
      if (step == 4) {
        const std::vector<size_t> kept{5, 3, 0};
        ASSERT_TRUE(engine->keep(*cache, kept));
        prompts = {prompts[5], prompts[3], prompts[0]};
        logits = {};
        next = random_ids(3, prng);
        ASSERT_TRUE(engine->step(*cache, next, logits));
        for (size_t r = 0; r < 3; ++r) prompts[r].push_back(next[r]);
        check("when rows left");
        break;
      }
    }
  }
}

TEST(Hybrid, NamesOfBothKindsLoad) {
  // A file as transformers holds it in memory, "model." for "backbone.", is the same model; an adapter's names too.
  const auto reference = reference_in(family("nemotron-h"));
  const fs::path dir = fs::path(::testing::TempDir()) / "other_names";
  fs::create_directories(dir);
  fs::copy_file(reference.dir / "config.json", dir / "config.json", fs::copy_options::overwrite_existing);
  const auto file = nn::SafeTensors::open(reference.dir / "model.safetensors").value();
  std::vector<nn::TensorToWrite> renamed;
  for (const auto& [name, view] : file.tensors()) {
    const bool known = name.starts_with("backbone.");
    EXPECT_TRUE(known || name == "lm_head.weight") << name;
    renamed.push_back({known ? "model." + name.substr(9) : name, view.dtype, view.shape, view.data});
  }
  const Bytes bytes = nn::write_safetensors(renamed);
  ASSERT_TRUE(write_file_atomic(dir / "model.safetensors",
                                std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
  auto ours = load(dir), theirs = load(reference.dir);
  EXPECT_TRUE(at::equal(logits_of(ours, reference.ids(0)), logits_of(theirs, reference.ids(0))));
  auto adapter = nn::parse_adapter(reference.adapter()).value();
  for (auto& pair : adapter.pairs) {
    EXPECT_TRUE(pair.module.starts_with("model.layers.")) << pair.module;
    pair.module = "backbone." + pair.module.substr(6);
  }
  ASSERT_TRUE(ours.set_lora(adapter.config, adapter.pairs, false));
  EXPECT_LE(relative_max(logits_of(ours, reference.ids(0)), reference.get("adapted_logits.0")), 1e-4);
  for (const auto& pair : ours.lora_pairs()) EXPECT_TRUE(pair.module.starts_with("backbone.")) << pair.module;
  fs::remove_all(dir);
}

TEST(Hybrid, FreshAdaptersAreWherePeftTakesThem) {
  for (const auto& row : hybrids()) {
    const auto reference = reference_in(family(row));
    const auto theirs = nn::parse_adapter(reference.adapter()).value();
    auto decoder = load(reference.dir);
    nn::LoraConfig lora;
    lora.rank = 2;
    ASSERT_TRUE(decoder.add_lora(lora, 1, true));
    std::vector<std::string> a, b;
    for (const auto& pair : decoder.lora_pairs()) a.push_back(pair.module);
    for (const auto& pair : theirs.pairs) b.push_back(nn::own_name(decoder.config(), pair.module));
    std::sort(a.begin(), a.end());
    std::sort(b.begin(), b.end());
    EXPECT_EQ(a, b) << row;
  }
  auto nemotron = load(family("nemotron-h"));
  nn::LoraConfig lora;
  lora.targets = {"out_proj"};
  EXPECT_EQ(nemotron.add_lora(lora, 1, true).error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace slm::testing
