// A model's chat template: messages and tools → prompt text, by a sandboxed interpreter of the Jinja that such
// templates use. trim_blocks and lstrip_blocks are on, as in transformers.
//
// Errors: kUnsupportedModel for syntax outside the subset (naming it and the line), kBadInput when the template raises
//   (`raise_exception`) or exceeds its step or depth limit. Messages never quote the rendered text.
// Source: transformers `utils/chat_template_utils.py` for the environment; Jinja's documentation for the language.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "core/error.h"
#include "schema/json.h"

namespace slm::text {

struct RenderOptions {
  bool add_generation_prompt = false;
  int64_t now_ms = 0;      // what strftime_now sees
  json::object variables;  // further variables (bos_token, eos_token, enable_thinking, …)
};

class ChatTemplate {
 public:
  // The text of a directory's template: chat_template.jinja, else tokenizer_config.json's chat_template: text, or a
  // list of {name, template} of which "default" is taken.
  static Result<std::string> source(const std::filesystem::path& dir);
  static Result<ChatTemplate> open(const std::filesystem::path& dir);
  static Result<ChatTemplate> parse(std::string source);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  Result<std::string> render(const json::array& messages, const json::array& tools, const RenderOptions& options) const;

 private:
  struct Program;
  explicit ChatTemplate(std::shared_ptr<const Program> program);
  std::shared_ptr<const Program> program_;
};

}  // namespace slm::text
