#include "finetune/trainer.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <numeric>

#include "core/progress.h"
#include "finetune/source.h"
#include "finetune/toy_source.h"
#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

using finetune::Trainer;
using finetune::TrainHooks;
using finetune::TrainOptions;
using ::testing::HasSubstr;

class TrainerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    interrupt_flag() = false;
  }
  void TearDown() override { interrupt_flag() = false; }

  static nn::Decoder full(at::ScalarType compute = at::kFloat) {
    return nn::Decoder::random(toy_config(), 9, {compute, at::kCPU, true}).value();
  }
  // The same frozen weights every time, with fresh adapters.
  static nn::Decoder adapted(double dropout = 0, bool dora = false, bool nf4 = false) {
    const auto base = nf4 ? nn::Nf4Base::kPacked : nn::Nf4Base::kNo;
    auto decoder = nn::Decoder::random(toy_config(), 9, {at::kFloat, at::kCPU, false, base}).value();
    nn::LoraConfig lora;
    lora.rank = 4;
    lora.dropout = dropout;
    lora.dora = dora;
    EXPECT_TRUE(decoder.add_lora(lora, 4, true));
    return decoder;
  }
  // Sequences that count upwards: something to learn.
  static std::vector<nn::Sequence> counting(int n) {
    std::vector<nn::Sequence> out(static_cast<size_t>(n));
    Prng prng(11);
    for (auto& s : out) {
      const auto first = static_cast<int64_t>(prng.below(53)), length = static_cast<int64_t>(6 + prng.below(10));
      for (int64_t t = 0; t < length; ++t) s.ids.push_back(static_cast<int32_t>((first + t) % 53));
      s.n_prompt = 2;
    }
    return out;
  }
  // Nothing to learn.
  static std::vector<nn::ForestBatch> noise() {
    std::vector<nn::Sequence> out(8);
    Prng prng(1);
    for (auto& s : out)
      for (int t = 0; t < 10; ++t) s.ids.push_back(static_cast<int32_t>(prng.below(53)));
    return nn::make_forests(out, {1 << 20});
  }
  static TrainOptions options(int64_t n_steps) {
    TrainOptions o;
    o.schedule = {1e-2, 3, n_steps, 0.1};
    o.adamw.weight_decay = 0.1;
    o.seed = 3;
    o.identity = "toy";
    return o;
  }
  static std::vector<at::Tensor> values(const nn::Decoder& decoder) {
    std::vector<at::Tensor> out;
    for (const auto& p : decoder.parameters()) out.push_back(p.value.detach().clone());
    return out;
  }
  static void expect_equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i], b[i])) << i;
  }
  std::unique_ptr<Clock> clock = fixed_clock(0, 10);
};

TEST_F(TrainerTest, LearnsWithFullWeightsAndWithAdapters) {
  for (const auto compute : {at::kFloat, at::kBFloat16}) {
    auto decoder = full(compute);
    ToySource source;
    Trainer trainer(decoder, source, options(60), *clock);
    double first = 0;
    TrainHooks hooks;
    hooks.on_step = [&](const finetune::StepReport& r) {
      if (r.step == 1) first = r.loss;
      EXPECT_EQ(r.n_steps, 60);
    };
    const auto result = trainer.run(hooks);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_NEAR(first, std::log(53.0), 0.1);
    EXPECT_LT(result->loss, 0.7 * first);
  }
  auto decoder = adapted();
  const auto before = decoder.weights();
  std::vector<at::Tensor> frozen;
  for (const auto& w : before) frozen.push_back(w.value.clone());
  ToySource source;
  Trainer trainer(decoder, source, options(60), *clock);
  EXPECT_LT(trainer.run()->loss, 3.9);
  for (size_t i = 0; i < frozen.size(); ++i) EXPECT_TRUE(at::equal(decoder.weights()[i].value, frozen[i]));
}

// Weights, adapters, DoRA's magnitudes and adapters over NF4; dropout, batch order across epochs, the schedule's place
// and the state of early stopping: from every checkpoint on, all steps are those of the run that wasn't stopped.
TEST_F(TrainerTest, ResumingEqualsGoingOnBitForBit) {
  struct Method {
    const char* name;
    bool full;
    double dropout;
    bool dora, nf4;
  };
  for (const auto& method : {Method{"full", true, 0, false, false}, Method{"lora", false, 0.2, false, false},
                             Method{"dora", false, 0.2, true, false}, Method{"qlora", false, 0.2, false, true},
                             Method{"qlora with dora", false, 0, true, true}}) {
    SCOPED_TRACE(method.name);
    const auto make = [&] { return method.full ? full() : adapted(method.dropout, method.dora, method.nf4); };
    auto o = options(30);
    o.schedule.peak = 5e-2;
    o.validate_every = 2;
    o.checkpoint_every = 3;
    o.patience = 3;
    // Validation on noise, which learning to count makes worse: the run stops early, after most checkpoints.
    const auto validation = noise();
    std::vector<uint32_t> sessions;  // of up to four calls
    for (uint32_t i = 0; i < 25; ++i) sessions.push_back(i / 4);
    const auto source_of = [&] { return finetune::ShuffledSource(counting(25), sessions, {.batch = 8, .seed = 6}); };
    const auto follow = [&](Trainer& trainer, std::vector<std::string>& steps, std::vector<Bytes>* checkpoints) {
      TrainHooks hooks;
      hooks.on_step = [&](const finetune::StepReport& r) {
        steps.push_back(fmt::format("{} {:a} {:a} {:a}", r.step, r.loss, r.rate, r.grad_norm));
      };
      hooks.on_validation = [&](const finetune::ValidationReport& r) {
        steps.push_back(fmt::format("{} {:a} {}", r.step, r.loss, r.best));
      };
      if (checkpoints != nullptr)
        hooks.save = [&, checkpoints](const Bytes& bytes) -> Status {
          checkpoints->push_back(bytes);
          return {};
        };
      return trainer.run(hooks);
    };

    auto straight = make();
    auto source = source_of();
    Trainer whole(straight, source, o, *clock);
    whole.set_validation(validation);
    std::vector<std::string> steps;
    std::vector<Bytes> checkpoints;
    const auto want = follow(whole, steps, &checkpoints);
    ASSERT_TRUE(want) << want.error().message;
    EXPECT_TRUE(want->stopped_early);
    EXPECT_LT(want->best_step, want->n_steps);
    ASSERT_GE(checkpoints.size(), 2u);

    for (const auto& checkpoint : checkpoints) {
      auto decoder = make();
      auto again = source_of();
      Trainer rest(decoder, again, o, *clock);
      rest.set_validation(validation);
      const auto status = rest.resume(checkpoint);
      ASSERT_TRUE(status) << status.error().message;
      std::vector<std::string> own;
      const auto result = follow(rest, own, nullptr);
      ASSERT_TRUE(result);
      ASSERT_LT(own.size(), steps.size());
      EXPECT_EQ(own, std::vector<std::string>(steps.end() - std::ssize(own), steps.end()));
      expect_equal(values(decoder), values(straight));
      EXPECT_EQ(result->loss, want->loss);
      EXPECT_EQ(result->n_steps, want->n_steps);
      EXPECT_EQ(result->n_tokens, want->n_tokens);
      EXPECT_LT(result->n_tokens_this_run, want->n_tokens);
      EXPECT_EQ(result->best_step, want->best_step);
      EXPECT_EQ(result->best_loss, want->best_loss);
      EXPECT_TRUE(result->stopped_early);
    }
  }
}

TEST_F(TrainerTest, MicroBatchesAddUpToTheWholeBatch) {
  auto one = full(), three = full();
  ToySource whole(1), parts(3);
  auto o = options(4);
  Trainer a(one, whole, o, *clock), b(three, parts, o, *clock);
  const auto x = a.run(), y = b.run();
  ASSERT_TRUE(x && y);
  EXPECT_NEAR(x->loss, y->loss, 1e-5);
  const auto va = values(one), vb = values(three);
  for (size_t i = 0; i < va.size(); ++i) EXPECT_LE(relative_norm(va[i], vb[i]), 1e-4);
}

// Whichever micro-batches are computed again on the way back, all steps are the same.
TEST_F(TrainerTest, ComputingLayersAgainChangesNoBit) {
  struct Method {
    const char* name;
    bool full;
    double dropout;
    bool dora, nf4;
  };
  for (const auto& method : {Method{"full", true, 0, false, false}, Method{"lora", false, 0.2, false, false},
                             Method{"dora", false, 0.2, true, false}, Method{"qlora", false, 0, false, true}})
    for (const auto compute : {at::kFloat, at::kBFloat16}) {
      if (compute == at::kBFloat16 && !method.full) continue;
      SCOPED_TRACE(method.name);
      const auto train = [&](std::function<bool(const nn::ForestBatch&)> recomputes, std::vector<int64_t>& n) {
        auto decoder = method.full ? full(compute) : adapted(method.dropout, method.dora, method.nf4);
        ToySource source(3);
        auto o = options(8);
        o.recomputes = std::move(recomputes);
        TrainHooks hooks;
        hooks.on_step = [&](const finetune::StepReport& r) { n.push_back(r.n_recomputed); };
        Trainer trainer(decoder, source, o, *clock);
        const auto result = trainer.run(hooks);
        EXPECT_TRUE(result);
        EXPECT_EQ(result->n_recomputed, std::accumulate(n.begin(), n.end(), int64_t{0}));
        return std::pair{result->loss, values(decoder)};
      };
      std::vector<int64_t> none, all, some;
      const auto want = train({}, none);
      const auto again = train([](const nn::ForestBatch&) { return true; }, all);
      const auto mixed = train([](const nn::ForestBatch& b) { return b.size() % 2 == 0; }, some);
      EXPECT_EQ(none, std::vector<int64_t>(8, 0));
      EXPECT_EQ(all, std::vector<int64_t>(8, 3));
      EXPECT_GT(*std::max_element(some.begin(), some.end()), 0);
      EXPECT_LT(*std::min_element(some.begin(), some.end()), 3);
      for (const auto* other : {&again, &mixed}) {
        EXPECT_EQ(other->first, want.first);
        expect_equal(other->second, want.second);
      }
    }
}

TEST_F(TrainerTest, StopsEarlyAndPutsTheBestBack) {
  auto decoder = full();
  ToySource source;
  auto o = options(200);
  o.schedule.peak = 3e-2;
  o.validate_every = 5;
  o.patience = 2;
  Trainer trainer(decoder, source, o, *clock);
  // Learning to count makes it worse soon.
  const auto validation = noise();
  trainer.set_validation(validation);
  std::vector<finetune::ValidationReport> seen;
  TrainHooks hooks;
  hooks.on_validation = [&](const finetune::ValidationReport& r) { seen.push_back(r); };
  const auto result = trainer.run(hooks);
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->stopped_early);
  EXPECT_EQ(result->n_steps, result->best_step + 10);
  ASSERT_GE(seen.size(), 3u);
  EXPECT_FALSE(seen.back().best);
  at::NoGradGuard no_grad;
  const double now = decoder.loss(validation[0]).loss.item<double>() / validation[0].loss_weight();
  EXPECT_EQ(now, result->best_loss);
}

TEST_F(TrainerTest, AnInterruptLeavesACheckpointThatGoesOn) {
  auto decoder = full();
  ToySource source;
  Trainer trainer(decoder, source, options(10), *clock);
  Bytes checkpoint;
  TrainHooks hooks;
  hooks.on_step = [](const finetune::StepReport& r) {
    if (r.step == 4) interrupt_flag() = true;
  };
  hooks.save = [&](const Bytes& bytes) -> Status {
    checkpoint = bytes;
    return {};
  };
  const auto stopped = trainer.run(hooks);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
  EXPECT_THAT(stopped.error().message, HasSubstr("after step 4 of 10"));
  ASSERT_FALSE(checkpoint.empty());
  interrupt_flag() = false;

  auto straight = full(), resumed = full();
  ToySource a, b;
  Trainer whole(straight, a, options(10), *clock), rest(resumed, b, options(10), *clock);
  ASSERT_TRUE(whole.run());
  ASSERT_TRUE(rest.resume(checkpoint));
  ASSERT_TRUE(rest.run());
  expect_equal(values(resumed), values(straight));
}

TEST_F(TrainerTest, AFailingSaveEndsTheRun) {
  auto decoder = full();
  ToySource source;
  auto o = options(10);
  o.checkpoint_every = 2;
  Trainer trainer(decoder, source, o, *clock);
  TrainHooks hooks;
  hooks.save = [](const Bytes&) -> Status { return fail(ErrorCode::kIo, "disk full"); };
  const auto result = trainer.run(hooks);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kIo);
}

TEST_F(TrainerTest, ForeignAndDamagedCheckpointsAreRefused) {
  auto decoder = full();
  ToySource source;
  auto o = options(6);
  o.checkpoint_every = 3;
  Bytes checkpoint;
  TrainHooks hooks;
  hooks.save = [&](const Bytes& bytes) -> Status {
    checkpoint = bytes;
    return {};
  };
  Trainer trainer(decoder, source, o, *clock);
  ASSERT_TRUE(trainer.run(hooks));

  const auto resume = [&](nn::Decoder target, TrainOptions with, ByteSpan bytes) {
    ToySource s;
    return Trainer(target, s, std::move(with), *clock).resume(bytes);
  };
  EXPECT_TRUE(resume(full(), o, checkpoint));
  auto other = o;
  other.identity = "other data";
  EXPECT_EQ(resume(full(), other, checkpoint).error().code, ErrorCode::kManifestMismatch);
  EXPECT_EQ(resume(full(), options(7), checkpoint).error().code, ErrorCode::kManifestMismatch);
  EXPECT_EQ(resume(adapted(), o, checkpoint).error().code, ErrorCode::kManifestMismatch);
  EXPECT_EQ(resume(full(), o, ByteSpan(checkpoint).first(checkpoint.size() - 1)).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(resume(full(), o, as_bytes("not a checkpoint")).error().code, ErrorCode::kBadInput);
}

TEST_F(TrainerTest, DivergenceStopsTheRunWithAMessage) {
  auto decoder = full();
  decoder.parameters()[0].value.detach()[3][0] = std::numeric_limits<float>::quiet_NaN();
  ToySource source;
  Trainer trainer(decoder, source, options(10), *clock);
  const auto result = trainer.run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnexpected);
  EXPECT_THAT(result.error().message, HasSubstr("diverged at step 1"));
  EXPECT_THAT(result.error().hint, HasSubstr("--lr"));
}

// Numbers overflow at the one rate; at the other, the largest that finetune takes, they stay finite and mean nothing.
// (The toy's frozen head is too small for adapters to make its loss large.)
TEST_F(TrainerTest, AnAbsurdRateStopsTheRunInsteadOfTrainingOnNothing) {
  for (const bool lora : {false, true})
    for (const double rate : {1e30, 1.0}) {
      if (lora && rate == 1.0) continue;
      SCOPED_TRACE(fmt::format("lora {}, rate {}", lora, rate));
      auto decoder = lora ? adapted() : full();
      ToySource source;
      auto o = options(300);
      o.schedule = {rate, 0, 300, 1};
      Trainer trainer(decoder, source, o, *clock);
      const auto result = trainer.run();
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().code, ErrorCode::kUnexpected);
      EXPECT_THAT(result.error().message, HasSubstr("training diverged at step "));
      EXPECT_THAT(result.error().hint, HasSubstr("--lr"));
    }
}

// LoRA, rsLoRA, DoRA and QLoRA, in float32 and float64: losses of 20 steps, and the adapters after them.
TEST_F(TrainerTest, TwentyAdamWStepsEqualTorchs) {
  int n_compared = 0, n_clipped = 0;
  for (const auto& dir : family_dirs()) {
    const Reference reference = reference_in(dir);
    if (!reference.has("step_losses")) continue;
    ++n_compared;
    const at::Tensor losses = reference.get("step_losses");
    for (const auto compute : {at::kFloat, at::kDouble}) {
      auto decoder = load(dir, compute);
      auto adapter = nn::parse_adapter(reference.adapter()).value();
      ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, true));
      finetune::AdamW optimiser(decoder.parameters(), {0.9, 0.999, 1e-8, 0.05, 0.5});
      std::vector<nn::Sequence> sequences;
      for (int i = 0; i < reference.n_examples(); ++i) {
        const auto ids = reference.ids(i);
        sequences.push_back({ids, reference.n_prompt(i), 0, nn::rope_key(decoder.config(), std::ssize(ids))});
      }
      const auto batches = nn::make_forests(sequences, {.max_tokens = 1 << 20});
      double weight = 0;
      for (const auto& batch : batches) weight += batch.loss_weight();
      double worst_loss = 0, worst = 0;
      for (int64_t i = 0; i < losses.numel(); ++i) {
        double loss = 0;
        for (const auto& batch : batches) {
          const at::Tensor part = decoder.loss(batch).loss;
          part.backward();
          loss += part.item<double>() / weight;
        }
        const double want = losses[i].item<double>();
        worst_loss = std::max(worst_loss, std::abs(loss - want) / std::max(1.0, want));
        n_clipped += optimiser.step(3e-3, weight) > 0.5;
      }
      EXPECT_LT(losses[-1].item<double>(), losses[0].item<double>());
      EXPECT_LE(worst_loss, 1e-5) << dir;
      for (const auto& p : decoder.parameters())
        worst = std::max(worst, relative_norm(p.value.detach(), reference.get("trained." + p.name)));
      EXPECT_LE(worst, 1e-3) << dir;
      if (compute == at::kFloat) record_deviation(dir, "trained", worst);
    }
  }
  EXPECT_GE(n_compared, 5);
  EXPECT_GT(n_clipped, 0);  // clipping is at work
}

TEST(Schedule, WarmsUpAndFollowsACosine) {
  const finetune::Schedule s{2.0, 4, 104, 0.1};
  EXPECT_DOUBLE_EQ(learning_rate(s, 0), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(s, 3), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate(s, 4), 2.0);
  EXPECT_NEAR(learning_rate(s, 54), 1.1, 1e-12);  // half way: the mean of 2.0 and 0.2
  EXPECT_NEAR(learning_rate(s, 104), 0.2, 1e-12);
  EXPECT_NEAR(learning_rate(s, 1000), 0.2, 1e-12);
}

// The first step's gradient scales with how full the step is; its loss is the mean of its own tokens either way.
TEST_F(TrainerTest, AShortStepCountsForItsShare) {
  struct Part final : finetune::BatchSource {
    explicit Part(double share_of_full) : share(share_of_full) {}
    Result<std::vector<nn::ForestBatch>> next() override { return toy.next(); }
    double fullness() const override { return share; }
    json::object position() const override { return {}; }
    Status seek(const json::object&) override { return {}; }
    ToySource toy;
    double share;
  };
  finetune::StepReport reports[2];
  for (int i = 0; i < 2; ++i) {
    auto decoder = full();
    Part source(i == 0 ? 1.0 : 0.25);
    Trainer trainer(decoder, source, options(1), *clock);
    TrainHooks hooks;
    hooks.on_step = [&](const finetune::StepReport& report) { reports[i] = report; };
    ASSERT_TRUE(trainer.run(hooks));
  }
  EXPECT_GT(reports[0].grad_norm, 0.01);
  EXPECT_NEAR(reports[1].grad_norm, 0.25 * reports[0].grad_norm, 1e-6);
  EXPECT_EQ(reports[1].loss, reports[0].loss);
}

}  // namespace
}  // namespace slm::testing
