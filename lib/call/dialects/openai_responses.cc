// OpenAI responses: a record is {request, response}.
//
//   record                                   call
//   request.instructions                     a system message before the input
//   request.input text | items               messages: message → its role; function_call → tool_calls of an assistant
//                                            message; function_call_output → tool; reasoning summaries and texts →
//                                            reasoning_content; calls and outputs of built-in tools → text of their
//                                            JSON
//   content parts input_text | output_text   text, where all parts are text; other parts keep their type
//   request.previous_response_id, conversation, item_reference     needs_parent flag: the history lies elsewhere
//   request.tools                            tools
//   request.temperature … (kParams)          params; max_output_tokens → max_completion_tokens, reasoning.effort →
//                                            reasoning_effort, text.format → response_format
//   request.safety_identifier, request.user  source
//   request.metadata.{session_id, …}, conversation    session
//   response.output[]                        one choice: message, tool_calls, reasoning_content
//   response.status, incomplete_details      finish_reason
//   response.usage, model, error             the same
//   everything else                          not kept
//
// Source: openai-python src/openai/types/responses.
#include <fmt/format.h>

#include "call/dialects/dialect.h"
#include "call/dialects/normalise.h"
#include "call/dialects/recognise.h"

namespace slm::dialects {

namespace {

struct Param {
  std::string_view from, to;
};
constexpr Param kParams[] = {{"temperature", "temperature"},
                             {"top_p", "top_p"},
                             {"max_output_tokens", "max_completion_tokens"},
                             {"tool_choice", "tool_choice"},
                             {"parallel_tool_calls", "parallel_tool_calls"},
                             {"top_logprobs", "top_logprobs"}};

// Parts as chat has them; text alone becomes a string.
json::value read_content(const json::value& content) {
  const auto* parts = content.if_array();
  if (parts == nullptr) return content;
  json::array out;
  std::string text;
  bool all_text = true;
  for (const json::value& part : *parts) {
    const auto* object = part.if_object();
    if (object == nullptr) return content;
    const auto type = get_string(*object, "type");
    if (type == "input_text" || type == "output_text" || type == "text" || type == "summary_text" ||
        type == "reasoning_text") {
      const auto said = get_string(*object, "text");
      if (!out.empty()) text += '\n';
      text += said;
      out.push_back(json::object{{"type", "text"}, {"text", said}});
    } else {
      all_text = false;
      out.push_back(part);
    }
  }
  if (all_text) return json::string(text);
  return out;
}

// Items into messages. What one turn of the assistant said, called and thought is one message.
class Items {
 public:
  json::array messages;
  bool needs_parent = false;

  bool add(const json::value& value) {
    const auto* item = value.if_object();
    if (item == nullptr) return false;
    const auto type = get_string(*item, "type");
    if (type == "message" || (type.empty() && item->contains("role"))) {
      const auto* content = item->if_contains("content");
      if (content == nullptr) return false;
      const auto role = get_string(*item, "role");
      json::value said = read_content(*content);
      if (role != "assistant") {
        messages.push_back(json::object{{"role", role}, {"content", std::move(said)}});
        return true;
      }
      json::object& message = assistant(/*with_content=*/false);
      if (const auto* parts = content->if_array())
        for (const json::value& part : *parts)
          if (part.is_object() && get_string(part.get_object(), "type") == "refusal") {
            message.insert_or_assign("refusal", get_string(part.get_object(), "refusal"));
            said = nullptr;
          }
      message.insert_or_assign("content", std::move(said));
    } else if (type == "function_call" || type == "custom_tool_call") {
      const bool custom = type == "custom_tool_call";
      json::object& message = assistant(/*with_content=*/true);
      json::array& calls = message.emplace("tool_calls", json::array()).first->value().as_array();
      calls.push_back(json::object{
          {"id", get_string(*item, "call_id")},
          {"type", custom ? "custom" : "function"},
          {custom ? "custom" : "function",
           json::object{{"name", get_string(*item, "name")},
                        {custom ? "input" : "arguments", get_string(*item, custom ? "input" : "arguments")}}}});
    } else if (type == "function_call_output" || type == "custom_tool_call_output") {
      const auto* output = item->if_contains("output");
      json::value said = output == nullptr ? json::value(nullptr) : read_content(*output);
      if (said.is_object()) said = json::string(json::serialize(said));
      messages.push_back(
          json::object{{"role", "tool"}, {"tool_call_id", get_string(*item, "call_id")}, {"content", std::move(said)}});
    } else if (type == "reasoning") {
      std::string text;
      for (const std::string_view key : {"summary", "content"})
        if (const auto* list = item->if_contains(key))
          if (const json::value said = read_content(*list); said.is_string()) text += said.get_string();
      if (text.empty()) return true;
      json::object& message = assistant(/*with_content=*/false);
      message.insert_or_assign("reasoning_content", std::string(get_string(message, "reasoning_content")) + text);
    } else if (type == "item_reference") {
      needs_parent = true;
    } else if (type.ends_with("_output")) {
      messages.push_back(json::object{{"role", "tool"}, {"content", json::serialize(value)}});
    } else if (!type.empty()) {
      json::object& message = assistant(/*with_content=*/true);
      json::object part{{"type", "text"}, {"text", json::serialize(value)}};
      json::value& content = message["content"];
      if (content.is_null()) content = json::array();
      if (content.is_string()) content = json::array{json::object{{"type", "text"}, {"text", content.get_string()}}};
      content.as_array().push_back(std::move(part));
    } else {
      return false;
    }
    return true;
  }

 private:
  // The assistant's message that is under way, or a new one. A message with content isn't given another.
  json::object& assistant(bool with_content) {
    if (!messages.empty()) {
      json::object& last = messages.back().as_object();
      if (get_string(last, "role") == "assistant" && (with_content || last.at("content").is_null()) &&
          (with_content || !last.contains("tool_calls")))
        return last;
    }
    messages.push_back(json::object{{"role", "assistant"}, {"content", nullptr}});
    return messages.back().as_object();
  }
};

json::value response_format(const json::object& format) {
  const auto type = get_string(format, "type");
  if (type != "json_schema") return json::object{{"type", type}};
  json::object schema;
  for (const std::string_view key : {"name", "schema", "strict"})
    if (const auto* v = format.if_contains(key); v != nullptr && !v->is_null()) schema.emplace(key, *v);
  return json::object{{"type", type}, {"json_schema", std::move(schema)}};
}

std::string_view read_request(json::object& request, Call& call) {
  CallMeta& meta = call.meta;
  Items items;
  if (const auto instructions = get_string(request, "instructions"); !instructions.empty())
    items.messages.push_back(json::object{{"role", "system"}, {"content", instructions}});
  const auto* input = request.if_contains("input");
  if (input != nullptr && input->is_string()) {
    items.messages.push_back(json::object{{"role", "user"}, {"content", *input}});
  } else if (input != nullptr && input->is_array()) {
    for (const json::value& item : input->get_array())
      if (!items.add(item)) return "bad_message";
  } else if (input != nullptr && !input->is_null()) {
    return "bad_message";
  }
  const auto* conversation = request.if_contains("conversation");
  meta.flags.needs_parent = items.needs_parent || !get_string(request, "previous_response_id").empty() ||
                            (conversation != nullptr && !conversation->is_null());
  if (items.messages.empty() && !meta.flags.needs_parent) return "no_messages";
  call.body.messages = std::move(items.messages);
  if (const auto reason = normalise_messages(call.body.messages, meta.flags.vision); !reason.empty()) return reason;
  if (auto* tools = request.if_contains("tools"); tools != nullptr && !tools->is_null()) {
    if (!tools->is_array()) return "bad_tools";
    call.body.tools = std::move(tools->get_array());
    if (const auto reason = normalise_tools(call.body.tools); !reason.empty()) return reason;
  }
  for (const Param& param : kParams)
    if (const auto* v = request.if_contains(param.from); v != nullptr && !v->is_null())
      call.body.params.emplace(param.to, *v);
  if (const auto* reasoning = get_object(request, "reasoning"))
    if (const auto effort = get_string(*reasoning, "effort"); !effort.empty())
      call.body.params.emplace("reasoning_effort", effort);
  if (const auto* text = get_object(request, "text"))
    if (const auto* format = get_object(*text, "format"))
      call.body.params.emplace("response_format", response_format(*format));
  meta.model = get_string(request, "model");
  meta.source = first_label(request, {"safety_identifier", "user"});
  if (const auto* metadata = get_object(request, "metadata"))
    meta.session = first_label(*metadata, {"session_id", "conversation_id", "thread_id"});
  if (meta.session.empty() && conversation != nullptr)
    meta.session = conversation->is_object() ? std::string(get_string(conversation->get_object(), "id"))
                                             : read_label(conversation);
  return {};
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
  if (const auto* usage = get_object(*response, "usage")) call.meta.usage = read_usage(*usage);
  const auto* output = get_array(*response, "output");
  if (output == nullptr) return {};
  Items items;
  for (const json::value& item : *output)
    if (!items.add(item)) return "bad_choices";
  if (items.messages.empty()) return {};
  // Further messages of the same answer join the first.
  json::object answer = items.messages.front().as_object();
  for (size_t i = 1; i < items.messages.size(); ++i) {
    const json::object& more = items.messages[i].as_object();
    if (get_string(more, "role") != "assistant") continue;
    if (const std::string text = content_text(more); !text.empty()) {
      const std::string before = content_text(answer);
      answer.insert_or_assign("content", before.empty() ? text : before + "\n" + text);
    }
    if (const auto* calls = get_array(more, "tool_calls")) {
      json::array& all = answer.emplace("tool_calls", json::array()).first->value().as_array();
      all.insert(all.end(), calls->begin(), calls->end());
    }
    if (const auto thought = get_string(more, "reasoning_content"); !thought.empty())
      answer.insert_or_assign("reasoning_content",
                              std::string(get_string(answer, "reasoning_content")) + std::string(thought));
  }
  if (const auto reason = normalise_answer(answer, call.meta.flags.vision); !reason.empty()) return reason;
  std::string finish;
  if (get_string(*response, "status") == "completed") finish = answer.contains("tool_calls") ? "tool_calls" : "stop";
  if (const auto* why = get_object(*response, "incomplete_details"))
    finish = get_string(*why, "reason") == "content_filter" ? "content_filter" : "length";
  json::object choice{{"message", std::move(answer)}};
  if (!finish.empty()) choice.emplace("finish_reason", finish);
  call.body.choices.push_back(std::move(choice));
  call.meta.finish_reason = finish;
  return {};
}

}  // namespace

std::string_view parse_openai_responses(json::value& record, CallSink& sink) {
  auto* object = record.if_object();
  auto* request = object == nullptr ? nullptr : object->if_contains("request");
  if (request == nullptr || !request->is_object()) return "bad_request";
  LoggedCall logged;
  Call& call = logged.call;
  if (const auto reason = read_request(request->get_object(), call); !reason.empty()) return reason;
  if (const auto* response = object->if_contains("response"); response != nullptr && !response->is_null()) {
    if (!response->is_object()) return "bad_response";
    if (const auto reason = read_response(response->get_object(), call); !reason.empty()) return reason;
  }
  finish_call(logged);
  sink.call(logged);
  return {};
}

}  // namespace slm::dialects
