// The bundled base model: prompts that share a beginning, then tokens one by one.
#include <benchmark/benchmark.h>

#include <cmath>

#include "nn/engine.h"

namespace slm::nn {
namespace {

std::vector<std::vector<int32_t>> prompts(int64_t n_rows, int64_t length, int64_t n_shared) {
  std::vector<std::vector<int32_t>> out(static_cast<size_t>(n_rows));
  for (int64_t row = 0; row < n_rows; ++row)
    for (int64_t i = 0; i < length; ++i)
      out[static_cast<size_t>(row)].push_back(
          static_cast<int32_t>(10 + (i < n_shared ? i * 31 : i * 37 + row * 101) % 3000));
  return out;
}

std::unique_ptr<Engine> engine() {
  EngineOptions options;
  options.threads = 1;
  return std::move(Engine::load(SLM_SOURCE_DIR "/pipelines/quickstart/base-model", options).value());
}

// Row 0 of a batch gets the logits it gets alone: bf16 products, so about two digits.
bool right(Engine& model, const std::vector<std::vector<int32_t>>& batch, const std::vector<float>& logits) {
  const std::vector<float> alone = model.logits(batch[0]).value();
  const auto width = static_cast<size_t>(model.config().vocab_size);
  float largest = 0, off = 0;
  for (size_t i = 0; i < width; ++i) {
    const float want = alone[alone.size() - width + i];
    largest = std::max(largest, std::abs(want));
    off = std::max(off, std::abs(want - logits[i]));
  }
  return off <= 0.05f * largest;
}

void Prefill(benchmark::State& state) {
  const auto model = engine();
  const auto batch = prompts(32, 160, state.range(0));
  std::vector<float> logits;
  for (auto _ : state) model->prefill(batch, logits).value();
  if (!right(*model, batch, logits)) state.SkipWithError("a row in a batch differs from the row alone");
  state.SetItemsProcessed(state.iterations() * 32 * 160);
}
BENCHMARK(Prefill)->Arg(0)->Arg(120)->ArgName("shared")->Unit(benchmark::kMillisecond)->UseRealTime();

void Step(benchmark::State& state) {
  const auto model = engine();
  const auto batch = prompts(state.range(0), 160, 120);
  std::vector<float> logits;
  auto cache = model->prefill(batch, logits).value();
  const std::vector<int32_t> next(batch.size(), 42);
  auto longer = batch;
  for (auto _ : state) {
    if (!model->step(*cache, next, logits)) state.SkipWithError("a step failed");
    for (auto& row : longer) row.push_back(42);
  }
  if (!right(*model, longer, logits)) state.SkipWithError("a step differs from the whole text at once");
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Step)->Arg(1)->Arg(32)->ArgName("rows")->Iterations(64)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace slm::nn
