// OpenTelemetry's GenAI semantic conventions, current and deprecated, and OpenLLMetry's form of them.
//
//   attribute of the span                          call
//   gen_ai.operation.name chat | text_completion | generate_content, llm.request.type chat | completion   it is a call
//   gen_ai.system_instructions                     messages: the first, role system
//   gen_ai.input.messages | gen_ai.prompt | gen_ai.prompt.<i>.{role,content,tool_calls.<j>.…,tool_call_id}  messages
//   gen_ai.output.messages | gen_ai.completion | gen_ai.completion.<i>.{role,content,finish_reason,tool_calls.<j>.…}
//                                                  choices
//   gen_ai.tool.definitions | llm.request.functions.<i>.{name,description,parameters}   tools
//   gen_ai.response.finish_reasons                 finish reasons, where the messages name none
//   gen_ai.request.{temperature,top_p,top_k,max_tokens,seed,stop_sequences,frequency_penalty,presence_penalty,
//     choice.count}, llm.{top_k,frequency_penalty,presence_penalty,chat.stop_sequences}, gen_ai.output.type json
//                                                  params (stop, n where it isn't 1, response_format)
//   gen_ai.response.model | gen_ai.request.model   model
//   gen_ai.provider.name | gen_ai.system           provider
//   gen_ai.usage.{input_tokens,output_tokens,cache_read.input_tokens}, deprecated …{prompt,completion}_tokens,
//     cache_read_input_tokens                      usage
//   gen_ai.response.time_to_first_chunk (s)        time to first token
//   gen_ai.request.stream | gen_ai.is_streaming | llm.is_streaming   streamed flag
//   gen_ai.prompt.name | traceloop.prompt.key | gen_ai.agent.name | traceloop.workflow.name   site
//   everything else (headers, addresses, response.id, association properties)   not kept
//
//   event or log record                            call
//   gen_ai.client.inference.operation.details      its attributes stand in where the span has none
//   gen_ai.{system,user,assistant,tool}.message    messages, where the span has none
//   gen_ai.choice                                  choices, where the span has none
//   gen_ai.content.prompt, gen_ai.content.completion   gen_ai.prompt, gen_ai.completion
//
// Source: open-telemetry/semantic-conventions-genai (spans, events, registry; deprecated forms in semantic-conventions
// up to 1.36), PyPI opentelemetry-semantic-conventions-ai 0.5.1.
#include <algorithm>

#include "call/dialects/normalise.h"
#include "call/dialects/otlp.h"

namespace slm::dialects {

namespace {

constexpr std::string_view kInput = "gen_ai.input.messages", kOutput = "gen_ai.output.messages";
constexpr std::string_view kPrompt = "gen_ai.prompt", kCompletion = "gen_ai.completion";
constexpr std::string_view kDetails = "gen_ai.client.inference.operation.details";

struct MessageEvent {
  std::string_view name, role;
};
constexpr MessageEvent kMessageEvents[] = {{"gen_ai.system.message", "system"},
                                           {"gen_ai.user.message", "user"},
                                           {"gen_ai.assistant.message", "assistant"},
                                           {"gen_ai.tool.message", "tool"},
                                           {"gen_ai.choice", ""}};

const MessageEvent* message_event(std::string_view name) {
  const auto* row =
      std::find_if(std::begin(kMessageEvents), std::end(kMessageEvents), [&](auto& e) { return e.name == name; });
  return row == std::end(kMessageEvents) ? nullptr : row;
}

bool has_any(const json::object& attributes, std::initializer_list<std::string_view> keys) {
  return std::any_of(keys.begin(), keys.end(), [&](std::string_view key) { return attributes.contains(key); });
}

// Events that carry attributes of the span itself.
void take_details(otel::Span& span) {
  for (auto& event : span.events) {
    if (event.name != kDetails && event.name != "gen_ai.content.prompt" && event.name != "gen_ai.content.completion")
      continue;
    for (auto& item : event.attributes)
      if (!span.attributes.contains(item.key())) span.attributes.emplace(item.key(), std::move(item.value()));
  }
}

// What an event says of one message: its body, the JSON in its attribute, or the attributes themselves.
json::object event_message(otel::Event& event) {
  json::value body = std::move(event.body);
  if (body.is_null())
    if (const auto* text = event.attributes.if_contains("gen_ai.event.content")) body = *text;
  if (body.is_string())
    if (auto parsed = parse_json(body.get_string(), 64); parsed && parsed->is_object()) body = std::move(*parsed);
  if (body.is_object()) return std::move(body.get_object());
  if (body.is_string()) return json::object{{"content", std::move(body)}};
  return std::move(event.attributes);
}

void take_message(const MessageEvent& row, json::object message, Call& call) {
  if (row.role.empty()) {
    auto* inner = message.if_contains("message");
    json::object answer = inner != nullptr && inner->is_object() ? inner->get_object() : message;
    if (inner != nullptr && inner->is_string()) answer = json::object{{"content", *inner}};
    if (const auto* calls = message.if_contains("tool_calls")) answer["tool_calls"] = *calls;
    if (!has_any(answer, {"content", "tool_calls", "parts"})) return;
    answer["role"] = "assistant";
    answer["finish_reason"] = get_string(message, "finish_reason");
    if (!answer.contains("content")) answer["content"] = nullptr;
    read_traced_answers(json::value(std::move(answer)), call.body.choices);
    return;
  }
  if (!has_any(message, {"content", "tool_calls", "parts"})) return;  // captured without content
  if (!message.contains("role")) message["role"] = row.role;
  if (!message.contains("content")) message["content"] = nullptr;
  if (row.role == "tool" && !message.contains("tool_call_id"))
    if (const auto id = get_string(message, "id"); !id.empty()) message["tool_call_id"] = id;
  json::array list;
  list.push_back(std::move(message));
  TracedRequest request;
  read_traced_request(json::value(std::move(list)), row.role, request);
  for (auto& item : request.messages) call.body.messages.push_back(std::move(item));
}

// OpenLLMetry writes a message's parts as JSON text.
void open_contents(json::value& messages) {
  auto* list = messages.if_array();
  if (list == nullptr) return;
  for (auto& item : *list) {
    auto* message = item.if_object();
    auto* content = message == nullptr ? nullptr : message->if_contains("content");
    if (message != nullptr && content == nullptr) message->emplace("content", nullptr);
    if (content == nullptr || !content->is_string() || !content->get_string().starts_with("[{")) continue;
    auto parts = parse_json(content->get_string(), 64);
    if (parts && parts->is_array() && std::all_of(parts->get_array().begin(), parts->get_array().end(), [](auto& p) {
          return p.is_object() && p.get_object().contains("type");
        }))
      *content = std::move(*parts);
  }
}

json::value take(json::object& attributes, std::string_view key) {
  auto* v = attributes.if_contains(key);
  return v == nullptr ? json::value() : std::move(*v);
}

void read_params(json::object& attributes, json::object& params) {
  struct Row {
    std::string_view attribute, param;
  };
  static constexpr Row kRows[] = {{"gen_ai.request.temperature", "temperature"},
                                  {"gen_ai.request.top_p", "top_p"},
                                  {"gen_ai.request.top_k", "top_k"},
                                  {"gen_ai.request.max_tokens", "max_tokens"},
                                  {"gen_ai.request.max_completion_tokens", "max_tokens"},
                                  {"gen_ai.request.seed", "seed"},
                                  {"gen_ai.openai.request.seed", "seed"},
                                  {"gen_ai.request.stop_sequences", "stop"},
                                  {"gen_ai.request.frequency_penalty", "frequency_penalty"},
                                  {"gen_ai.request.presence_penalty", "presence_penalty"},
                                  {"gen_ai.request.choice.count", "n"},
                                  {"llm.top_k", "top_k"},
                                  {"llm.frequency_penalty", "frequency_penalty"},
                                  {"llm.presence_penalty", "presence_penalty"},
                                  {"llm.chat.stop_sequences", "stop"}};
  for (const Row& row : kRows)
    if (auto v = take(attributes, row.attribute); !v.is_null() && !params.contains(row.param))
      params.emplace(row.param, whole(std::move(v)));
  if (const auto* n = params.if_contains("n"); n != nullptr && n->is_int64() && n->get_int64() == 1) params.erase("n");
  if (get_string(attributes, "gen_ai.output.type") == "json")
    params.emplace("response_format", json::object{{"type", "json_object"}});
}

Traced read_prompt(json::object& attributes, Call& call) {
  TracedRequest request;
  Traced system = read_traced_request(take(attributes, "gen_ai.system_instructions"), "system", request);
  Traced read = read_traced_request(take(attributes, kInput), "user", request);
  if (read == Traced::kNothing) {
    json::value indexed = nested(attributes, kPrompt);
    open_contents(indexed);
    read = read_traced_request(indexed.is_null() ? take(attributes, kPrompt) : std::move(indexed), "user", request);
  }
  call.body.messages = std::move(request.messages);
  call.body.tools = std::move(request.tools);
  return system == Traced::kCut ? system : read;
}

Traced read_completion(json::object& attributes, Call& call) {
  const Traced read = read_traced_answers(take(attributes, kOutput), call.body.choices);
  if (read != Traced::kNothing) return read;
  json::value indexed = nested(attributes, kCompletion);
  open_contents(indexed);
  return read_traced_answers(indexed.is_null() ? take(attributes, kCompletion) : std::move(indexed), call.body.choices);
}

Traced read_tools(json::object& attributes, Call& call) {
  json::value tools = take(attributes, "gen_ai.tool.definitions");
  if (tools.is_null()) {
    tools = nested(attributes, "llm.request.functions");
    if (auto* list = tools.if_array())
      for (auto& tool : *list)
        if (auto* object = tool.if_object())
          if (auto* parameters = object->if_contains("parameters"); parameters != nullptr && parameters->is_string())
            if (auto parsed = parse_json(parameters->get_string(), 64)) *parameters = std::move(*parsed);
  }
  if (tools.is_string()) {
    auto parsed = parse_json(tools.get_string(), 64);
    if (!parsed) return Traced::kCut;
    tools = std::move(*parsed);
  }
  if (tools.is_array() && !tools.get_array().empty()) call.body.tools = std::move(tools.get_array());
  return Traced::kRead;
}

void read_meta(const json::object& attributes, CallMeta& meta) {
  meta.model = first_label(attributes, {"gen_ai.response.model", "gen_ai.request.model"});
  meta.provider = first_label(attributes, {"gen_ai.provider.name", "gen_ai.system"});
  meta.site = first_label(
      attributes, {"gen_ai.prompt.name", "traceloop.prompt.key", "gen_ai.agent.name", "traceloop.workflow.name"});
  if (const auto first = get_number(attributes, "gen_ai.response.time_to_first_chunk")) meta.ttft_ms = *first * 1000;
  for (const std::string_view key : {"gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming"})
    meta.flags.streamed = meta.flags.streamed || get_bool(attributes, key).value_or(false);
  const auto count = [&](std::initializer_list<std::string_view> keys) -> std::optional<int64_t> {
    for (const auto key : keys)
      if (const auto n = get_int(attributes, key); n && *n >= 0) return n;
    return std::nullopt;
  };
  meta.usage.n_in = count({"gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"});
  meta.usage.n_out = count({"gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"});
  meta.usage.n_cached = count({"gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"});
}

void add_finish_reasons(const json::object& attributes, json::array& choices) {
  const auto* reasons = get_array(attributes, "gen_ai.response.finish_reasons");
  if (reasons == nullptr) return;
  for (size_t i = 0; i < choices.size() && i < reasons->size(); ++i) {
    auto& choice = choices[i].get_object();
    if (!choice.contains("finish_reason") && (*reasons)[i].is_string())
      choice["finish_reason"] = normalise_finish((*reasons)[i].get_string());
  }
}

}  // namespace

bool is_genai_call(const otel::Span& span) {
  const json::object& attributes = span.attributes;
  std::string_view operation = get_string(attributes, "gen_ai.operation.name");
  if (operation.empty()) operation = get_string(attributes, "llm.request.type");
  if (operation.empty())
    for (const auto& event : span.events)
      if (event.name == kDetails) operation = get_string(event.attributes, "gen_ai.operation.name");
  if (!operation.empty()) {
    constexpr std::string_view kCalls[] = {"chat", "text_completion", "generate_content", "completion"};
    return std::find(std::begin(kCalls), std::end(kCalls), operation) != std::end(kCalls);
  }
  if (attributes.contains("openinference.span.kind")) return false;
  if (has_any(attributes, {kInput, kPrompt, "gen_ai.prompt.0.role", "gen_ai.prompt.0.content"})) return true;
  if (attributes.contains("gen_ai.request.model") && attributes.contains("gen_ai.system")) return true;
  return std::any_of(span.events.begin(), span.events.end(), [](const otel::Event& event) {
    return message_event(event.name) != nullptr || event.name == "gen_ai.content.prompt";
  });
}

Traced read_genai(otel::Span& span, Call& call) {
  take_details(span);
  json::object& attributes = span.attributes;
  read_meta(attributes, call.meta);
  read_params(attributes, call.body.params);
  const Traced prompt = read_prompt(attributes, call);
  const Traced completion = read_completion(attributes, call);
  const Traced tools = read_tools(attributes, call);
  if (prompt == Traced::kCut || completion == Traced::kCut || tools == Traced::kCut) return Traced::kCut;
  const bool needs_messages = prompt == Traced::kNothing, needs_answers = completion == Traced::kNothing;
  for (auto& event : span.events)
    if (const auto* row = message_event(event.name); row != nullptr)
      if (row->role.empty() ? needs_answers : needs_messages) take_message(*row, event_message(event), call);
  add_finish_reasons(attributes, call.body.choices);
  return call.body.messages.empty() ? Traced::kNothing : Traced::kRead;
}

}  // namespace slm::dialects
