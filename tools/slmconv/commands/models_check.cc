#include "commands/models_check.h"

#include <fmt/format.h>

#include <cmath>

#include "model/conversation.h"
#include "model/model.h"
#include "nn/plan.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace slm::cli {
namespace {

struct Options {
  std::string dir, dtype = "auto";
};

// The rows of one run; keeps the first failure, which decides the exit code.
class Checks {
 public:
  explicit Checks(Reporter& out) : out_(out) {}
  void ok(std::string_view check, std::string detail) { row(check, "ok", std::move(detail)); }
  // `works`: false leaves the model usable, with that limit.
  void note(std::string_view check, bool works, std::string detail) {
    row(check, works ? "ok" : "limited", std::move(detail));
  }
  void failed(std::string_view check, const Error& error) {
    row(check, "failed", error.message);
    if (!first_) first_ = error;
    ++n_failed_;
  }
  Summary finish() {
    out_.end_table();
    Summary summary;
    summary.n_in = n_;
    summary.n_out = n_ - n_failed_;
    if (n_failed_ > 0) summary.dropped["failed"] = n_failed_;
    if (first_) {
      summary.code = first_->code;
      summary.message = first_->message;
      summary.hint = first_->hint;
    }
    return summary;
  }

 private:
  void row(std::string_view check, std::string_view result, std::string detail) {
    ++n_;
    out_.row({{"check", check}, {"result", result}, {"detail", detail}});
  }
  Reporter& out_;
  int64_t n_ = 0, n_failed_ = 0;
  std::optional<Error> first_;
};

json::array user_message() { return {{{"role", "user"}, {"content", "Which city is it?"}}}; }

json::array tool_list() {
  return {{{"type", "function"},
           {"function",
            {{"name", "get_city"},
             {"description", "Looks up a city."},
             {"parameters", {{"type", "object"}, {"properties", {{"name", {{"type", "string"}}}}}}}}}}};
}

json::object call_answer() {
  return {{"role", "assistant"},
          {"content", nullptr},
          {"tool_calls", json::array{{{"id", "call_0"},
                                      {"type", "function"},
                                      {"function", {{"name", "get_city"}, {"arguments", R"({"name":"Oslo"})"}}}}}}};
}

// What the template shows of a conversation, and what is written for it in plain text.
std::string known_to(const text::ChatTemplate& chat_template) {
  text::RenderOptions options;
  options.variables = {{"bos_token", ""}, {"eos_token", ""}};
  const auto abilities = model::probe(chat_template, options);
  if (!abilities) return abilities.error().message;
  std::string plain;
  for (const auto& [known, name] : {std::pair{abilities->system, "system messages"},
                                    {abilities->tools, "tools"},
                                    {abilities->calls, "tool calls"},
                                    {abilities->results, "tool results"}})
    if (!known) plain += fmt::format("{}{}", plain.empty() ? "" : ", ", name);
  if (!abilities->call_problem.empty()) plain += " (" + abilities->call_problem + ')';
  std::string limits;
  if (abilities->calls && !abilities->format.several) limits += "; one call a message";
  if (abilities->calls && (!abilities->format.content || abilities->null_content)) limits += "; no text beside calls";
  return (plain.empty() ? "knows tools, calls and results" : "parsed; put into plain text for it: " + plain) + limits;
}

// Answers go through the template into ids and come back as they were.
void check_codec(Checks& checks, const model::Codec& codec) {
  checks.ok("end of turn", fmt::format("{} token{}", codec.end_ids().size(), codec.end_ids().size() == 1 ? "" : "s"));
  const model::Prompt plain{user_message(), {}};
  const auto example = codec.encode_example(plain, {{"role", "assistant"}, {"content", "Oslo"}});
  if (!example) {
    checks.failed("answers", example.error());
  } else {
    const auto completion = std::span<const int32_t>(example->ids).subspan(example->n_prompt);
    const auto back = codec.decode_answer(completion.first(completion.size() - 1));
    checks.note("answers", get_string(back, "content") == "Oslo",
                fmt::format("prompt {} tokens, answer {}", example->n_prompt, completion.size()));
  }
  const model::Prompt with_tools{user_message(), tool_list()};
  const auto call = codec.encode_example(with_tools, call_answer());
  if (!call) {
    checks.failed("tool calls", call.error());
    return;
  }
  const auto completion = std::span<const int32_t>(call->ids).subspan(call->n_prompt);
  const auto back = codec.decode_answer(completion.first(completion.size() - 1), with_tools.tools);
  const auto* calls = get_array(back, "tool_calls");
  const bool same =
      calls != nullptr && calls->size() == 1 &&
      get_string(*get_object(calls->front().as_object(), "function"), "arguments") == R"({"name":"Oslo"})";
  checks.note("tool calls", same,
              same ? fmt::format("written and read back, {} tokens", completion.size())
                   : "the template writes tool calls in a way that isn't read back: answers with calls stay text");
  if (const auto grammar = codec.call_grammar(tool_list())) {
    checks.ok("tool calls only", "answers can be kept to calls of the tools");
  } else {
    checks.note("tool calls only", false, grammar.error().message);
  }
}

Result<Summary> run_check(Context& context, const Options& o) {
  Checks checks(*context.out);
  SLM_TRY(const auto dtype, nn::parse_dtype(o.dtype));
  const auto config = nn::read_config(o.dir);
  if (!config) {
    checks.failed("config", config.error());
  } else {
    checks.ok("config",
              fmt::format("{}, {} layers, context {}", config->architecture, config->n_layers, config->max_positions));
    nn::EngineOptions engine_options;
    engine_options.dtype = dtype;
    engine_options.threads = context.globals.threads;
    auto engine = nn::Engine::load(o.dir, engine_options);
    if (!engine) {
      checks.failed("weights", engine.error());
    } else {
      checks.ok("weights", fmt::format("{} parameters, every tensor of its shape", nn::n_parameters(*config)));
      const std::vector<int32_t> ids{0, 0};
      const auto logits = (*engine)->logits(ids);
      if (!logits) {
        checks.failed("forward pass", logits.error());
      } else {
        bool finite = true;
        for (const float x : *logits) finite &= std::isfinite(x);
        if (finite) {
          checks.ok("forward pass", "finite");
        } else {
          checks.failed("forward pass",
                        {ErrorCode::kBadInput, "the network's output isn't finite: the weights are damaged", {}});
        }
      }
    }
  }
  const auto tokenizer = text::Tokenizer::open(o.dir);
  if (!tokenizer) {
    checks.failed("tokenizer", tokenizer.error());
  } else {
    const int64_t n_ids = (*tokenizer)->n_ids();
    if (config && n_ids > config->vocab_size) {
      checks.failed("tokenizer", {ErrorCode::kUnsupportedModel,
                                  fmt::format("{} ids, the network's vocabulary has {}", n_ids, config->vocab_size),
                                  "take tokenizer and weights from the same model"});
    } else {
      const std::string text = "Grüße, 東京 🙂\n  {\"a\": [1, 2]}";
      const bool same = (*tokenizer)->decode((*tokenizer)->encode(text)) == text;
      checks.note("tokenizer", same,
                  fmt::format("{} ids{}", n_ids, same ? ", text comes back" : "; not every text comes back as it was"));
    }
  }
  const auto chat_template = text::ChatTemplate::open(o.dir);
  if (!chat_template) {
    checks.failed("chat template", chat_template.error());
  } else {
    const auto codec = tokenizer ? model::Codec::open(o.dir) : Result<std::unique_ptr<model::Codec>>();
    if (tokenizer && !codec) {
      checks.failed("chat template", codec.error());
    } else {
      checks.ok("chat template", known_to(*chat_template));
      if (codec && *codec) check_codec(checks, **codec);
    }
  }
  return checks.finish();
}

}  // namespace

void add_models_check(CLI::App& models, Context& context) {
  auto* sub = models.add_subcommand("check", "Does everything of a model load and fit together");
  auto o = std::make_shared<Options>();
  sub->add_option("dir", o->dir, "Hugging Face model directory")
      ->required()
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("--dtype", o->dtype, "Type to load the weights as: auto, float32, bfloat16");
  context.on(sub, "models check", [&context, o] { return run_check(context, *o); });
}

}  // namespace slm::cli
