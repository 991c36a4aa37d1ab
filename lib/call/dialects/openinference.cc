// OpenInference: spans of kind LLM, their messages as flat attributes.
//
//   attribute of the span                          call
//   openinference.span.kind LLM                    it is a call
//   llm.input_messages.<i>.message.{role,content,contents.<j>.message_content.{type,text,image…},name,tool_call_id,
//     tool_calls.<k>.tool_call.{id,function.{name,arguments}}}   messages; else input.value, whatever its shape
//     (traced.h)
//   llm.output_messages.<i>.message.…              choices; else output.value
//   output.value {finish_reason | stop_reason | choices[0].finish_reason}   finish reason
//   llm.tools.<i>.tool.json_schema                 tools; else those of input.value or the invocation parameters
//   llm.invocation_parameters (JSON)               params, an allow-list; max_completion_tokens becomes max_tokens, the
//                                                  one name that GenAI spans have for both
//   llm.model_name, llm.provider | llm.system      model, provider
//   llm.token_count.{prompt,completion,prompt_details.cache_read}   usage
//   agent.name                                     site
//   everything else (metadata, tags, prompt templates, documents)   not kept
// A text "__REDACTED__" is none.
//
// Source: Arize-ai/openinference@1fe497f spec/semantic_conventions.md; PyPI openinference-instrumentation 0.1.72
// (REDACTED_VALUE).
#include <algorithm>

#include "call/dialects/normalise.h"
#include "call/dialects/otlp.h"

namespace slm::dialects {

namespace {

constexpr std::string_view kRedacted = "__REDACTED__";
constexpr std::string_view kParams[] = {"temperature",
                                        "top_p",
                                        "top_k",
                                        "n",
                                        "max_tokens",
                                        "stop",
                                        "seed",
                                        "response_format",
                                        "tool_choice",
                                        "parallel_tool_calls",
                                        "presence_penalty",
                                        "frequency_penalty",
                                        "reasoning_effort"};

json::value take(json::object& object, std::string_view key) {
  auto* v = object.if_contains(key);
  return v == nullptr ? json::value() : std::move(*v);
}

// The one thing inside {"message": …} and its like.
json::value inner(json::value& item, std::string_view key) {
  auto* object = item.if_object();
  return object == nullptr ? json::value() : take(*object, key);
}

// Nested flat attributes as a list of messages; a redacted text gives nothing at all.
json::value messages_of(const json::object& attributes, std::string_view prefix) {
  json::value tree = nested(attributes, prefix);
  auto* list = tree.if_array();
  if (list == nullptr) return nullptr;
  json::array out;
  for (auto& item : *list) {
    json::value message = inner(item, "message");
    auto* object = message.if_object();
    if (object == nullptr) continue;
    if (json::value contents = take(*object, "contents"); contents.is_array()) {
      json::array parts;
      for (auto& part : contents.get_array())
        if (json::value content = inner(part, "message_content"); content.is_object()) {
          if (get_string(content.get_object(), "text") == kRedacted) return nullptr;
          parts.push_back(std::move(content));
        }
      (*object)["content"] = std::move(parts);
    }
    object->erase("contents");
    if (json::value calls = take(*object, "tool_calls"); calls.is_array()) {
      json::array kept;
      for (auto& call : calls.get_array())
        if (json::value said = inner(call, "tool_call"); said.is_object()) kept.push_back(std::move(said));
      (*object)["tool_calls"] = std::move(kept);
    }
    // Deprecated: one call without an id.
    if (auto name = take(*object, "function_call_name"); name.is_string())
      (*object)["function_call"] =
          json::object{{"name", std::move(name)}, {"arguments", take(*object, "function_call_arguments_json")}};
    if (get_string(*object, "content") == kRedacted) return nullptr;
    if (!object->contains("content")) (*object)["content"] = nullptr;
    if (!object->contains("role")) (*object)["role"] = "assistant";
    out.push_back(std::move(message));
  }
  if (out.empty()) return nullptr;
  return out;
}

json::value value_of(json::object& attributes, std::string_view key) {
  return get_string(attributes, key) == kRedacted ? json::value() : take(attributes, key);
}

void read_tools(json::object& attributes, json::object& invocation, TracedRequest& request) {
  json::value tree = nested(attributes, "llm.tools");
  json::array tools;
  if (auto* list = tree.if_array())
    for (auto& item : *list) {
      json::value schema = inner(item, "tool");
      json::value tool = inner(schema, "json_schema");
      if (tool.is_string())
        if (auto parsed = parse_json(tool.get_string(), 64)) tool = std::move(*parsed);
      if (tool.is_object()) tools.push_back(std::move(tool));
    }
  if (tools.empty())
    if (json::value given = take(invocation, "tools"); given.is_array()) tools = std::move(given.get_array());
  if (!tools.empty()) request.tools = std::move(tools);
}

json::object read_invocation(json::object& attributes) {
  json::value value = take(attributes, "llm.invocation_parameters");
  if (value.is_string())
    if (auto parsed = parse_json(value.get_string(), 64)) value = std::move(*parsed);
  return value.is_object() ? std::move(value.get_object()) : json::object();
}

void read_params(json::object& invocation, json::object& params) {
  for (const auto key : kParams)
    if (auto v = take(invocation, key); !v.is_null()) params.emplace(key, whole(std::move(v)));
  if (auto v = take(invocation, "max_completion_tokens"); !v.is_null() && !params.contains("max_tokens"))
    params.emplace("max_tokens", whole(std::move(v)));
}

}  // namespace

bool is_openinference_call(const otel::Span& span) {
  return get_string(span.attributes, "openinference.span.kind") == "LLM";
}

Traced read_openinference(otel::Span& span, Call& call) {
  json::object& attributes = span.attributes;
  CallMeta& meta = call.meta;
  meta.model = get_string(attributes, "llm.model_name");
  meta.provider = first_label(attributes, {"llm.provider", "llm.system"});
  meta.site = get_string(attributes, "agent.name");
  meta.usage.n_in = get_int(attributes, "llm.token_count.prompt");
  meta.usage.n_out = get_int(attributes, "llm.token_count.completion");
  meta.usage.n_cached = get_int(attributes, "llm.token_count.prompt_details.cache_read");
  json::object invocation = read_invocation(attributes);
  meta.flags.streamed = get_bool(invocation, "stream").value_or(false);
  read_params(invocation, call.body.params);

  TracedRequest request;
  json::value output = value_of(attributes, "output.value");
  const std::string finish = traced_finish(output);
  json::value messages = messages_of(attributes, "llm.input_messages");
  json::value input = value_of(attributes, "input.value");
  const bool hidden = messages.is_null() && attributes.contains("llm.input_messages.0.message.role");
  const Traced prompt =
      hidden ? Traced::kNothing
             : read_traced_request(messages.is_null() ? std::move(input) : std::move(messages), "user", request);
  json::value answers = messages_of(attributes, "llm.output_messages");
  const bool masked = answers.is_null() && attributes.contains("llm.output_messages.0.message.role");
  const Traced completion =
      masked ? Traced::kNothing
             : read_traced_answers(answers.is_null() ? std::move(output) : std::move(answers), call.body.choices);
  if (prompt == Traced::kCut || completion == Traced::kCut) return Traced::kCut;
  if (prompt == Traced::kNothing || masked) return Traced::kNothing;
  read_tools(attributes, invocation, request);
  call.body.messages = std::move(request.messages);
  call.body.tools = std::move(request.tools);
  if (!call.body.choices.empty() && !finish.empty())
    call.body.choices.front().get_object().emplace("finish_reason", finish);
  return Traced::kRead;
}

}  // namespace slm::dialects
