#include "model/conversation.h"

#include <fmt/format.h>

#include <map>

#include "call/call.h"

namespace slm::model {
namespace {

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
    if (!text.empty()) text += '\n';
    text += write_calls(plain_calls(), calls->get_array());
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
  if (abilities.null_content && out.at("content").get_string().empty()) out["content"] = nullptr;
  return out;
}

std::string tools_text(const json::array& tools) {
  std::string out = "Tools, one a line:\n";
  for (const auto& tool : tools) {
    const auto* object = tool.if_object();
    const auto* function = object == nullptr ? nullptr : object->if_contains("function");
    out += spaced_json(function == nullptr ? tool : *function) + '\n';
  }
  return out + "Call one by writing <tool_call>{\"name\": …, \"arguments\": {…}}</tool_call>";
}

void prepend(json::object& message, const std::string& text) {
  const std::string content = content_text(message);
  message["content"] = content.empty() ? text : text + "\n\n" + content;
}

// Ids of nine digits, by the order in which a conversation names its calls.
class ShortIds {
 public:
  void shorten(json::object& message) {
    if (auto* calls = message.if_contains("tool_calls"); calls != nullptr && calls->is_array())
      for (auto& call : calls->get_array())
        if (auto* object = call.if_object()) (*object)["id"] = of(get_string(*object, "id"));
    if (message.contains("tool_call_id")) message["tool_call_id"] = of(get_string(message, "tool_call_id"));
  }

 private:
  std::string of(std::string_view id) {
    const auto [at, fresh] = numbers_.try_emplace(std::string(id), numbers_.size());
    return fmt::format("{:09}", at->second);
  }
  std::map<std::string, size_t, std::less<>> numbers_;
};

// What probe() plants and looks for.
constexpr std::string_view kUser = "probeuser", kSystem = "probesystem", kAnswer = "probeanswer",
                           kResult = "proberesult", kId = "callprobe";

}  // namespace

std::string_view behind_prompt(std::string_view whole, std::string_view prompt) {
  size_t n = 0;
  while (n < whole.size() && n < prompt.size() && whole[n] == prompt[n]) ++n;
  if (n < prompt.size()) {
    const size_t end = whole.substr(0, n).find_last_of(">]\n");
    n = end == std::string_view::npos ? 0 : end + 1;
  }
  return whole.substr(n);
}

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
  const json::array known = probe_tools();
  const std::string tool(get_string(known.front().at("function").get_object(), "name"));
  out.tools = shows({user}, known, {tool, "argone"}).has_value() &&
              (!out.system || shows({system, user}, known, {tool, kSystem}).has_value());
  const json::array tools = out.tools ? known : json::array();
  // An assistant's message as the template writes it after its prompt.
  text::RenderOptions for_answer = base;
  for_answer.add_generation_prompt = true;
  const auto head = chat_template.render({user}, tools, for_answer);
  const auto answer = [&](const json::value& content, const json::array& calls) -> std::optional<std::string> {
    json::object message{{"role", "assistant"}, {"content", content}};
    if (!calls.empty()) message["tool_calls"] = calls;
    const auto whole = chat_template.render({user, std::move(message)}, tools, base);
    if (!whole || !head) return std::nullopt;
    return std::string(behind_prompt(*whole, *head));
  };
  FoundCalls found = find_calls(answer, {std::string(get_string(base.variables, "eos_token"))});
  out.calls = found.shown && found.format.problem.empty();
  if (out.calls) {
    out.arguments_as_text = found.arguments_as_text;
    out.null_content = found.null_content;
    out.short_ids = found.short_ids;
    out.format = std::move(found.format);
  } else {
    out.call_problem = std::move(found.format.problem);
  }
  json::object result = text_message("tool", kResult);
  result["tool_call_id"] = kId;
  result["name"] = tool;
  json::object caller = text_message("assistant", kAnswer);
  if (out.calls) {
    const json::object arguments{{"argone", "probeargument"}};
    caller["content"] = out.null_content ? json::value(nullptr) : json::value("");
    caller["tool_calls"] = json::array{
        tool_call(tool, out.arguments_as_text ? json::value(spaced_json(arguments)) : json::value(arguments), kId)};
  }
  out.results = shows({user, caller, result}, tools, {kResult}).has_value();
  return out;
}

Status check_calls(const json::array& messages, const Abilities& abilities) {
  if (!abilities.calls) return {};
  for (const auto& value : messages) {
    const auto* message = value.if_object();
    const auto* calls = message == nullptr ? nullptr : get_array(*message, "tool_calls");
    if (calls == nullptr || calls->empty()) continue;
    if (calls->size() > 1 && !abilities.format.several)
      return fail(ErrorCode::kBadInput, "the chat template takes one tool call a message, and a message has more");
    if (abilities.null_content && !content_text(*message).empty())
      return fail(ErrorCode::kBadInput, "the chat template drops tool calls that have text beside them");
  }
  return {};
}

Adapted adapt(const json::array& messages, const json::array& tools, const Abilities& abilities) {
  Adapted out;
  if (abilities.tools) out.tools = tools;
  ShortIds ids;
  for (const auto& value : messages) {
    const auto* message = value.if_object();
    if (message == nullptr) continue;
    json::object adapted = plain(*message, abilities);
    if (abilities.short_ids) ids.shorten(adapted);
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

}  // namespace slm::model
