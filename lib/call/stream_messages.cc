#include <map>

#include "call/stream.h"

namespace slm {

namespace {

constexpr int64_t kMaxIndex = 4096;

class MessagesAssembly final : public StreamAssembly {
 public:
  void event(std::string_view name, const json::object& data) override {
    std::string_view type = get_string(data, "type");
    if (type.empty()) type = name;
    if (type == "message_start") {
      if (const auto* message = get_object(data, "message")) top_ = *message;
    } else if (type == "content_block_start" || type == "content_block_delta") {
      const int64_t index = get_int(data, "index").value_or(0);
      if (index < 0 || index >= kMaxIndex) return;
      Block& block = blocks_[index];
      if (const auto* start = get_object(data, "content_block")) block.object = *start;
      if (const auto* delta = get_object(data, "delta")) add(block, *delta);
      has_output_ = has_output_ || type == "content_block_delta" || get_string(block.object, "type") == "tool_use";
    } else if (type == "message_delta") {
      if (const auto* delta = get_object(data, "delta"))
        for (const auto& item : *delta) top_.insert_or_assign(item.key(), item.value());
      if (const auto* usage = get_object(data, "usage")) {
        json::value& kept = top_["usage"];
        if (!kept.is_object()) kept = json::object();
        for (const auto& item : *usage)
          if (!item.value().is_null()) kept.get_object().insert_or_assign(item.key(), item.value());
      }
    } else if (type == "message_stop") {
      complete_ = true;
    } else if (type == "error") {
      if (const auto* error = data.if_contains("error")) top_.insert_or_assign("error", *error);
    }
  }

  bool has_output() const override { return has_output_; }
  bool complete() const override { return complete_; }

  json::object finish() override {
    json::array content;
    for (auto& [index, block] : blocks_) {
      json::object& out = block.object;
      if (!out.contains("type")) out.emplace("type", "text");
      const auto grow = [&out](std::string_view key, const std::string& more) {
        if (!more.empty()) out.insert_or_assign(key, std::string(get_string(out, key)) + more);
      };
      grow("text", block.text);
      grow("thinking", block.thinking);
      if (!block.input.empty()) {
        // Broken off inside: its text is kept as it is.
        auto input = parse_json(block.input, 96);
        out.insert_or_assign("input", input ? std::move(*input) : json::value(json::string(block.input)));
      }
      content.push_back(std::move(out));
    }
    if (!blocks_.empty() || !top_.contains("content")) top_.insert_or_assign("content", std::move(content));
    if (blocks_.empty() && top_.contains("error")) top_.erase("content");
    return std::move(top_);
  }

 private:
  struct Block {
    json::object object;
    std::string text, thinking, input;
  };
  static void add(Block& block, const json::object& delta) {
    block.text += get_string(delta, "text");
    block.thinking += get_string(delta, "thinking");
    block.input += get_string(delta, "partial_json");
  }

  json::object top_;
  std::map<int64_t, Block> blocks_;
  bool has_output_ = false, complete_ = false;
};

}  // namespace

std::unique_ptr<StreamAssembly> assemble_messages() { return std::make_unique<MessagesAssembly>(); }

}  // namespace slm
