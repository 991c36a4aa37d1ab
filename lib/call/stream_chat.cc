#include "call/stream.h"

#include <map>

namespace slm {

namespace {

constexpr int64_t kMaxIndex = 1024;  // of a choice or a tool call: hostile streams could name any

struct ToolPart {
  std::string id, type, name, arguments;
  bool custom = false;
};

struct ChoicePart {
  std::string role, finish_reason;
  std::map<std::string, std::string, std::less<>> texts;  // content, refusal, reasoning_content, reasoning
  std::map<int64_t, ToolPart> tools;
  ToolPart function_call;
  bool has_function_call = false;
};

constexpr std::string_view kTexts[] = {"content", "refusal", "reasoning_content", "reasoning"};
constexpr std::string_view kCopied[] = {"id",           "created", "model", "system_fingerprint",
                                        "service_tier", "usage",   "error"};

void append(std::string& to, const json::object& from, std::string_view key) { to += get_string(from, key); }

class ChatAssembly final : public StreamAssembly {
 public:
  void event(std::string_view, const json::object& data) override {
    for (const auto key : kCopied)
      if (const auto* v = data.if_contains(key); v != nullptr && !v->is_null()) top_.insert_or_assign(key, *v);
    const auto* choices = get_array(data, "choices");
    if (choices == nullptr) return;
    for (const json::value& item : *choices)
      if (const auto* choice = item.if_object()) read_choice(*choice);
  }

  bool has_output() const override { return has_output_; }
  bool complete() const override {
    if (choices_.empty()) return false;
    for (const auto& [index, choice] : choices_)
      if (choice.finish_reason.empty()) return false;
    return true;
  }

  json::object finish() override {
    json::array choices;
    for (auto& [index, part] : choices_) {
      json::object message{{"role", part.role.empty() ? "assistant" : part.role}, {"content", nullptr}};
      for (auto& [key, text] : part.texts) message.insert_or_assign(key, text);
      if (part.has_function_call)
        message.emplace("function_call",
                        json::object{{"name", part.function_call.name}, {"arguments", part.function_call.arguments}});
      if (!part.tools.empty()) message.emplace("tool_calls", tool_calls(part));
      json::object choice{{"index", index}, {"message", std::move(message)}};
      if (!part.finish_reason.empty()) choice.emplace("finish_reason", part.finish_reason);
      choices.push_back(std::move(choice));
    }
    if (!choices.empty()) top_.insert_or_assign("choices", std::move(choices));
    return std::move(top_);
  }

 private:
  void read_choice(const json::object& choice) {
    const int64_t index = get_int(choice, "index").value_or(0);
    if (index < 0 || index >= kMaxIndex) return;
    ChoicePart& part = choices_[index];
    if (const auto finish = get_string(choice, "finish_reason"); !finish.empty()) part.finish_reason = finish;
    const auto* delta = get_object(choice, "delta");
    if (delta == nullptr) return;
    if (part.role.empty()) part.role = get_string(*delta, "role");
    for (const auto key : kTexts)
      if (const auto* v = delta->if_contains(key); v != nullptr && v->is_string()) {
        part.texts[std::string(key)] += std::string_view(v->get_string());
        has_output_ = has_output_ || !v->get_string().empty();
      }
    if (const auto* called = get_object(*delta, "function_call")) {
      part.has_function_call = has_output_ = true;
      append(part.function_call.name, *called, "name");
      append(part.function_call.arguments, *called, "arguments");
    }
    if (const auto* calls = get_array(*delta, "tool_calls"))
      for (const json::value& call : *calls)
        if (const auto* object = call.if_object()) read_tool(part, *object);
  }

  void read_tool(ChoicePart& part, const json::object& call) {
    has_output_ = true;
    const std::string_view id = get_string(call, "id");
    // Servers that leave the index out begin each call with its id.
    int64_t index = part.tools.empty() ? 0 : part.tools.rbegin()->first;
    if (const auto given = get_int(call, "index"))
      index = *given;
    else if (!part.tools.empty() && !id.empty() && part.tools.rbegin()->second.id != id)
      ++index;
    if (index < 0 || index >= kMaxIndex) return;
    ToolPart& tool = part.tools[index];
    if (tool.id.empty()) tool.id = id;
    if (tool.type.empty()) tool.type = get_string(call, "type");
    for (const std::string_view kind : {"function", "custom"})
      if (const auto* called = get_object(call, kind)) {
        tool.custom = kind == "custom";
        append(tool.name, *called, "name");
        append(tool.arguments, *called, tool.custom ? "input" : "arguments");
      }
  }

  static json::array tool_calls(const ChoicePart& part) {
    json::array calls;
    for (const auto& [index, tool] : part.tools) {
      json::object call;
      if (!tool.id.empty()) call.emplace("id", tool.id);
      call.emplace("type", tool.custom ? "custom" : "function");
      call.emplace(tool.custom ? "custom" : "function",
                   json::object{{"name", tool.name}, {tool.custom ? "input" : "arguments", tool.arguments}});
      calls.push_back(std::move(call));
    }
    return calls;
  }

  json::object top_;
  std::map<int64_t, ChoicePart> choices_;
  bool has_output_ = false;
};

}  // namespace

std::unique_ptr<StreamAssembly> assemble_chat() { return std::make_unique<ChatAssembly>(); }

}  // namespace slm
