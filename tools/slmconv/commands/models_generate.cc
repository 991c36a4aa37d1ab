#include "commands/models_generate.h"

#include <fmt/format.h>

#include "commands/prompt_file.h"
#include "model/json_grammar.h"
#include "model/model.h"

namespace slm::cli {
namespace {

struct Options {
  std::string dir, file, adapter, schema, tools, dtype = "auto", device = "cpu";
  bool nf4 = false;
  model::GenerateOptions generate;
};

// A PEFT directory as it lies on disk.
Result<nn::AdapterFiles> read_adapter(const std::filesystem::path& dir) {
  nn::AdapterFiles files;
  SLM_TRY(files.config_json, read_file(dir / "adapter_config.json"));
  SLM_TRY(const std::string weights, read_file(dir / "adapter_model.safetensors"));
  files.weights.assign(weights.begin(), weights.end());
  return files;
}

// A list of definitions, or {"tools": […]}; a function's own object is taken as one.
Result<json::array> read_tools(const std::filesystem::path& path) {
  SLM_TRY(const json::value file, read_json_file(path));
  const json::value* list = file.is_object() && file.get_object().contains("tools") ? &file.at("tools") : &file;
  json::array out;
  if (const auto* items = list->if_array())
    for (const auto& item : *items) {
      if (!item.is_object()) break;
      const bool whole = item.get_object().contains("function");
      out.push_back(whole ? item : json::value{{"type", "function"}, {"function", item}});
    }
  if (out.empty() || out.size() != list->get_array().size())
    return fail(ErrorCode::kBadInput, fmt::format("{} is no list of tool definitions", path.string()),
                R"([{"type": "function", "function": {"name": "…", "parameters": {…}}}])");
  return out;
}

std::string shown(const json::object& message) {
  std::string text(get_string(message, "content"));
  if (const auto* calls = get_array(message, "tool_calls"))
    for (const auto& call : *calls) {
      const auto* function = get_object(call.as_object(), "function");
      if (!text.empty()) text += '\n';
      text += fmt::format("{}({})", get_string(*function, "name"), get_string(*function, "arguments"));
    }
  return text + '\n';
}

Result<Summary> run_generate(Context& context, const Options& o) {
  model::GenerateOptions generate = o.generate;
  if (!o.schema.empty()) {
    SLM_TRY(generate.schema, read_json_file(o.schema));
    SLM_CHECK(model::json_grammar(*generate.schema));  // before the model is loaded
  }
  SLM_TRY(auto prompts, read_prompts(o.file, *context.in));
  if (!o.tools.empty()) {
    SLM_TRY(const json::array tools, read_tools(o.tools));
    for (auto& prompt : prompts)
      if (prompt.tools.empty()) prompt.tools = tools;
  }
  if (generate.tools_only) {
    for (size_t i = 0; i < prompts.size(); ++i)
      if (prompts[i].tools.empty())
        return fail(ErrorCode::kBadInput, fmt::format("conversation {} has no tools to call", i + 1),
                    "give it \"tools\", or all of them --tools FILE");
    // Whether this model's calls can be constrained is known before its weights are loaded.
    SLM_TRY(const auto codec, model::Codec::open(o.dir));
    for (const auto& prompt : prompts) SLM_CHECK(codec->call_grammar(prompt.tools));
  }
  nn::EngineOptions engine;
  SLM_TRY(engine.dtype, nn::parse_dtype(o.dtype));
  engine.device = o.device;
  engine.threads = context.globals.threads;
  engine.nf4 = o.nf4;
  SLM_TRY(const auto model, model::Model::open(o.dir, engine));
  if (!o.adapter.empty()) {
    SLM_TRY(const auto files, read_adapter(o.adapter));
    SLM_CHECK(model->engine().set_adapter(files));
  }
  if (prompts.size() > 1) context.out->start("generating", prompts.size());
  const double start_s = context.clock->monotonic_s();
  SLM_TRY(const auto answers, model->generate(prompts, generate, [&](size_t n) {
    if (prompts.size() > 1) context.out->advance(n);
  }));
  const double spent_s = context.clock->monotonic_s() - start_s;
  if (prompts.size() > 1) context.out->finish();

  Summary summary;
  summary.n_in = static_cast<int64_t>(prompts.size());
  int64_t n_new = 0, n_malformed = 0;
  for (const auto& answer : answers) {
    n_new += answer.n_new;
    if (answer.malformed) ++n_malformed;
    if (answer.too_long) ++summary.dropped["too_long"];
    if (answer.refused) ++summary.dropped["refused"];
    if (context.out->is_json()) {
      context.out->row({{"message", answer.message.empty() ? json::value() : json::value(answer.message)},
                        {"n_prompt", answer.n_prompt},
                        {"n_new", answer.n_new},
                        {"ended", answer.ended},
                        {"malformed", answer.malformed},
                        {"too_long", answer.too_long},
                        {"refused", answer.refused},
                        {"latency_ms", answer.latency_ms}});
    } else if (answer.too_long) {
      context.out->text(fmt::format("(no answer: the prompt has {} tokens)\n", answer.n_prompt));
    } else if (answer.refused) {
      context.out->text("(no answer: the chat template refuses these messages)\n");
    } else {
      context.out->text(shown(answer.message));
    }
  }
  summary.n_out = summary.n_in;
  for (const auto& [reason, n] : summary.dropped) summary.n_out -= n;
  summary.extra["n_new_tokens"] = n_new;
  if (n_malformed > 0) summary.extra["n_malformed_calls"] = n_malformed;
  summary.extra["seconds"] = spent_s;
  return summary;
}

}  // namespace

void add_models_generate(CLI::App& models, Context& context) {
  auto* sub = models.add_subcommand("generate", "The model's answer to a conversation");
  auto o = std::make_shared<Options>();
  auto& g = o->generate;
  sub->add_option("dir", o->dir, "Hugging Face model directory")
      ->required()
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("file", o->file,
                  "{\"messages\": […], \"tools\": […]}, several in a list or one a line; - is standard input")
      ->required()
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFileOrStdin));
  sub->add_option("--adapter", o->adapter, "PEFT directory to apply")
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("--max-new-tokens", g.max_new_tokens, "Longest answer")->check(CLI::PositiveNumber);
  sub->add_option("--temperature", g.temperature, "0 always takes the likeliest token")->check(CLI::Range(0.0, 10.0));
  sub->add_option("--top-p", g.top_p, "Sample among the likeliest tokens of this probability together")
      ->check(CLI::Range(1e-6, 1.0));
  sub->add_option("--top-k", g.top_k, "Sample among this many likeliest tokens; 0 is all")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--schema", o->schema, "JSON schema that every answer keeps to")
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--tools", o->tools,
                  "Tool definitions for the conversations that bring none: a list, as OpenAI writes it")
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFile));
  sub->add_flag("--tools-only", g.tools_only,
                "Every answer is a call of one of the tools, or several, with valid arguments")
      ->excludes("--schema");
  sub->add_option("--seed", g.seed, "Of sampling at a temperature above 0");
  sub->add_option("--batch", g.batch, "Conversations decoded together")->check(CLI::PositiveNumber);
  sub->add_option("--dtype", o->dtype, "auto, float32, bfloat16");
  sub->add_option("--device", o->device, "cpu, cuda, cuda:N");
  sub->add_flag("--nf4", o->nf4, "The base's linears in 4 bits, as a QLoRA needs them");
  context.on(sub, "models generate", [&context, o] { return run_generate(context, *o); });
}

}  // namespace slm::cli
