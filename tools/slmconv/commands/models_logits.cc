#include "commands/models_logits.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/file.h"
#include "nn/engine.h"

namespace slm::cli {
namespace {

struct LogitsFlags {
  std::string dir, adapter, dtype = "auto", device = "cpu";
  std::vector<int32_t> ids;
  int top = 5;
  bool nf4 = false;
};

Result<nn::AdapterFiles> read_adapter(const std::filesystem::path& dir) {
  nn::AdapterFiles files;
  SLM_TRY(files.config_json, read_file(dir / "adapter_config.json"));
  SLM_TRY(const std::string weights, read_file(dir / "adapter_model.safetensors"));
  files.weights.assign(weights.begin(), weights.end());
  return files;
}

Result<Summary> run_logits(Context& context, const LogitsFlags& flags) {
  nn::EngineOptions options;
  SLM_TRY(options.dtype, nn::parse_dtype(flags.dtype));
  options.device = flags.device;
  options.threads = context.globals.threads;
  options.nf4 = flags.nf4;
  SLM_TRY(const auto engine, nn::Engine::load(flags.dir, options));
  if (!flags.adapter.empty()) {
    SLM_TRY(const auto files, read_adapter(flags.adapter));
    SLM_CHECK(engine->set_adapter(files));
  }
  SLM_TRY(const auto logits, engine->logits(flags.ids));
  const auto n_vocab = static_cast<size_t>(engine->config().vocab_size);

  Summary summary;
  summary.n_in = summary.n_out = static_cast<int64_t>(flags.ids.size());
  if (context.out->is_json()) {
    json::array rows;
    for (size_t t = 0; t < flags.ids.size(); ++t)
      rows.emplace_back(json::array(logits.begin() + static_cast<long>(t * n_vocab),
                                    logits.begin() + static_cast<long>((t + 1) * n_vocab)));
    summary.extra["logits"] = std::move(rows);
    return summary;
  }
  for (size_t t = 0; t < flags.ids.size(); ++t) {
    const float* row = logits.data() + t * n_vocab;
    std::vector<int32_t> order(n_vocab);
    std::iota(order.begin(), order.end(), 0);
    const auto n = std::min<size_t>(n_vocab, static_cast<size_t>(flags.top));
    std::partial_sort(order.begin(), order.begin() + static_cast<long>(n), order.end(),
                      [&](int32_t a, int32_t b) { return row[a] > row[b]; });
    std::string best;
    for (size_t i = 0; i < n; ++i) best += fmt::format("{}{}: {:.4f}", i > 0 ? ", " : "", order[i], row[order[i]]);
    context.out->row({{"position", t}, {"id", flags.ids[t]}, {"most likely next", best}});
  }
  context.out->end_table();
  return summary;
}

}  // namespace

void add_models_logits(CLI::App& models, Context& context) {
  auto* sub = models.add_subcommand("logits", "Next-token logits of given token ids; every one under --json");
  auto flags = std::make_shared<LogitsFlags>();
  sub->add_option("dir", flags->dir, "Model directory")
      ->required()
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("--ids", flags->ids, "Token ids, separated by commas")->required()->delimiter(',');
  sub->add_option("--adapter", flags->adapter, "PEFT adapter directory")
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("--dtype", flags->dtype, "Of matrix products")->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
  sub->add_option("--device", flags->device, "cpu, cuda, cuda:1");
  sub->add_flag("--nf4", flags->nf4, "The base's linears in 4 bits, as a QLoRA needs them");
  sub->add_option("--top", flags->top, "Tokens shown at each position")->check(CLI::Range(1, 1000));
  context.on(sub, "models logits", [&context, flags] { return run_logits(context, *flags); });
}

}  // namespace slm::cli
