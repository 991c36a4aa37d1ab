#include "commands/models_render.h"

#include <fmt/format.h>

#include "commands/prompt_file.h"

namespace slm::cli {
namespace {

struct Options {
  std::string dir, file;
};

Result<Summary> run_render(Context& context, const Options& o) {
  SLM_TRY(const auto codec, model::Codec::open(o.dir));
  SLM_TRY(const auto prompts, read_prompts(o.file, *context.in));
  Summary summary;
  for (const auto& prompt : prompts) {
    SLM_TRY(const std::string text, codec->render(prompt));
    if (context.out->is_json()) {
      SLM_TRY(const auto ids, codec->encode_prompt(prompt));
      context.out->row({{"text", text}, {"n_tokens", ids.size()}});
    } else {
      context.out->text(text);
    }
  }
  summary.n_in = summary.n_out = static_cast<int64_t>(prompts.size());
  return summary;
}

}  // namespace

void add_models_render(CLI::App& models, Context& context) {
  auto* sub = models.add_subcommand("render", "The prompt text that the model sees for a conversation");
  auto o = std::make_shared<Options>();
  sub->add_option("dir", o->dir, "Hugging Face model directory")
      ->required()
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("file", o->file,
                  "{\"messages\": […], \"tools\": […]}, several in a list or one a line; - is standard input")
      ->required()
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFileOrStdin));
  context.on(sub, "models render", [&context, o] { return run_render(context, *o); });
}

}  // namespace slm::cli
