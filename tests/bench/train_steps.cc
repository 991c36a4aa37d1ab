// Our side of scripts/bench/finetune: a LoRA training over the steps of a work file, one JSON line at the end.
// Use: train_steps MODEL WORK shared|alone bfloat16|float32 [DEVICE]
// WORK: {"threads", "rank" (0: all weights), "alpha", "rate", "cosine", "steps": [{"calls": [{"ids", "n_prompt"}…]}…],
//   "held_out" (may be missing): calls whose loss after the last step is told, "recompute" (may be missing): whether
//   layers are computed again on the way back}
#include <ATen/Parallel.h>
#include <sys/resource.h>

#include <cstdio>
#include <filesystem>

#include "core/file.h"
#include "core/time.h"
#include "finetune/trainer.h"
#include "nn/batch.h"

namespace slm::finetune {
namespace {

class GivenSteps final : public BatchSource {
 public:
  GivenSteps(std::vector<std::vector<nn::Sequence>> steps, nn::ForestOptions options)
      : steps_(std::move(steps)), options_(options) {}
  Result<std::vector<nn::ForestBatch>> next() override {
    auto out = nn::make_forests(steps_[at_++], options_);
    int64_t n_computed = 0, n_pairs = 0, n_predicted = 0;
    for (const auto& batch : out) {
      n_computed += batch.size();
      n_predicted += std::ssize(batch.loss_at);
      for (const int32_t position : batch.positions) n_pairs += position + 1;
    }
    computed.push_back(n_computed);
    pairs.push_back(n_pairs);
    predicted.push_back(n_predicted);
    return out;
  }
  json::object position() const override { return {}; }
  Status seek(const json::object&) override { return {}; }

  // Of each step: tokens in the batches, keys seen by queries, positions that predict.
  json::array computed, pairs, predicted;

 private:
  std::vector<std::vector<nn::Sequence>> steps_;
  nn::ForestOptions options_;
  size_t at_ = 0;
};

std::vector<nn::Sequence> calls_of(const json::array& calls, const nn::ModelConfig& config) {
  std::vector<nn::Sequence> out;
  for (const auto& call : calls) {
    auto& sequence = out.emplace_back();
    for (const auto& id : call.as_object().at("ids").as_array())
      sequence.ids.push_back(static_cast<int32_t>(id.to_number<int64_t>()));
    sequence.n_prompt = call.as_object().at("n_prompt").to_number<size_t>();
    sequence.rope_key = nn::rope_key(config, std::ssize(sequence.ids));
  }
  return out;
}

Status run(const std::vector<std::string>& args) {
  if (args.size() < 5) return fail(ErrorCode::kUsage, "train_steps MODEL WORK shared|alone bfloat16|float32 [DEVICE]");
  SLM_TRY(const auto text, read_file(args[2]));
  SLM_TRY(const auto value, parse_json(text));
  const auto& work = value.as_object();
  at::set_num_threads(static_cast<int>(work.at("threads").to_number<int64_t>()));
  SLM_TRY(const auto device, nn::open_device(args.size() > 5 ? args[5] : "cpu"));
  const auto compute = args[4] == "float32" ? at::kFloat : at::kBFloat16;
  nn::LoraConfig lora;
  lora.rank = work.at("rank").to_number<int64_t>();
  lora.alpha = work.at("alpha").to_number<double>();
  SLM_TRY(auto decoder, nn::Decoder::load(args[1], {compute, device, lora.rank == 0}));
  if (lora.rank > 0) SLM_CHECK(decoder.add_lora(lora, 1, true));

  std::vector<std::vector<nn::Sequence>> steps;
  for (const auto& step : work.at("steps").as_array())
    steps.push_back(calls_of(step.as_object().at("calls").as_array(), decoder.config()));
  nn::ForestOptions pack;
  pack.share_prefixes = args[3] == "shared";
  const auto n_steps = std::ssize(steps);
  GivenSteps source(std::move(steps), pack);
  const auto clock = system_clock();
  TrainOptions options;
  const bool cosine = work.contains("cosine");  // as slmconv finetune trains; else the rate stays
  options.schedule = {work.at("rate").to_number<double>(), cosine ? n_steps / 16 : 0, n_steps, cosine ? 0.0 : 1.0};
  options.adamw.clip_norm = 0;
  const auto* again = work.if_contains("recompute");
  if (again != nullptr && again->as_bool()) options.recomputes = [](const nn::ForestBatch&) { return true; };
  Trainer trainer(decoder, source, options, *clock);
  json::array seconds, losses, tokens;
  double last_s = clock->monotonic_s();
  int64_t last_tokens = 0;
  TrainHooks hooks;
  hooks.on_step = [&](const StepReport& report) {
    const double now_s = clock->monotonic_s();
    seconds.push_back(now_s - std::exchange(last_s, now_s));
    losses.push_back(report.loss);
    tokens.push_back(report.n_tokens - std::exchange(last_tokens, report.n_tokens));
  };
  if (const auto result = trainer.run(hooks); !result) return tl::unexpected<Error>(result.error());
  json::value held_out_loss;
  if (const auto* held_out = work.if_contains("held_out")) {
    at::NoGradGuard no_grad;
    double loss = 0, weight = 0;
    for (const auto& batch : nn::make_forests(calls_of(held_out->as_array(), decoder.config()), {})) {
      loss += decoder.loss(batch).loss.item<double>();
      weight += batch.loss_weight();
    }
    held_out_loss = loss / weight;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const json::object line{{"seconds", std::move(seconds)},
                          {"losses", std::move(losses)},
                          {"tokens", std::move(tokens)},
                          {"computed", source.computed},
                          {"pairs", source.pairs},
                          {"predicted", source.predicted},
                          {"held_out", std::move(held_out_loss)},
                          {"peak_bytes", usage.ru_maxrss * 1024}};
  std::puts(json::serialize(line).c_str());
  return {};
}

}  // namespace
}  // namespace slm::finetune

int main(int argc, char** argv) {
  const auto done = slm::finetune::run({argv, argv + argc});
  if (!done) std::fprintf(stderr, "%s\n", done.error().message.c_str());
  return done ? 0 : 1;
}
