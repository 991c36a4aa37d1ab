#include "call/dialects/normalise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/time.h"

namespace slm::dialects {

namespace {

constexpr std::string_view kMessageKeys[] = {"role",    "content",           "name",      "tool_calls", "tool_call_id",
                                             "refusal", "reasoning_content", "reasoning", "audio"};
constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool"};
constexpr std::string_view kCallKeys[] = {"id", "type", "function", "custom"};

template <size_t N>
bool is_one_of(std::string_view text, const std::string_view (&list)[N]) {
  return std::find(std::begin(list), std::end(list), text) != std::end(list);
}

// Erases what `keep` refuses; most objects have nothing to erase.
template <class Keep>
void keep_only(json::object& object, Keep keep) {
  for (auto it = object.begin(); it != object.end();) {
    if (keep(std::string_view(it->key()), it->value()))
      ++it;
    else
      it = object.stable_erase(it);
  }
}

std::string position_id(size_t position) { return fmt::format("call_{}", position); }

// {name, arguments}: arguments as text.
bool normalise_called(json::object& called, std::string_view arguments_key) {
  if (get_string(called, "name").empty()) return false;
  keep_only(called, [&](std::string_view key, const json::value&) { return key == "name" || key == arguments_key; });
  auto* arguments = called.if_contains(arguments_key);
  if (arguments == nullptr || arguments->is_null())
    called.insert_or_assign(arguments_key, "");
  else if (!arguments->is_string())
    *arguments = json::string(json::serialize(*arguments));
  return true;
}

bool normalise_tool_calls(json::array& calls, size_t position) {
  for (size_t i = 0; i < calls.size(); ++i) {
    auto* call = calls[i].if_object();
    if (call == nullptr) return false;
    if (!call->contains("function") && !call->contains("custom") && call->contains("name")) {
      json::object flat = std::move(*call);
      *call = json::object({{"type", "function"}}, flat.storage());
      if (auto* id = flat.if_contains("id")) call->emplace("id", std::move(*id));
      call->emplace("function", std::move(flat));
    }
    keep_only(*call,
              [](std::string_view key, const json::value& v) { return is_one_of(key, kCallKeys) && !v.is_null(); });
    auto* function = call->if_contains("function");
    auto* custom = call->if_contains("custom");
    auto* called = function != nullptr ? function : custom;
    if (called == nullptr || !called->is_object()) return false;
    if (!normalise_called(called->get_object(), function != nullptr ? "arguments" : "input")) return false;
    const std::string_view type = function != nullptr ? "function" : "custom";
    if (get_string(*call, "type") != type) call->insert_or_assign("type", type);
    if (get_string(*call, "id").empty()) call->insert_or_assign("id", fmt::format("{}_{}", position_id(position), i));
  }
  return true;
}

// content: text, null, or a list of parts each with a type.
bool check_content(const json::value& content, bool& vision) {
  if (content.is_string() || content.is_null()) return true;
  const auto* parts = content.if_array();
  if (parts == nullptr) return false;
  for (const auto& part : *parts) {
    const auto* object = part.if_object();
    if (object == nullptr) return false;
    const auto type = get_string(*object, "type");
    if (type.empty()) return false;
    if (type != "text" && type != "refusal" && type != "input_text" && type != "output_text") vision = true;
  }
  return true;
}

// `last_call` carries the id that a legacy function_call got to the role "function" message that answers it.
bool normalise_message(json::object& message, size_t position, std::string& last_call, bool& vision) {
  if (const auto* calls = message.if_contains("tool_calls");
      calls != nullptr && (calls->is_null() || (calls->is_array() && calls->get_array().empty())))
    message.erase("tool_calls");
  if (auto* function_call = message.if_contains("function_call")) {
    auto* called = function_call->if_object();
    if (called != nullptr && !message.contains("tool_calls")) {
      if (!normalise_called(*called, "arguments")) return false;
      last_call = position_id(position);
      json::object call({{"id", last_call}, {"type", "function"}}, message.storage());
      call.emplace("function", std::move(*called));
      json::array calls(message.storage());
      calls.push_back(std::move(call));
      message.emplace("tool_calls", std::move(calls));
    } else if (called == nullptr && !function_call->is_null()) {
      return false;
    }
  }
  if (get_string(message, "role") == "function") {
    message.insert_or_assign("role", "tool");
    if (!last_call.empty()) message.insert_or_assign("tool_call_id", last_call);
  }
  if (!is_one_of(get_string(message, "role"), kRoles)) return false;
  keep_only(message, [](std::string_view key, const json::value& v) {
    return is_one_of(key, kMessageKeys) && (!v.is_null() || key == "content");
  });
  if (const auto* content = message.if_contains("content"); content != nullptr && !check_content(*content, vision))
    return false;
  if (auto* calls = message.if_contains("tool_calls")) {
    auto* list = calls->if_array();
    if (list == nullptr || !normalise_tool_calls(*list, position)) return false;
  }
  for (const std::string_view key : {"name", "tool_call_id", "refusal", "reasoning_content"})
    if (const auto* v = message.if_contains(key); v != nullptr && !v->is_string()) return false;
  if (message.contains("audio")) vision = true;
  return true;
}

}  // namespace

std::string_view normalise_messages(json::array& messages, bool& vision) {
  std::string last_call;
  for (size_t i = 0; i < messages.size(); ++i) {
    auto* message = messages[i].if_object();
    if (message == nullptr || !normalise_message(*message, i, last_call, vision)) return "bad_message";
  }
  return {};
}

std::string_view normalise_answer(json::object& message, bool& vision) {
  if (!message.contains("role")) message.emplace("role", "assistant");
  std::string last_call;
  if (!normalise_message(message, 0, last_call, vision)) return "bad_message";
  if (get_string(message, "role") != "assistant") return "bad_message";
  return {};
}

std::string_view normalise_tools(json::array& tools) {
  for (auto& tool : tools) {
    auto* object = tool.if_object();
    if (object == nullptr) return "bad_tools";
    if (object->contains("function") || object->contains("custom")) {
      const std::string_view type = object->contains("function") ? "function" : "custom";
      const auto* named = get_object(*object, type);
      if (named == nullptr || get_string(*named, "name").empty()) return "bad_tools";
      keep_only(*object, [&](std::string_view key, const json::value&) { return key == type || key == "type"; });
      if (get_string(*object, "type") != type) object->insert_or_assign("type", type);
    } else if (!get_string(*object, "name").empty()) {
      object->erase("type");
      json::object wrapped({{"type", "function"}}, object->storage());
      wrapped.emplace("function", std::move(*object));
      tool = std::move(wrapped);
    } else if (get_string(*object, "type").empty()) {
      return "bad_tools";
    } else {
      // A provider's built-in tool has a type and no name; its settings may hold addresses and keys.
      keep_only(*object, [](std::string_view key, const json::value&) { return key == "type"; });
    }
  }
  return {};
}

std::string_view normalise_finish(std::string_view finish) {
  if (finish == "function_call" || finish == "tool_call" || finish == "tool_use") return "tool_calls";
  if (finish == "max_tokens") return "length";
  if (finish == "end_turn" || finish == "stop_sequence") return "stop";
  return finish;
}

Usage read_usage(const json::object& usage) {
  const auto count = [](const json::object& object,
                        std::initializer_list<std::string_view> keys) -> std::optional<int64_t> {
    for (const auto key : keys)
      if (const auto n = get_int(object, key); n && *n >= 0) return n;
    return std::nullopt;
  };
  Usage out;
  out.n_in = count(usage, {"prompt_tokens", "input_tokens"});
  out.n_out = count(usage, {"completion_tokens", "output_tokens"});
  for (const std::string_view key : {"prompt_tokens_details", "input_tokens_details"})
    if (const auto* details = get_object(usage, key); details != nullptr && !out.n_cached)
      out.n_cached = count(*details, {"cached_tokens"});
  return out;
}

std::string_view read_time(const json::object& object, std::initializer_list<std::string_view> keys,
                           std::optional<int64_t>& out) {
  for (const auto key : keys) {
    const json::value* value = object.if_contains(key);
    if (value == nullptr || value->is_null()) continue;
    std::string text;
    if (value->is_string())
      text = value->get_string();
    else if (value->is_double() && std::isfinite(value->get_double()))
      text = fmt::format("{:.3f}", value->get_double());
    else if (value->is_int64() || value->is_uint64())
      text = json::serialize(*value);
    else
      return "bad_timestamp";
    if (text.empty()) continue;
    const auto time = parse_time_ms(text);
    if (!time) return "bad_timestamp";
    out = *time;
    return {};
  }
  return {};
}

std::string read_label(const json::value* value) {
  if (value == nullptr) return {};
  if (value->is_string()) return std::string(value->get_string());
  if (value->is_int64() || value->is_uint64()) return json::serialize(*value);
  return {};
}

json::object clean_error(const json::value& error) {
  constexpr size_t kLongest = 80;
  json::object out;
  const auto* object = error.if_object();
  if (object == nullptr) return out;
  for (const std::string_view key : {"type", "code", "param", "status", "status_code"}) {
    const auto* v = object->if_contains(key);
    if (v != nullptr && ((v->is_string() && v->get_string().size() <= kLongest) || v->is_int64())) out.emplace(key, *v);
  }
  return out;
}

std::string first_label(const json::object& object, std::initializer_list<std::string_view> keys) {
  for (const auto key : keys)
    if (auto label = read_label(object.if_contains(key)); !label.empty()) return label;
  return {};
}

std::string_view read_outcome(json::value* value, Outcome& out) {
  if (value == nullptr || value->is_null()) return {};
  auto* object = value->if_object();
  if (object == nullptr) return "bad_outcome";
  out.success = get_bool(*object, "success");
  out.score = get_number(*object, "score");
  auto* truth = object->if_contains("truth");
  if (truth == nullptr || truth->is_null()) return {};
  auto* message = truth->if_object();
  bool vision = false;
  if (message == nullptr || !(message->contains("content") || message->contains("tool_calls"))) return "bad_outcome";
  if (!normalise_answer(*message, vision).empty()) return "bad_outcome";
  out.truth = std::move(*truth);
  return {};
}

void set_outcome(Call& call, const Outcome& outcome) {
  call.meta.success = outcome.success;
  call.meta.score = outcome.score;
  call.meta.flags.bad_session = outcome.success == false;
  call.meta.has_truth = !outcome.truth.is_null();
  call.body.truth = outcome.truth;
}

}  // namespace slm::dialects
