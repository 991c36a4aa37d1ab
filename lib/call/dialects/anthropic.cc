// Anthropic messages: a record is {request, response}.
//
//   record                                   call
//   request.system text | blocks             a system message before the others
//   request.messages[].content               text → content; tool_use → tool_calls; tool_result → a tool message of its
//                                            own, before what else the turn says; thinking → reasoning_content; image,
//                                            document and other blocks → parts of their type
//   request.tools {name, description, input_schema}     tools, input_schema as parameters
//   request.tool_choice auto | any | tool | none        params.tool_choice auto | required | that function | none
//   request.max_tokens, temperature, top_p, top_k, stop_sequences     params (stop_sequences as stop)
//   request.metadata.user_id                 source
//   response.content, stop_reason            one choice
//   response.usage                           in = input_tokens + cache_creation_ + cache_read_input_tokens, cached =
//                                            cache_read_input_tokens
//   response.error                           error
//   everything else                          not kept
//
// Source: anthropic-sdk-python src/anthropic/types.
#include "call/dialects/dialect.h"
#include "call/dialects/normalise.h"
#include "call/dialects/recognise.h"

namespace slm::dialects {

namespace {

struct Param {
  std::string_view from, to;
};
constexpr Param kParams[] = {{"max_tokens", "max_tokens"},
                             {"temperature", "temperature"},
                             {"top_p", "top_p"},
                             {"top_k", "top_k"},
                             {"stop_sequences", "stop"}};

json::value as_content(json::array parts) {
  if (parts.empty()) return nullptr;
  if (parts.size() == 1 && get_string(parts.front().as_object(), "type") == "text")
    return json::string(get_string(parts.front().as_object(), "text"));
  return parts;
}

json::object text_part(std::string_view text) { return {{"type", "text"}, {"text", text}}; }

// One message's blocks, in order, into messages.
bool add_message(std::string_view role, const json::value& content, json::array& out) {
  if (content.is_string()) {
    out.push_back(json::object{{"role", role}, {"content", content}});
    return true;
  }
  const auto* blocks = content.if_array();
  if (blocks == nullptr) return false;
  json::array parts, calls;
  std::string thought;
  const size_t before = out.size();
  for (const json::value& value : *blocks) {
    const auto* block = value.if_object();
    if (block == nullptr) return false;
    const auto type = get_string(*block, "type");
    if (type == "text") {
      parts.push_back(text_part(get_string(*block, "text")));
    } else if (type == "tool_use") {
      const auto* input = block->if_contains("input");
      calls.push_back(
          json::object{{"id", get_string(*block, "id")},
                       {"type", "function"},
                       {"function", json::object{{"name", get_string(*block, "name")},
                                                 {"arguments", input == nullptr ? "{}" : json::serialize(*input)}}}});
    } else if (type == "tool_result") {
      json::array result;
      const auto* said = block->if_contains("content");
      if (said != nullptr && said->is_string()) result.push_back(text_part(said->get_string()));
      if (said != nullptr && said->is_array())
        for (const json::value& part : said->get_array())
          if (part.is_object())
            result.push_back(get_string(part.get_object(), "type") == "text"
                                 ? json::value(text_part(get_string(part.get_object(), "text")))
                                 : part);
      json::value text = as_content(std::move(result));
      if (text.is_null()) text = "";
      out.push_back(json::object{
          {"role", "tool"}, {"tool_call_id", get_string(*block, "tool_use_id")}, {"content", std::move(text)}});
    } else if (type == "thinking") {
      thought += get_string(*block, "thinking");
    } else if (type != "redacted_thinking") {
      if (type.empty()) return false;
      parts.push_back(value);
    }
  }
  if (parts.empty() && calls.empty() && thought.empty() && out.size() > before) return true;
  json::object message{{"role", role}, {"content", as_content(std::move(parts))}};
  if (!calls.empty()) message.emplace("tool_calls", std::move(calls));
  if (!thought.empty()) message.emplace("reasoning_content", thought);
  out.push_back(std::move(message));
  return true;
}

std::string_view read_tools(const json::object& request, CallBody& body) {
  const auto* value = request.if_contains("tools");
  if (value != nullptr && !value->is_null()) {
    const auto* tools = value->if_array();
    if (tools == nullptr) return "bad_tools";
    for (const json::value& item : *tools) {
      const auto* tool = item.if_object();
      if (tool == nullptr) return "bad_tools";
      const auto* schema = tool->if_contains("input_schema");
      if (schema == nullptr) {  // a built-in tool
        body.tools.push_back(json::object{{"type", get_string(*tool, "type")}});
        continue;
      }
      json::object function{{"name", get_string(*tool, "name")}};
      if (const auto about = get_string(*tool, "description"); !about.empty()) function.emplace("description", about);
      function.emplace("parameters", *schema);
      body.tools.push_back(json::object{{"type", "function"}, {"function", std::move(function)}});
    }
    if (const auto reason = normalise_tools(body.tools); !reason.empty()) return reason;
  }
  const auto* choice = get_object(request, "tool_choice");
  if (choice == nullptr) return {};
  const auto type = get_string(*choice, "type");
  if (type == "tool")
    body.params.emplace("tool_choice",
                        json::object{{"type", "function"}, {"function", {{"name", get_string(*choice, "name")}}}});
  else if (!type.empty())
    body.params.emplace("tool_choice", type == "any" ? "required" : type);
  if (const auto single = get_bool(*choice, "disable_parallel_tool_use"))
    body.params.emplace("parallel_tool_calls", !*single);
  return {};
}

std::string_view read_request(const json::object& request, Call& call) {
  if (const auto* system = request.if_contains("system"); system != nullptr && !system->is_null())
    if (!add_message("system", *system, call.body.messages)) return "bad_message";
  const auto* messages = get_array(request, "messages");
  if (messages == nullptr || messages->empty()) return "no_messages";
  for (const json::value& value : *messages) {
    const auto* message = value.if_object();
    const auto* content = message == nullptr ? nullptr : message->if_contains("content");
    if (content == nullptr || !add_message(get_string(*message, "role"), *content, call.body.messages))
      return "bad_message";
  }
  if (const auto reason = normalise_messages(call.body.messages, call.meta.flags.vision); !reason.empty())
    return reason;
  for (const Param& param : kParams)
    if (const auto* v = request.if_contains(param.from); v != nullptr && !v->is_null())
      call.body.params.emplace(param.to, *v);
  if (const auto reason = read_tools(request, call.body); !reason.empty()) return reason;
  call.meta.model = get_string(request, "model");
  if (const auto* metadata = get_object(request, "metadata")) call.meta.source = first_label(*metadata, {"user_id"});
  return {};
}

std::string_view finish_of(std::string_view stop) {
  if (stop == "refusal") return "content_filter";
  if (stop == "model_context_window_exceeded") return "length";
  if (stop == "pause_turn") return "stop";
  return normalise_finish(stop);
}

std::string_view read_response(const json::object& outer, Call& call) {
  const auto status_code = get_int(outer, "status_code");
  const json::object* response = &outer;
  if (const auto* body = get_object(outer, "body"); body != nullptr && status_code) response = body;
  if (const auto* error = response->if_contains("error"); error != nullptr && !error->is_null())
    call.body.error = clean_error(*error);
  else if (status_code && *status_code >= 400)
    call.body.error = json::object{{"status_code", *status_code}};
  if (const auto model = get_string(*response, "model"); !model.empty()) call.meta.model = model;
  if (const auto* usage = get_object(*response, "usage")) {
    call.meta.usage = read_usage(*usage);
    const auto made = get_int(*usage, "cache_creation_input_tokens"), read = get_int(*usage, "cache_read_input_tokens");
    for (const auto& more : {made, read})
      if (call.meta.usage.n_in && more && *more >= 0 && *more < int64_t{1} << 40) *call.meta.usage.n_in += *more;
    if (read && *read >= 0) call.meta.usage.n_cached = read;
  }
  const auto* content = response->if_contains("content");
  if (content == nullptr || content->is_null()) return {};
  json::array messages;
  if (!add_message("assistant", *content, messages) || messages.size() != 1) return "bad_choices";
  json::object answer = std::move(messages.front().as_object());
  if (const auto reason = normalise_answer(answer, call.meta.flags.vision); !reason.empty()) return reason;
  json::object choice{{"message", std::move(answer)}};
  if (const auto stop = get_string(*response, "stop_reason"); !stop.empty()) {
    call.meta.finish_reason = finish_of(stop);
    choice.emplace("finish_reason", call.meta.finish_reason);
  }
  call.body.choices.push_back(std::move(choice));
  return {};
}

}  // namespace

std::string_view parse_anthropic(json::value& record, CallSink& sink) {
  auto* object = record.if_object();
  const auto* request = object == nullptr ? nullptr : get_object(*object, "request");
  if (request == nullptr) return "bad_request";
  LoggedCall logged;
  if (const auto reason = read_request(*request, logged.call); !reason.empty()) return reason;
  if (const auto* response = object->if_contains("response"); response != nullptr && !response->is_null()) {
    if (!response->is_object()) return "bad_response";
    if (const auto reason = read_response(response->get_object(), logged.call); !reason.empty()) return reason;
  }
  finish_call(logged);
  sink.call(logged);
  return {};
}

}  // namespace slm::dialects
