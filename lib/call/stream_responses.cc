#include <map>

#include "call/stream.h"

namespace slm {

namespace {

constexpr int64_t kMaxIndex = 4096;

class ResponsesAssembly final : public StreamAssembly {
 public:
  void event(std::string_view name, const json::object& data) override {
    std::string_view type = get_string(data, "type");
    if (type.empty()) type = name;
    if (type == "error") {
      error_ = data;
      return;
    }
    if (const auto* response = get_object(data, "response")) {
      top_ = *response;
      complete_ = type == "response.completed" || type == "response.incomplete" || type == "response.failed";
      return;
    }
    const int64_t index = get_int(data, "output_index").value_or(0);
    if (index < 0 || index >= kMaxIndex) return;
    if (type == "response.output_item.added" || type == "response.output_item.done") {
      if (const auto* item = get_object(data, "item")) {
        Item& kept = items_[index];
        kept.object = *item;
        kept.done = type.ends_with("done");
        has_output_ = has_output_ || get_string(*item, "type").ends_with("_call");
      }
    } else if (type.ends_with(".delta")) {
      const auto delta = get_string(data, "delta");
      has_output_ = has_output_ || !delta.empty();
      Item& item = items_[index];
      if (type == "response.output_text.delta")
        item.text += delta;
      else if (type == "response.refusal.delta")
        item.refusal += delta;
      else if (type == "response.function_call_arguments.delta")
        item.arguments += delta;
      else if (type == "response.custom_tool_call_input.delta")
        item.input += delta;
      else if (type.find("reasoning") != std::string_view::npos)
        item.thought += delta;
    }
  }

  bool has_output() const override { return has_output_; }
  bool complete() const override { return complete_; }

  json::object finish() override {
    if (!complete_) {
      json::array output;
      for (auto& [index, item] : items_) output.push_back(whole(item));
      top_.insert_or_assign("output", std::move(output));
    }
    if (!error_.empty()) top_.insert_or_assign("error", std::move(error_));
    return std::move(top_);
  }

 private:
  struct Item {
    json::object object;
    bool done = false;
    std::string text, refusal, arguments, input, thought;
  };

  // An item that didn't end, as far as its deltas tell.
  static json::object whole(Item& item) {
    json::object& out = item.object;
    if (item.done) return std::move(out);
    if (!out.contains("type")) out.emplace("type", item.thought.empty() ? "message" : "reasoning");
    const auto type = get_string(out, "type");
    if (type == "message") {
      json::array parts;
      if (!item.text.empty()) parts.push_back(json::object{{"type", "output_text"}, {"text", item.text}});
      if (!item.refusal.empty()) parts.push_back(json::object{{"type", "refusal"}, {"refusal", item.refusal}});
      out.insert_or_assign("content", std::move(parts));
      if (!out.contains("role")) out.emplace("role", "assistant");
    } else if (type == "reasoning") {
      out.insert_or_assign("summary", json::array{json::object{{"type", "summary_text"}, {"text", item.thought}}});
    }
    if (!item.arguments.empty()) out.insert_or_assign("arguments", item.arguments);
    if (!item.input.empty()) out.insert_or_assign("input", item.input);
    return std::move(out);
  }

  json::object top_, error_;
  std::map<int64_t, Item> items_;
  bool has_output_ = false, complete_ = false;
};

}  // namespace

std::unique_ptr<StreamAssembly> assemble_responses() { return std::make_unique<ResponsesAssembly>(); }

}  // namespace slm
