// Our side of scripts/bench/generate: greedy answers to the prompts of a work file, one JSON line at the end.
// Use: generate_steps MODEL WORK bfloat16|float32 [DEVICE]
// WORK: {"threads", "n_new", "rounds": [[[id…]…]…]}: prompts answered together, round by round.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "core/file.h"
#include "core/time.h"
#include "nn/engine.h"
#include "schema/json.h"

namespace slm::nn {
namespace {

Status run(const std::vector<std::string>& args) {
  if (args.size() < 4) return fail(ErrorCode::kUsage, "generate_steps MODEL WORK bfloat16|float32 [DEVICE]");
  SLM_TRY(const auto text, read_file(args[2]));
  SLM_TRY(const auto value, parse_json(text));
  const auto& work = value.as_object();
  EngineOptions options;
  options.threads = static_cast<int>(work.at("threads").to_number<int64_t>());
  SLM_TRY(options.dtype, parse_dtype(args[3]));
  if (args.size() > 4) options.device = args[4];
  SLM_TRY(const auto engine, Engine::load(args[1], options));
  const auto clock = system_clock();
  const auto vocab = static_cast<size_t>(engine->config().vocab_size);
  json::array seconds, answers;
  for (const auto& round : work.at("rounds").as_array()) {
    std::vector<std::vector<int32_t>> prompts;
    for (const auto& prompt : round.as_array()) {
      auto& ids = prompts.emplace_back();
      for (const auto& id : prompt.as_array()) ids.push_back(static_cast<int32_t>(id.to_number<int64_t>()));
    }
    const double begun = clock->monotonic_s();
    std::vector<float> logits;
    SLM_TRY(const auto cache, engine->prefill(prompts, logits));
    std::vector<json::array> rows(prompts.size());
    std::vector<int32_t> next(prompts.size());
    for (int64_t t = 0; t < work.at("n_new").to_number<int64_t>(); ++t) {
      if (t > 0) SLM_CHECK(engine->step(*cache, next, logits));
      for (size_t row = 0; row < next.size(); ++row) {
        const auto first = logits.begin() + static_cast<int64_t>(row * vocab);
        next[row] = static_cast<int32_t>(std::max_element(first, first + static_cast<int64_t>(vocab)) - first);
        rows[row].push_back(next[row]);
      }
    }
    seconds.push_back(clock->monotonic_s() - begun);
    answers.clear();
    for (auto& row : rows) answers.push_back(std::move(row));
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const json::object line{
      {"seconds", std::move(seconds)}, {"last", std::move(answers)}, {"peak_bytes", usage.ru_maxrss * 1024}};
  std::puts(json::serialize(line).c_str());
  return {};
}

}  // namespace
}  // namespace slm::nn

int main(int argc, char** argv) {
  const auto done = slm::nn::run({argv, argv + argc});
  if (!done) std::fprintf(stderr, "%s\n", done.error().message.c_str());
  return done ? 0 : 1;
}
