#include "text/chat_template.h"

#include <fmt/format.h>

#include <new>

#include "core/file.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"

namespace slm::text {

struct ChatTemplate::Program {
  jinja::Block block;
};

ChatTemplate::ChatTemplate(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

namespace {

// What the room throws, as an Error.
template <class F>
auto convert(F&& work) -> Result<decltype(work())> {
  try {
    return work();
  } catch (const jinja::TemplateError& error) {
    return fail(error.code(), fmt::format("chat template, {}", error.what()));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kOutOfMemory, "chat template: out of memory");
  } catch (const std::exception&) {
    return fail(ErrorCode::kUnexpected, "chat template: an unexpected failure of the interpreter");
  }
}

}  // namespace

Result<std::string> ChatTemplate::source(const std::filesystem::path& dir) {
  if (const auto path = dir / "chat_template.jinja"; std::filesystem::exists(path)) return read_file(path);
  const auto path = dir / "tokenizer_config.json";
  if (std::filesystem::exists(path)) {
    SLM_TRY(const json::value config, read_json_file(path));
    if (const auto* found = find(config, "chat_template")) {
      if (const auto* text = found->if_string()) return std::string(*text);
      if (const auto* list = found->if_array())
        for (const auto& item : *list)
          if (const auto* object = item.if_object(); object != nullptr && get_string(*object, "name") == "default")
            return std::string(get_string(*object, "template"));
    }
  }
  return fail(ErrorCode::kUnsupportedModel, fmt::format("{} has no chat template", dir.string()),
              "put the model's template into chat_template.jinja beside config.json");
}

Result<ChatTemplate> ChatTemplate::open(const std::filesystem::path& dir) {
  SLM_TRY(std::string text, source(dir));
  return parse(std::move(text));
}

Result<ChatTemplate> ChatTemplate::parse(std::string source) {
  auto program = convert([&] { return std::make_shared<const Program>(Program{jinja::parse(source)}); });
  if (!program) return fail(program.error());
  return ChatTemplate(std::move(*program));
}

Result<std::string> ChatTemplate::render(const json::array& messages, const json::array& tools,
                                         const RenderOptions& options) const {
  return convert([&] {
    std::vector<std::pair<std::string_view, jinja::Value>> variables;
    variables.emplace_back("messages", jinja::from_json(messages));
    variables.emplace_back("tools", tools.empty() ? jinja::Value::none() : jinja::from_json(tools));
    variables.emplace_back("documents", jinja::Value::none());
    variables.emplace_back("add_generation_prompt", jinja::Value::boolean(options.add_generation_prompt));
    for (const auto& item : options.variables) variables.emplace_back(item.key(), jinja::from_json(item.value()));
    return jinja::Interpreter(options.now_ms).render(program_->block, std::move(variables));
  });
}

}  // namespace slm::text
