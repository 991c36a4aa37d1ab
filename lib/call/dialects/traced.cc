#include "call/dialects/traced.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "call/ascii.h"
#include "call/dialects/normalise.h"

namespace slm::dialects {

namespace {

constexpr unsigned kMaxDepth = 64;

std::string_view role_of(std::string_view role, std::string_view otherwise) {
  struct Row {
    std::string_view name, role;
  };
  static constexpr Row kRows[] = {{"human", "user"},        {"ai", "assistant"},         {"model", "assistant"},
                                  {"bot", "assistant"},     {"chatbot", "assistant"},    {"AIMessage", "assistant"},
                                  {"HumanMessage", "user"}, {"SystemMessage", "system"}, {"ToolMessage", "tool"}};
  if (role.empty()) return otherwise;
  for (const Row& row : kRows)
    if (row.name == role) return row.role;
  return role;
}

std::string as_text(const json::value& value) {
  if (value.is_null()) return {};
  return value.is_string() ? std::string(value.get_string()) : json::serialize(value);
}

const json::value* first_of(const json::object& object, std::initializer_list<std::string_view> keys) {
  for (const auto key : keys)
    if (const auto* v = object.if_contains(key); v != nullptr && !v->is_null()) return v;
  return nullptr;
}

// Texts of a tool's result: text itself, or the texts of a list of blocks.
std::string result_text(const json::value& value) {
  const auto* list = value.if_array();
  if (list == nullptr || list->empty()) return as_text(value);
  std::string out;
  for (const auto& block : *list) {
    const auto* object = block.if_object();
    const auto* text = object == nullptr ? nullptr : object->if_contains("text");
    if (text == nullptr || !text->is_string()) return as_text(value);
    if (!out.empty()) out += '\n';
    out += text->get_string();
  }
  return out;
}

// One message as it is written down, its parts sorted by what they are.
class Message {
 public:
  Message(json::object& from, std::string_view role) : from_(from), role_(role_of(get_string(from, "role"), role)) {}

  void append_to(json::array& out) {
    for (const std::string_view key : {"parts", "content"})
      if (auto* list = from_.if_contains(key); list != nullptr && list->is_array()) {
        for (auto& part : list->get_array()) take_part(part);
        from_.erase(key);
        has_parts_ = true;
      }
    for (auto& result : results_) out.push_back(std::move(result));
    // What only answers tools is no message beside.
    if (has_parts_ && !results_.empty() && content_.empty() && calls_.empty() && reasoning_.empty()) return;
    json::object message = std::move(from_);
    message["role"] = role_;
    if (auto* calls = message.if_contains("tool_calls"); calls != nullptr && calls->is_array())
      for (auto& call : calls->get_array()) calls_.push_back(std::move(call));
    message.erase("tool_calls");
    if (!calls_.empty()) message["tool_calls"] = std::move(calls_);
    if (has_parts_) set_content(message);
    if (auto* content = message.if_contains("content"); content != nullptr && content->is_object())
      *content = json::string(json::serialize(*content));
    if (!reasoning_.empty()) message["reasoning_content"] = reasoning_;
    out.push_back(std::move(message));
  }

 private:
  void set_content(json::object& message) {
    if (content_.empty()) {
      message["content"] = nullptr;
    } else if (content_.size() == 1 && is_text(content_.front())) {
      message["content"] = std::move(content_.front().get_object()["text"]);
    } else {
      message["content"] = std::move(content_);
    }
  }
  static bool is_text(const json::value& part) { return get_string(part.get_object(), "type") == "text"; }
  void add_text(json::string text) { content_.push_back(json::object{{"type", "text"}, {"text", std::move(text)}}); }

  void take_part(json::value& value) {
    if (value.is_string()) return add_text(std::move(value.get_string()));
    auto* part = value.if_object();
    if (part == nullptr) return add_text(json::string(json::serialize(value)));
    const auto type = get_string(*part, "type");
    const auto* text = first_of(*part, {"content", "text"});
    if (type == "text" || type == "input_text" || type == "output_text") {
      add_text(text == nullptr ? json::string() : json::string(as_text(*text)));
    } else if (type == "reasoning" || type == "thinking") {
      const auto* thought = first_of(*part, {"content", "thinking", "text"});
      if (thought == nullptr) return;
      if (!reasoning_.empty()) reasoning_ += '\n';
      reasoning_ += as_text(*thought);
    } else if (type == "tool_call" || type == "tool_use") {
      json::object call{{"name", get_string(*part, "name")}};
      if (const auto id = get_string(*part, "id"); !id.empty()) call["id"] = id;
      if (const auto* arguments = first_of(*part, {"arguments", "input"})) call["arguments"] = *arguments;
      calls_.push_back(std::move(call));
    } else if (type == "tool_call_response" || type == "tool_result") {
      const auto* result = first_of(*part, {"response", "result", "content"});
      json::object message{{"role", "tool"}, {"content", result == nullptr ? std::string() : result_text(*result)}};
      if (const auto id = first_label(*part, {"id", "tool_use_id"}); !id.empty()) message["tool_call_id"] = id;
      results_.push_back(std::move(message));
    } else {
      if (type.empty()) part->insert_or_assign("type", "other");
      content_.push_back(std::move(*part));
    }
  }

  json::object& from_;
  std::string role_;
  json::array content_, calls_, results_;
  std::string reasoning_;
  bool has_parts_ = false;
};

bool is_message(const json::value& value) {
  const auto* object = value.if_object();
  return object != nullptr &&
         (object->contains("parts") ||
          (object->contains("role") &&
           (object->contains("content") || object->contains("tool_calls") || object->contains("function_call"))));
}

bool is_message_list(const json::value& value) {
  const auto* list = value.if_array();
  return list != nullptr && !list->empty() && std::all_of(list->begin(), list->end(), is_message);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_json_space(text.front())) text.remove_prefix(1);
  return text;
}

// Does a text begin as a JSON object, or a list of them?
bool begins_as_json(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('[')) text = trimmed(text.substr(1));
  if (!text.starts_with('{')) return false;
  text = trimmed(text.substr(1));
  return text.empty() || text.front() == '"' || text.front() == '}';
}

// Text that is JSON becomes what it says.
Traced open_text(json::value& value) {
  if (value.is_null()) return Traced::kNothing;
  if (!value.is_string()) return Traced::kRead;
  const std::string_view text = value.get_string();
  if (trimmed(text).empty()) return Traced::kNothing;
  if (!begins_as_json(text)) {
    // "…" around a text is JSON too.
    if (text.front() == '"' && text.size() > 1 && text.back() == '"')
      if (auto inner = parse_json(text, kMaxDepth); inner && inner->is_string()) value = std::move(*inner);
    return Traced::kRead;
  }
  auto parsed = parse_json(text, kMaxDepth);
  if (!parsed) return Traced::kCut;
  value = std::move(*parsed);
  return Traced::kRead;
}

void add_answer(json::value message, std::string_view finish, json::array& out) {
  json::array made;
  if (auto* object = message.if_object()) {
    if (finish.empty()) finish = get_string(*object, "finish_reason");
    if (finish.empty()) finish = get_string(*object, "stop_reason");
    const std::string kept(normalise_finish(finish));
    Message(*object, "assistant").append_to(made);
    if (made.empty()) return;
    json::object choice{{"message", std::move(made.back())}};
    if (!kept.empty()) choice["finish_reason"] = kept;
    out.push_back(std::move(choice));
  }
}

}  // namespace

Traced read_traced_request(json::value value, std::string_view role, TracedRequest& out) {
  if (const Traced opened = open_text(value); opened != Traced::kRead) return opened;
  if (auto* object = value.if_object()) {
    if (auto* tools = object->if_contains("tools"); tools != nullptr && tools->is_array() && out.tools.empty())
      out.tools = std::move(tools->get_array());
    if (auto* system = object->if_contains("system"); system != nullptr && object->contains("messages"))
      read_traced_request(std::move(*system), "system", out);
    if (auto* messages = object->if_contains("messages"); messages != nullptr && is_message_list(*messages)) {
      json::value list = std::move(*messages);
      value = std::move(list);
    }
  }
  if (is_message_list(value)) {
    for (auto& message : value.get_array()) Message(message.get_object(), role).append_to(out.messages);
    return Traced::kRead;
  }
  if (is_message(value)) {
    Message(value.get_object(), role).append_to(out.messages);
    return Traced::kRead;
  }
  const auto* list = value.if_array();
  if (list != nullptr && list->empty()) return Traced::kNothing;
  // Blocks of a system prompt, texts one after another.
  const bool is_parts = list != nullptr && std::all_of(list->begin(), list->end(), [](const json::value& v) {
                          return v.is_string() || (v.is_object() && v.get_object().contains("type"));
                        });
  json::object message{{"role", role}};
  if (is_parts)
    message["parts"] = std::move(value);
  else
    message["content"] = as_text(value);
  Message(message, role).append_to(out.messages);
  return Traced::kRead;
}

std::string traced_finish(const json::value& value) {
  json::value opened = value;
  if (open_text(opened) != Traced::kRead) return {};
  json::array answers;
  if (const auto* object = opened.if_object()) {
    if (const auto finish = get_string(*object, "finish_reason"); !finish.empty())
      return std::string(normalise_finish(finish));
    if (const auto stop = get_string(*object, "stop_reason"); !stop.empty()) return std::string(normalise_finish(stop));
    const auto* choices = get_array(*object, "choices");
    if (choices != nullptr && !choices->empty() && choices->front().is_object())
      return std::string(normalise_finish(get_string(choices->front().get_object(), "finish_reason")));
  }
  return {};
}

Traced read_traced_answers(json::value value, json::array& out) {
  if (const Traced opened = open_text(value); opened != Traced::kRead) return opened;
  if (auto* object = value.if_object()) {
    if (auto* choices = object->if_contains("choices"); choices != nullptr && choices->is_array()) {
      for (auto& item : choices->get_array()) {
        auto* choice = item.if_object();
        auto* message = choice == nullptr ? nullptr : choice->if_contains("message");
        if (message != nullptr) add_answer(std::move(*message), get_string(*choice, "finish_reason"), out);
      }
      return out.empty() ? Traced::kNothing : Traced::kRead;
    }
    if (auto* text = object->if_contains("text"); text != nullptr && text->is_string() && !object->contains("role"))
      value = json::object{{"role", "assistant"},
                           {"content", std::move(*text)},
                           {"finish_reason", get_string(*object, "finish_reason")}};
    else if (object->contains("messages") && is_message_list(*object->if_contains("messages"))) {
      json::value list = std::move(*object->if_contains("messages"));
      value = std::move(list);
    }
  }
  if (is_message_list(value)) {
    for (auto& message : value.get_array()) add_answer(std::move(message), {}, out);
    return Traced::kRead;
  }
  if (!is_message(value)) value = json::object{{"role", "assistant"}, {"content", as_text(value)}};
  add_answer(std::move(value), {}, out);
  return Traced::kRead;
}

namespace {

bool is_index(std::string_view text, uint64_t& index) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  return error == std::errc() && end == text.data() + text.size();
}

// Objects whose keys are all numbers become lists in the order of the numbers.
void make_lists(json::value& value) {
  auto* object = value.if_object();
  if (object == nullptr) return;
  std::vector<std::pair<uint64_t, json::value*>> items;
  for (auto& item : *object) {
    make_lists(item.value());
    if (uint64_t index = 0; is_index(item.key(), index)) items.emplace_back(index, &item.value());
  }
  if (items.empty() || items.size() != object->size()) return;
  std::sort(items.begin(), items.end(), [](auto& a, auto& b) { return a.first < b.first; });
  json::array list;
  for (auto& [index, item] : items) list.push_back(std::move(*item));
  value = std::move(list);
}

}  // namespace

json::value whole(json::value value) {
  constexpr double kExact = 1e15;
  if (value.is_double() && std::abs(value.get_double()) < kExact &&
      std::trunc(value.get_double()) == value.get_double())
    return static_cast<int64_t>(value.get_double());
  return value;
}

json::value nested(const json::object& attributes, std::string_view prefix) {
  constexpr int kMaxSteps = 16;
  json::object tree;
  for (const auto& item : attributes) {
    std::string_view key = item.key();
    if (!key.starts_with(prefix) || key.size() < prefix.size() + 2 || key[prefix.size()] != '.') continue;
    key.remove_prefix(prefix.size() + 1);
    if (uint64_t index = 0; !is_index(key.substr(0, key.find('.')), index)) continue;
    if (std::count(key.begin(), key.end(), '.') > kMaxSteps) continue;
    json::object* at = &tree;
    for (size_t dot = key.find('.'); at != nullptr && dot != std::string_view::npos; dot = key.find('.')) {
      auto& inner = (*at)[key.substr(0, dot)];
      if (inner.is_null()) inner = json::object();
      at = inner.if_object();
      key.remove_prefix(dot + 1);
    }
    if (at != nullptr && !at->contains(key)) at->emplace(key, item.value());
  }
  if (tree.empty()) return nullptr;
  json::value out(std::move(tree));
  make_lists(out);
  return out;
}

}  // namespace slm::dialects
