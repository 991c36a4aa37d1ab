// libFuzzer target: a chat template of arbitrary bytes, rendered over a conversation with a tool call.
#include <cstdint>
#include <string>

#include "schema/json.h"
#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto messages =
      slm::parse_json(R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is 7?"},
                          {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function",
                           "function": {"name": "find", "arguments": {"n": 7}}}]},
                          {"role": "tool", "tool_call_id": "c1", "content": "here"}])")
          .value()
          .as_array();
  static const auto tools =
      slm::parse_json(R"([{"type": "function", "function": {"name": "find", "description": "finds", "parameters":
                          {"type": "object", "properties": {"n": {"type": "integer"}}}}}])")
          .value()
          .as_array();
  const auto parsed = slm::text::ChatTemplate::parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!parsed) return 0;
  slm::text::RenderOptions options;
  options.add_generation_prompt = true;
  options.variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  parsed->render(messages, tools, options);
  return 0;
}
