// Tokenizing the bundled sample's text with the bundled tokenizer.
#include <benchmark/benchmark.h>

#include "core/file.h"
#include "text/tokenizer.h"

namespace slm::text {
namespace {

void Encode(benchmark::State& state) {
  const auto tokenizer = Tokenizer::open(SLM_SOURCE_DIR "/pipelines/quickstart/base-model").value();
  const std::string log =
      read_file(SLM_SOURCE_DIR "/pipelines/quickstart/sample/calls-0.jsonl").value().substr(0, 1 << 20);
  const std::string text = log.substr(0, log.rfind('\n'));
  int64_t n_tokens = 0;
  for (auto _ : state) {
    const std::vector<int32_t> ids = tokenizer->encode(text);
    n_tokens = static_cast<int64_t>(ids.size());
    state.PauseTiming();
    if (tokenizer->decode(ids, true) != text) state.SkipWithError("ids don't decode to the text");
    state.ResumeTiming();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
  state.counters["tokens"] = static_cast<double>(n_tokens);
}
BENCHMARK(Encode)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace slm::text
