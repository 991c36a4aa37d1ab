#include "model/conversation.h"

#include <fmt/format.h>

#include "call/call.h"

namespace slm::model {
namespace {

constexpr std::string_view kOpen = "<tool_call>", kClose = "</tool_call>";

bool has_role(const json::object& message, std::string_view role) { return get_string(message, "role") == role; }

json::object text_message(std::string_view role, std::string_view content) {
  return {{"role", role}, {"content", content}};
}

// A call's arguments as the object that their text holds; the text itself if it holds none.
json::value arguments_of(const json::object& function) {
  const json::value* arguments = function.if_contains("arguments");
  if (arguments == nullptr) return json::object();
  if (!arguments->is_string()) return *arguments;
  auto parsed = parse_json(arguments->get_string());
  if (parsed && parsed->is_object()) return std::move(*parsed);
  return *arguments;
}

// JSON with a space after ":" and ",", as Python's json.dumps writes it and templates' tojson with it.
void write_spaced(std::string& out, const json::value& value) {
  const auto list = [&](const auto& items, char open, char close, const auto& write) {
    out += open;
    bool first = true;
    for (const auto& item : items) {
      if (!first) out += ", ";
      first = false;
      write(item);
    }
    out += close;
  };
  if (const auto* object = value.if_object()) {
    list(*object, '{', '}', [&](const json::key_value_pair& item) {
      out += json::serialize(item.key()) + ": ";
      write_spaced(out, item.value());
    });
  } else if (const auto* array = value.if_array()) {
    list(*array, '[', ']', [&](const json::value& item) { write_spaced(out, item); });
  } else {
    out += json::serialize(value);
  }
}

std::string spaced_json(const json::value& value) {
  std::string out;
  write_spaced(out, value);
  return out;
}

std::string call_text(const json::value& call) {
  const auto* object = call.if_object();
  const auto* function = object == nullptr ? nullptr : get_object(*object, "function");
  if (function == nullptr) return {};
  return fmt::format("{}{{\"name\": {}, \"arguments\": {}}}{}", kOpen,
                     json::serialize(json::string(get_string(*function, "name"))), spaced_json(arguments_of(*function)),
                     kClose);
}

// One message with text content and without empty fields.
json::object plain(const json::object& message, const Abilities& abilities) {
  json::object out;
  for (const auto& [key, value] : message) {
    if (key == "content" || value.is_null() || (key == "tool_calls" && value.is_array() && value.get_array().empty()))
      continue;
    out[key] = value;
  }
  if (has_role(message, "developer")) out["role"] = "system";
  if (has_role(message, "function")) out["role"] = "tool";
  out["content"] = content_text(message);
  auto* calls = out.if_contains("tool_calls");
  if (calls == nullptr || !calls->is_array()) return out;
  if (!abilities.calls) {
    // By at(): operator[] may move the object's items even where the key is there.
    std::string text(out.at("content").get_string());
    for (const auto& call : calls->get_array()) {
      if (!text.empty()) text += '\n';
      text += call_text(call);
    }
    out.erase("tool_calls");
    out["content"] = text;
    return out;
  }
  for (auto& call : calls->get_array()) {
    auto* object = call.if_object();
    auto* function = object == nullptr ? nullptr : object->if_contains("function");
    if (function == nullptr || !function->is_object()) continue;
    json::value arguments = arguments_of(function->get_object());
    if (abilities.arguments_as_text && !arguments.is_string()) arguments = spaced_json(arguments);
    function->get_object()["arguments"] = std::move(arguments);
  }
  return out;
}

std::string tools_text(const json::array& tools) {
  std::string out = "Tools, one a line:\n";
  for (const auto& tool : tools) {
    const auto* object = tool.if_object();
    const auto* function = object == nullptr ? nullptr : object->if_contains("function");
    out += spaced_json(function == nullptr ? tool : *function) + '\n';
  }
  return out + fmt::format("Call one by writing {}{{\"name\": …, \"arguments\": {{…}}}}{}", kOpen, kClose);
}

void prepend(json::object& message, const std::string& text) {
  const std::string content = content_text(message);
  message["content"] = content.empty() ? text : text + "\n\n" + content;
}

// The call that a piece of JSON text writes; nothing if it writes none.
std::optional<json::object> parse_call(std::string_view text, std::string_view arguments_key, size_t index) {
  auto parsed = parse_json(text);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const json::object& object = parsed->get_object();
  const std::string_view name = get_string(object, "name");
  const json::value* arguments = object.if_contains(arguments_key);
  if (name.empty() || arguments == nullptr) return std::nullopt;
  std::string arguments_text;
  if (arguments->is_object()) {
    arguments_text = json::serialize(*arguments);
  } else if (arguments->is_string() && parse_json(arguments->get_string())) {
    arguments_text = arguments->get_string();
  } else {
    return std::nullopt;
  }
  return json::object{{"id", fmt::format("call_{}", index)},
                      {"type", "function"},
                      {"function", {{"name", name}, {"arguments", arguments_text}}}};
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// What probe() plants and looks for.
constexpr std::string_view kUser = "probeuser", kSystem = "probesystem", kAnswer = "probeanswer", kTool = "probe_tool",
                           kArgument = "probeargument", kResult = "proberesult";

json::array probe_tools() {
  return {{{"type", "function"},
           {"function",
            {{"name", kTool},
             {"description", "A tool."},
             {"parameters",
              {{"type", "object"},
               {"properties", {{"x", {{"type", "string"}, {"description", "A value."}}}}},
               {"required", json::array{"x"}}}}}}}};
}

json::object probe_call(bool as_text) {
  json::value arguments = json::object{{"x", kArgument}};
  if (as_text) arguments = spaced_json(arguments);
  return {{"role", "assistant"},
          {"content", ""},
          {"tool_calls",
           json::array{
               {{"id", "call_0"}, {"type", "function"}, {"function", {{"name", kTool}, {"arguments", arguments}}}}}}};
}

}  // namespace

Result<Abilities> probe(const text::ChatTemplate& chat_template, const text::RenderOptions& base) {
  // Rendered text if it works and shows all of `wanted`.
  const auto shows = [&](const json::array& messages, const json::array& tools,
                         std::initializer_list<std::string_view> wanted) -> std::optional<std::string> {
    auto text = chat_template.render(messages, tools, base);
    if (!text) return std::nullopt;
    for (const std::string_view w : wanted)
      if (text->find(w) == std::string::npos) return std::nullopt;
    return std::move(*text);
  };
  const json::object user = text_message("user", kUser), system = text_message("system", kSystem);
  auto simple = chat_template.render({user}, {}, base);
  if (!simple) return fail(simple.error());
  if (simple->find(kUser) == std::string::npos)
    return fail(ErrorCode::kUnsupportedModel, "the chat template doesn't show a user's message");

  Abilities out;
  out.system = shows({system, user}, {}, {kSystem, kUser}).has_value();
  out.tools = shows({user}, probe_tools(), {kTool, "x"}).has_value() &&
              (!out.system || shows({system, user}, probe_tools(), {kTool, kSystem}).has_value());
  const json::array tools = out.tools ? probe_tools() : json::array();
  std::optional<std::string> call;
  for (const bool as_text : {false, true}) {
    call = shows({user, probe_call(as_text)}, tools, {kTool, kArgument});
    // Text written as a JSON string within JSON would have to be read back twice.
    if (call && call->find("\\\"") != std::string::npos) call.reset();
    out.arguments_as_text = as_text;
    if (call) break;
  }
  out.calls = call.has_value();
  if (call) {
    const size_t at = call->rfind(kTool);
    const size_t open = call->rfind(kOpen, at);
    if (open != std::string::npos && call->find(kClose, at) != std::string::npos) {
      out.call_style = CallStyle::kTags;
    } else if (call->find("\"parameters\": {\"x\"", at) != std::string::npos) {
      out.call_style = CallStyle::kBare;
    } else {
      out.call_style = CallStyle::kOther;
    }
  } else {
    out.arguments_as_text = false;
  }
  json::object result = text_message("tool", kResult);
  result["tool_call_id"] = "call_0";
  result["name"] = kTool;
  const json::object caller = out.calls ? probe_call(out.arguments_as_text) : text_message("assistant", kAnswer);
  out.results = shows({user, caller, result}, tools, {kResult}).has_value();
  return out;
}

Adapted adapt(const json::array& messages, const json::array& tools, const Abilities& abilities) {
  Adapted out;
  if (abilities.tools) out.tools = tools;
  for (const auto& value : messages) {
    const auto* message = value.if_object();
    if (message == nullptr) continue;
    json::object adapted = plain(*message, abilities);
    if (!abilities.results && has_role(adapted, "tool"))
      adapted = text_message("user", fmt::format("<tool_response>\n{}\n</tool_response>", content_text(adapted)));
    out.messages.push_back(std::move(adapted));
  }
  if (!abilities.tools && !tools.empty()) {
    if (out.messages.empty() || !has_role(out.messages.front().get_object(), "system"))
      out.messages.insert(out.messages.begin(), text_message("system", ""));
    auto& system = out.messages.front().get_object();
    const std::string content = content_text(system);
    system["content"] = (content.empty() ? "" : content + "\n\n") + tools_text(tools);
  }
  if (!abilities.system && !out.messages.empty() && has_role(out.messages.front().get_object(), "system")) {
    const std::string text = content_text(out.messages.front().get_object());
    out.messages.erase(out.messages.begin());
    if (out.messages.empty() || !has_role(out.messages.front().get_object(), "user"))
      out.messages.insert(out.messages.begin(), text_message("user", ""));
    if (!text.empty()) prepend(out.messages.front().get_object(), text);
  }
  return out;
}

json::object parse_answer(std::string_view text, CallStyle style) {
  json::array calls;
  std::string content;
  if (style == CallStyle::kBare) {
    if (auto call = parse_call(trimmed(text), "parameters", 0)) {
      calls.push_back(std::move(*call));
    } else {
      content = text;
    }
  } else {
    std::string_view rest = text;
    while (true) {
      const size_t open = rest.find(kOpen);
      const size_t close = open == std::string_view::npos ? open : rest.find(kClose, open);
      if (close == std::string_view::npos) break;
      const std::string_view inside = rest.substr(open + kOpen.size(), close - open - kOpen.size());
      auto call = parse_call(trimmed(inside), "arguments", calls.size());
      content += rest.substr(0, call ? open : close + kClose.size());
      if (call) calls.push_back(std::move(*call));
      rest = rest.substr(close + kClose.size());
    }
    content += rest;
  }
  json::object message{{"role", "assistant"}};
  if (calls.empty()) {
    message["content"] = content;
    return message;
  }
  const std::string_view kept = trimmed(content);
  if (kept.empty()) {
    message["content"] = nullptr;
  } else {
    message["content"] = kept;
  }
  message["tool_calls"] = std::move(calls);
  return message;
}

}  // namespace slm::model
