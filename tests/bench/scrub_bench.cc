// Finding private data in the bundled sample's text.
#include <benchmark/benchmark.h>

#include "core/file.h"
#include "scrub/detect/detector.h"

namespace slm::scrub {
namespace {

void Find(benchmark::State& state) {
  const std::string log =
      read_file(SLM_SOURCE_DIR "/pipelines/quickstart/sample/calls-0.jsonl").value().substr(0, 1 << 20);
  const auto detector = Detector::create({}, std::vector<bool>(kNumBuiltinTypes, true)).value();
  std::vector<std::string_view> lines;
  for (size_t at = 0, end; (end = log.find('\n', at)) != std::string::npos; at = end + 1)
    lines.push_back(std::string_view(log).substr(at, end - at));
  size_t expected = 0;
  for (const std::string_view line : lines) expected += detector.find(line).size();
  for (auto _ : state) {
    size_t found = 0;
    for (const std::string_view line : lines) found += detector.find(line).size();
    if (found != expected || found == 0) state.SkipWithError("found something else");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(log.size()));
}
BENCHMARK(Find)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace slm::scrub
