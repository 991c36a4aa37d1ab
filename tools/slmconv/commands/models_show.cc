#include "commands/models_show.h"

#include <fmt/format.h>

#include "nn/plan.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace slm::cli {
namespace {

struct Options {
  std::string dir, dtype = "auto";
  int64_t context = 0, batch = 1, rank = 8;
};

double gigabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e9; }

Result<Summary> run_show(Context& context, const Options& o) {
  SLM_TRY(const auto config, nn::read_config(o.dir));
  SLM_TRY(const auto dtype, nn::parse_dtype(o.dtype));
  const int64_t length = o.context > 0 ? o.context : config.max_positions;
  if (length > config.max_positions)
    return fail(ErrorCode::kUsage, fmt::format("--context {} is beyond the model's {}", length, config.max_positions));
  const auto serve = nn::plan_serve(config, dtype, length, o.batch);
  const auto train = nn::plan_examples(config, dtype, {.longest = length, .rank = o.rank});
  json::object fields{{"architecture", config.architecture},
                      {"n_parameters", nn::n_parameters(config)},
                      {"n_layers", config.n_layers},
                      {"width", config.width},
                      {"n_heads", config.n_heads},
                      {"n_kv_heads", config.n_kv_heads},
                      {"ffn_width", config.ffn_width},
                      {"vocab_size", config.vocab_size},
                      {"tied_embeddings", config.tied_embeddings},
                      {"max_positions", config.max_positions}};
  const auto tokenizer = text::Tokenizer::open(o.dir);
  fields["tokenizer_ids"] = tokenizer ? json::value((*tokenizer)->n_ids()) : json::value();
  const auto chat_template = text::ChatTemplate::open(o.dir);
  fields["chat_template"] = chat_template.has_value();
  fields["context"] = length;
  fields["batch"] = o.batch;
  fields["weight_gb"] = gigabytes(serve.weight_bytes);
  fields["cache_gb"] = gigabytes(serve.cache_bytes);
  fields["serve_gb"] = gigabytes(serve.total_bytes);
  fields["lora_rank"] = o.rank;
  fields["n_lora_parameters"] = train.n_adapter_parameters;
  fields["lora_training_gb"] = gigabytes(train.total_bytes);
  if (context.out->is_json()) {
    context.out->row(fields);
  } else {
    for (const auto& item : fields) context.out->row({{"property", item.key()}, {"value", item.value()}});
  }
  context.out->end_table();
  if (!tokenizer) context.out->warn(tokenizer.error().message);
  if (!chat_template) context.out->warn(chat_template.error().message);
  Summary summary;
  summary.n_in = summary.n_out = 1;
  return summary;
}

}  // namespace

void add_models_show(CLI::App& models, Context& context) {
  auto* sub = models.add_subcommand("show", "Architecture, size, memory, tokenizer and template of a model directory");
  auto o = std::make_shared<Options>();
  sub->add_option("dir", o->dir, "Hugging Face model directory")
      ->required()
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("--dtype", o->dtype, "Type of the weights in memory: auto, float32, bfloat16");
  sub->add_option("--context", o->context, "Tokens of a conversation that memory is planned for; 0: the model's own")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--batch", o->batch, "Conversations at once")->check(CLI::PositiveNumber);
  sub->add_option("--rank", o->rank, "LoRA rank that training memory is planned for")->check(CLI::PositiveNumber);
  context.on(sub, "models show", [&context, o] { return run_show(context, *o); });
}

}  // namespace slm::cli
