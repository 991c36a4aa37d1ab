// Small chat templates, one for each way in which model families write tool calls, and tools to call.
#pragma once

#include <optional>
#include <string>

#include "model/conversation.h"
#include "text/chat_template.h"

namespace slm::model {

struct CallTemplate {
  const char* name;     // of a family that writes calls so
  const char* calls;    // Jinja that writes m.tool_calls
  const char* written;  // a call of f with {"a": 1, "b": "t"}
};

inline constexpr CallTemplate kCallTemplates[] = {
    {"Hermes, Qwen",
     "{% for c in m.tool_calls %}{{ '\\n' if m.content or not loop.first }}{{ '<tool_call>\\n{\"name\": \"' + "
     "c.function.name + '\", \"arguments\": ' + c.function.arguments | tojson + '}\\n</tool_call>' }}{% endfor %}",
     "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"t\"}}\n</tool_call>"},
    {"Llama 3",
     "{% if m.tool_calls | length > 1 %}{{ raise_exception('one call') }}{% endif %}{% set c = "
     "m.tool_calls[0].function %}{{ '{\"name\": \"' + c.name + '\", \"parameters\": ' + c.arguments | tojson + '}' }}",
     "{\"name\": \"f\", \"parameters\": {\"a\": 1, \"b\": \"t\"}}"},
    {"xLAM",
     "[{% for c in m.tool_calls %}{{ '{\"name\": \"' + c.function.name + '\", \"arguments\": ' + c.function.arguments "
     "| tojson + '}' }}{{ ', ' if not loop.last }}{% endfor %}]",
     "[{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"t\"}}]"},
    {"Phi-4-mini",
     "functools[{% for c in m.tool_calls %}{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ "
     "c.function.arguments }}}{{ ', ' if not loop.last }}{% endfor %}]",
     "functools[{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"t\"}}]"},
    {"Granite 3",
     "<|tool_call|>[{% for c in m.tool_calls %}{{ {'arguments': c.function.arguments, 'name': c.function.name} | "
     "tojson "
     "}}{{ ', ' if not loop.last }}{% endfor %}]",
     "<|tool_call|>[{\"arguments\": {\"a\": 1, \"b\": \"t\"}, \"name\": \"f\"}]"},
    {"Mistral, list",
     "[TOOL_CALLS][{% for c in m.tool_calls %}{% if c.id | length != 9 %}{{ raise_exception('id') }}{% endif %}"
     "{{ (c.function | tojson)[:-1] + ', \"id\": \"' + c.id + '\"}' }}{{ ', ' if not loop.last }}{% endfor %}]",
     "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"t\"}, \"id\": \"123456789\"}]"},
    {"Mistral, marks",
     "{% for c in m.tool_calls %}{{ '[TOOL_CALLS]' + c.function.name + '[CALL_ID]' + c.id + '[ARGS]' + "
     "c.function.arguments | tojson }}{% endfor %}",
     "[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{\"a\": 1, \"b\": \"t\"}"},
    {"DeepSeek",
     "<|calls|>{% for c in m.tool_calls %}{{ '\\n' if not loop.first }}<|call|>function<|sep|>{{ c.function.name + "
     "'\\n```json\\n' + c.function.arguments + '\\n```' }}<|end_call|>{% endfor %}<|end_calls|>",
     "<|calls|><|call|>function<|sep|>f\n```json\n{\"a\": 1, \"b\": \"t\"}\n```<|end_call|><|end_calls|>"},
    {"Functionary",
     "{% for c in m.tool_calls %}<function={{ c.function.name }}>{{ c.function.arguments | tojson }}</function>{% "
     "endfor "
     "%}",
     "<function=f>{\"a\": 1, \"b\": \"t\"}</function>"},
    {"Qwen3-Coder, Nemotron 3",
     "{% for c in m.tool_calls %}{{ '\\n<tool_call>\\n<function=' + c.function.name + '>\\n' }}{% for k, v in "
     "c.function.arguments | items %}{{ '<parameter=' + k + '>\\n' + (v | tojson if v is mapping or (v is sequence and "
     "v "
     "is not string) else v | string) + '\\n</parameter>\\n' }}{% endfor %}{{ '</function>\\n</tool_call>' }}{% endfor "
     "%}",
     "\n<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\nt\n</parameter>\n</function>\n"
     "</tool_call>"},
    {"GLM",
     "{% for c in m.tool_calls %}{{ '<tool_call>' + c.function.name }}{% for k, v in c.function.arguments | items "
     "%}<arg_key>{{ k }}</arg_key><arg_value>{{ v if v is string else v | tojson }}</arg_value>{% endfor "
     "%}</tool_call>{% endfor %}",
     "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value><arg_key>b</arg_key><arg_value>t</arg_value></"
     "tool_call>"},
    {"Llama 4",
     "[{% for c in m.tool_calls %}{{ c.function.name }}({% for k in c.function.arguments %}{{ k + '=\"' + '%s' | "
     "format(c.function.arguments[k]) + '\"' }}{{ ', ' if not loop.last }}{% endfor %}){{ ', ' if not loop.last }}{% "
     "endfor %}]",
     "[f(a=\"1\", b=\"t\")]"},
    {"LFM2",
     "<|tool_call_start|>[{% for c in m.tool_calls %}{{ c.function.name }}({% for k, v in c.function.arguments | items "
     "%}{{ k }}={{ \"'\" + v + \"'\" if v is string else v | tojson if v is mapping else v | string }}{{ ', ' if not "
     "loop.last }}{% endfor %}){{ ', ' if not loop.last }}{% endfor %}]<|tool_call_end|>",
     "<|tool_call_start|>[f(a=1, b='t')]<|tool_call_end|>"},
    {"LFM2, escaped",
     "<|tool_call_start|>[{% for c in m.tool_calls %}{{ c.function.name }}({% for k, v in c.function.arguments | items "
     "%}{{ k }}={{ \"'\" + v | replace('\\\\', '\\\\\\\\') | replace(\"'\", \"\\\\'\") | replace('\\n', '\\\\n') + "
     "\"'\" "
     "if v is string else v | tojson if v is mapping else v | string }}{{ ', ' if not loop.last }}{% endfor %}){{ ', ' "
     "if not loop.last }}{% endfor %}]<|tool_call_end|>",
     "<|tool_call_start|>[f(a=1, b='t')]<|tool_call_end|>"},
};

// A whole template around one of these.
inline std::string call_template(const char* calls) {
  return std::string(
             "{% for t in tools or [] %}{{ t | tojson }}\n{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
             "{{ m.content or '' }}{% if m.tool_calls %}") +
         calls + "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
}

inline json::array call_tools() {
  return json::parse(R"([
    {"type": "function", "function": {"name": "find_order", "description": "Finds.", "parameters": {"type": "object",
     "properties": {"order_id": {"type": "string"}, "note": {"type": "string"}, "limit": {"type": "integer"},
      "ratio": {"type": "number"}, "exact": {"type": "boolean"}, "nothing": {"type": "null"},
      "where": {"type": "object"}, "tags": {"type": "array", "items": {"type": "string"}}},
     "required": ["order_id"]}}},
    {"type": "function", "function": {"name": "send-mail.v2", "description": "Sends.", "parameters": {"type": "object",
     "properties": {"to": {"type": "string"}, "body": {"type": "string"}}}}}])")
      .as_array();
}

}  // namespace slm::model
