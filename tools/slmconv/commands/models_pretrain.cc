#include "commands/models_pretrain.h"

#include <fmt/format.h>

#include "finetune/pretrain.h"

namespace slm::cli {
namespace {

struct PretrainFlags {
  finetune::PretrainOptions options;
  std::vector<std::string> corpora;
  std::string config, tokenizer, held_out, out, compute = "auto", stored = "bfloat16";
};

Result<Summary> run_pretrain(Context& context, const PretrainFlags& flags) {
  auto options = flags.options;
  options.config = flags.config;
  options.tokenizer = flags.tokenizer;
  options.held_out = flags.held_out;
  options.out = flags.out;
  options.corpora.assign(flags.corpora.begin(), flags.corpora.end());
  options.threads = context.globals.threads;
  SLM_TRY(options.compute, nn::parse_dtype(flags.compute));
  SLM_TRY(options.stored, nn::parse_dtype(flags.stored));
  SLM_TRY(const auto result, finetune::pretrain(options, *context.clock, *context.out));

  Summary summary;
  summary.n_in = result.n_lines;
  summary.dropped = result.dropped;
  summary.n_out = result.n_lines;
  for (const auto& [reason, n] : result.dropped) summary.n_out -= n;
  summary.changed = true;
  const auto& train = result.train;
  const double tokens_per_s = train.seconds > 0 ? static_cast<double>(train.n_tokens_this_run) / train.seconds : 0;
  summary.extra = {{"n_parameters", result.n_parameters}, {"n_steps", train.n_steps},
                   {"n_tokens", train.n_tokens},          {"seconds", train.seconds},
                   {"tokens_per_s", tokens_per_s},        {"loss", train.loss},
                   {"held_out_loss", train.best_loss},    {"held_out_accuracy", train.best_accuracy},
                   {"best_step", train.best_step}};
  summary.lines.push_back(fmt::format("{} ({:.1f} M parameters): {} steps, {:.1f} M tokens, {:.0f} tokens/s", flags.out,
                                      static_cast<double>(result.n_parameters) / 1e6, train.n_steps,
                                      static_cast<double>(train.n_tokens) / 1e6, tokens_per_s));
  summary.lines.push_back(
      fmt::format("loss {:.3f} at the last step; held out: {:.3f}, {:.1f} % of tokens right (step {})", train.loss,
                  train.best_loss, 100 * train.best_accuracy, train.best_step));
  return summary;
}

}  // namespace

void add_models_pretrain(CLI::App& models, Context& context) {
  auto* sub = models.add_subcommand("pretrain", "Train a small base model from scratch on rendered text");
  auto flags = std::make_shared<PretrainFlags>();
  auto& o = flags->options;
  const auto positive = CLI::Range(int64_t{1}, int64_t{1} << 40);
  const auto not_negative = CLI::Range(int64_t{0}, int64_t{1} << 40);
  sub->add_option("--config", flags->config, "config.json of the model to make")
      ->required()
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--tokenizer", flags->tokenizer,
                  "Directory with tokenizer.json or tokenizer.model; its files go to --out")
      ->required()
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("--corpus", flags->corpora,
                  "JSON lines of {\"prompt\", \"completion\"} or {\"text\"}, special tokens spelled out; all files in "
                  "order are one epoch")
      ->required()
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--held-out", flags->held_out, "JSON lines to measure on; else the corpus's first lines are kept out")
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--held-out-lines", o.n_held_out, "Lines of the corpus kept out where no --held-out is given")
      ->check(not_negative);
  sub->add_option("--out", flags->out, "Directory to write")->required();
  auto* steps = sub->add_option("--steps", o.n_steps, "Steps to train")->check(positive);
  sub->add_option("--tokens", o.n_tokens, "Tokens to train on, instead of --steps")->check(positive)->excludes(steps);
  sub->add_option("--batch-tokens", o.batch_tokens, "Tokens of a step, at most")->check(positive);
  sub->add_option("--micro-tokens", o.micro_tokens, "Tokens computed at once; smaller takes less memory")
      ->check(positive);
  sub->add_option("--length", o.length, "Tokens of a line; longer ones are left out")->check(positive);
  sub->add_option("--prompt-loss", o.prompt_weight, "Weight of a prompt's tokens in the loss; a completion's weigh 1")
      ->check(CLI::Range(0.0, 1.0));
  sub->add_option("--lr", o.rate, "Peak learning rate")->check(CLI::Range(0.0, 1.0));
  sub->add_option("--final-lr", o.final_rate, "Learning rate at the last step, as a share of the peak")
      ->check(CLI::Range(0.0, 1.0));
  sub->add_option("--warmup", o.warmup_steps, "Steps of rising learning rate")->check(not_negative);
  sub->add_option("--weight-decay", o.weight_decay, "AdamW's, on matrices")->check(CLI::Range(0.0, 1.0));
  sub->add_option("--seed", o.seed, "Of weights and order");
  sub->add_option("--save-every", o.save_every, "Steps between checkpoints; 0: only when interrupted")
      ->check(not_negative);
  sub->add_option("--validate-every", o.validate_every, "Steps between held-out measurements; 0: never")
      ->check(not_negative);
  sub->add_option("--log-every", o.log_every, "Steps between lines of metrics.jsonl")->check(positive);
  sub->add_option("--dtype", flags->compute, "Of matrix products")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
  sub->add_option("--store-dtype", flags->stored, "Of the weight file")->check(CLI::IsMember({"float32", "bfloat16"}));
  sub->add_flag("--resume", o.resume,
                "Continue from the checkpoint in --out; with the same flags, save how often to write and measure");
  context.on(sub, "models pretrain", [&context, flags] { return run_pretrain(context, *flags); });
}

}  // namespace slm::cli
