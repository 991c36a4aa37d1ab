#include "commands/models_tokenize.h"

#include <fmt/format.h>

#include <iterator>

#include "core/file.h"
#include "text/tokenizer.h"

namespace slm::cli {
namespace {

struct Options {
  std::string dir, file, text;
  bool has_text = false;
};

Result<Summary> run_tokenize(Context& context, const Options& o) {
  if (o.has_text == !o.file.empty())
    return fail(ErrorCode::kUsage, "models tokenize needs a FILE, - or --text, and only one of them",
                "slmconv models tokenize DIR --text 'Hello'");
  SLM_TRY(const auto tokenizer, text::Tokenizer::open(o.dir));
  std::string text = o.text;
  if (o.file == "-") {
    text.assign(std::istreambuf_iterator<char>(*context.in), {});
  } else if (!o.has_text) {
    SLM_TRY(text, read_file(o.file));
  }
  const auto ids = tokenizer->encode(text);
  if (context.out->is_json()) {
    json::array id_list, pieces;
    for (const int32_t id : ids) {
      id_list.push_back(id);
      pieces.push_back(json::value(tokenizer->piece_of(id)));
    }
    context.out->row({{"ids", id_list}, {"pieces", pieces}, {"text", tokenizer->decode(ids, true)}});
  } else {
    for (const int32_t id : ids) context.out->row({{"id", id}, {"piece", tokenizer->piece_of(id)}});
  }
  context.out->end_table();
  Summary summary;
  summary.n_in = summary.n_out = 1;
  summary.extra["n_tokens"] = ids.size();
  summary.lines.push_back(fmt::format("{} tokens, {} bytes", ids.size(), text.size()));
  return summary;
}

}  // namespace

void add_models_tokenize(CLI::App& models, Context& context) {
  auto* sub = models.add_subcommand("tokenize", "Token ids and pieces of a text");
  auto o = std::make_shared<Options>();
  sub->add_option("dir", o->dir, "Hugging Face model directory")
      ->required()
      ->type_name("DIR")
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("file", o->file, "Text file; - is standard input")
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFileOrStdin));
  auto* text = sub->add_option("--text", o->text, "The text itself");
  context.on(sub, "models tokenize", [&context, o, text] {
    o->has_text = text->count() > 0;
    return run_tokenize(context, *o);
  });
}

}  // namespace slm::cli
