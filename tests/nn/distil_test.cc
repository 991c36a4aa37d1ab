// Distillation against torch.nn.functional over transformers and peft (tests/data/families/distil.safetensors, made by
// scripts/interop/families.py), and against plain operations with torch's own gradients.
#include "nn/distil.h"

#include <ATen/CPUGeneratorImpl.h>

#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

using at::Tensor;

TEST(Distil, LossAndGradientsEqualTorchs) {
  struct Pair {
    const char *student, *teacher;
    double share, temperature;
    int64_t n_common;
  };
  const fs::path root = family_dirs()[0].parent_path();
  const Reference theirs{root, nn::SafeTensors::open(root / "distil.safetensors").value()};
  for (const auto& pair :
       {Pair{"llama-tied", "qwen3", 0.7, 2, 37}, Pair{"gemma2", "gemma2", 1, 1, 37},
        Pair{"qwen2-nf4", "llama-wide", 0.5, 3, 37}, Pair{"llama-wide", "llama-partial", 0.4, 1.5, 53}})
    for (const auto compute : {at::kFloat, at::kDouble})
      for (const bool shared : {false, true}) {
        SCOPED_TRACE(pair.student);
        const Reference reference = reference_in(root / pair.student);
        auto student = load(reference.dir, compute), teacher = load(root / pair.teacher, compute);
        const auto adapter = nn::parse_adapter(reference.adapter()).value();
        ASSERT_TRUE(student.set_lora(adapter.config, adapter.pairs, true));
        std::vector<nn::Sequence> sequences;
        for (int i = 0; i < reference.n_examples(); ++i) {
          auto ids = reference.ids(i);
          for (auto& id : ids) id = std::min(id, static_cast<int32_t>(pair.n_common) - 1);
          sequences.push_back({std::move(ids), reference.n_prompt(i), 0});
        }
        Tensor loss;
        double weight = 0;
        for (const auto& batch : nn::make_forests(sequences, {.max_tokens = 1 << 20, .share_prefixes = shared})) {
          const nn::Distillation from{teacher.scores(batch), {pair.share, pair.temperature, pair.n_common}};
          const Tensor part = student.loss(batch, {.distil = &from}).loss;
          loss = loss.defined() ? loss + part : part;
          weight += batch.loss_weight();
        }
        const double want = theirs.get(std::string(pair.student) + ".loss").item<float>();
        EXPECT_NEAR(loss.item<double>() / weight, want, 1e-5 * want);
        (loss / weight).backward();
        for (const auto& p : student.parameters())
          EXPECT_LE(relative_norm(p.value.grad(), theirs.get(fmt::format("{}.grad.{}", pair.student, p.name))), 1e-5)
              << p.name;
      }
}

// From the likeliest tokens of a teacher: some places without any, lists of other lengths, one with the whole
// vocabulary.
TEST(Distil, LossAndGradientsFromLoggedTokensEqualTorchs) {
  const fs::path root = family_dirs()[0].parent_path();
  const Reference theirs{root, nn::SafeTensors::open(root / "logged.safetensors").value()};
  for (const auto& [name, share] : {std::pair{"llama-tied", 0.7}, {"qwen2-nf4", 1.0}, {"gemma2", 0.3}})
    for (const auto compute : {at::kFloat, at::kDouble})
      for (const bool shared : {false, true}) {
        SCOPED_TRACE(name);
        const Reference reference = reference_in(root / name);
        auto student = load(reference.dir, compute);
        const auto adapter = nn::parse_adapter(reference.adapter()).value();
        ASSERT_TRUE(student.set_lora(adapter.config, adapter.pairs, true));
        std::vector<nn::Sequence> sequences;
        for (int i = 0; i < reference.n_examples(); ++i) {
          auto ids = reference.ids(i);
          for (auto& id : ids) id = std::min(id, 36);
          sequences.push_back({std::move(ids), reference.n_prompt(i), 0});
          if (!theirs.has(fmt::format("{}.at.{}", name, i))) continue;
          const Tensor at = theirs.get(fmt::format("{}.at.{}", name, i)),
                       p = theirs.get(fmt::format("{}.p.{}", name, i)),
                       known = theirs.get(fmt::format("{}.ids.{}", name, i));
          for (int64_t row = 0; row < at.size(0); ++row) {
            nn::LoggedTopK one;
            one.at = at[row].item<int32_t>();
            for (int64_t j = 0; j < known.size(1); ++j) {
              if (known[row][j].item<int32_t>() < 0) continue;
              one.ids.push_back(known[row][j].item<int32_t>());
              one.probabilities.push_back(p[row][j].item<float>());
            }
            sequences.back().logged.push_back(std::move(one));
          }
        }
        Tensor loss;
        double weight = 0;
        size_t n_logged = 0;
        for (const auto& batch : nn::make_forests(sequences, {.max_tokens = 1 << 20, .share_prefixes = shared})) {
          nn::Distillation from{{}, {.share = share}, &batch.logged};
          const Tensor part = student.loss(batch, {.distil = &from}).loss;
          loss = loss.defined() ? loss + part : part;
          weight += batch.loss_weight();
          n_logged += batch.logged.size();
        }
        EXPECT_GT(n_logged, 20u);
        const double want = theirs.get(std::string(name) + ".loss").item<float>();
        EXPECT_NEAR(loss.item<double>() / weight, want, 1e-5 * want);
        (loss / weight).backward();
        for (const auto& p : student.parameters())
          EXPECT_LE(relative_norm(p.value.grad(), theirs.get(fmt::format("{}.grad.{}", name, p.name))), 1e-5) << p.name;
      }
}

struct Case {
  nn::Scores student, teacher;
  nn::LossTargets at;
};
// More positions than are held at once, some without weight; the teacher has tokens that the student hasn't.
Case random_case(at::ScalarType type, double softcap) {
  auto g = at::make_generator<at::CPUGeneratorImpl>(5);
  const auto random = [&](at::IntArrayRef sizes) { return at::randn(sizes, g, at::kDouble).to(type); };
  Case c;
  c.student = {random({300, 12}), random({19, 12}), softcap};
  c.teacher = {random({300, 7}), random({23, 7}), 0};
  c.at.targets = at::randint(0, 17, {300}, g, at::kInt);
  c.at.weights = at::randint(0, 3, {300}, g, at::kFloat);
  return c;
}

TEST(Distil, GradientsOfStatesAndHeadEqualThoseOfPlainOperations) {
  for (const double softcap : {0.0, 3.0}) {
    Case c = random_case(at::kDouble, softcap);
    const nn::DistilOptions o{0.3, 1.7, 17};
    const Tensor states = c.student.states.clone().requires_grad_(true),
                 head = c.student.head.clone().requires_grad_(true);
    c.student.states.requires_grad_(true), c.student.head.requires_grad_(true);
    const auto ours = nn::distil_loss(c.student, c.at, {c.teacher, o});
    (ours.loss * 2).backward();

    Tensor z = at::linear(states, head);
    if (softcap > 0) z = at::tanh(z / softcap) * softcap;
    const Tensor p = at::softmax(at::linear(c.teacher.states, c.teacher.head).narrow(1, 0, 17) / 1.7, -1);
    const Tensor log_q = at::log_softmax(z.narrow(1, 0, 17) / 1.7, -1);
    const Tensor kl = (p * (p.log() - log_q)).sum(1);
    const Tensor nll = -at::log_softmax(z, -1).gather(1, c.at.targets.to(at::kLong).unsqueeze(1)).squeeze(1);
    const Tensor plain = ((kl * (0.3 * 1.7 * 1.7) + nll * 0.7) * c.at.weights).sum();
    (plain * 2).backward();
    EXPECT_NEAR(ours.loss.item<double>(), plain.item<double>(), 1e-9 * plain.item<double>());
    EXPECT_LE(relative_norm(c.student.states.grad(), states.grad()), 1e-12);
    EXPECT_LE(relative_norm(c.student.head.grad(), head.grad()), 1e-12);
  }
}

TEST(Distil, WithoutATeachersShareItIsTheCrossEntropy) {
  for (const auto type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const Case c = random_case(type, 0);
    at::NoGradGuard no_grad;
    const auto ours = nn::distil_loss(c.student, c.at, {c.teacher, {0, 2, 17}});
    const auto plain = nn::linear_cross_entropy(c.student.states, c.student.head, c.at, 0);
    EXPECT_NEAR(ours.loss.item<double>(), plain.loss.item<double>(), 1e-2 * plain.loss.item<double>());
    EXPECT_EQ(ours.hits, plain.hits);
  }
}

TEST(Distil, NothingIsLeftToLearnFromOneself) {
  Case c = random_case(at::kDouble, 0);
  c.teacher = c.student;
  c.student.states.requires_grad_(true);
  const auto out = nn::distil_loss(c.student, c.at, {c.teacher, {1, 2, 0}});
  out.loss.backward();
  EXPECT_NEAR(out.loss.item<double>(), 0, 1e-12);
  EXPECT_LE(c.student.states.grad().abs().max().item<double>(), 1e-12);
}

}  // namespace
}  // namespace slm::testing
