// Conversations from a file: what `models render` and `models generate` take.
#pragma once

#include <filesystem>
#include <istream>
#include <iterator>
#include <string>
#include <vector>

#include "core/file.h"
#include "model/codec.h"

namespace slm::cli {

// One {"messages": […], "tools": […]}, a list of them, or one a line. `path` "-" is `in`.
// Errors: kBadInput naming the conversation by number; kIo.
inline Result<std::vector<model::Prompt>> read_prompts(const std::string& path, std::istream& in) {
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(in), {});
  } else {
    SLM_TRY(text, read_file(path));
  }
  std::vector<json::value> documents;
  if (auto whole = parse_json(text)) {
    if (auto* list = whole->if_array()) {
      documents.assign(list->begin(), list->end());
    } else {
      documents.push_back(std::move(*whole));
    }
  } else {
    size_t line = 0;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::string_view one = std::string_view(text).substr(begin, end - begin);
      ++line;
      begin = end + 1;
      if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      auto value = parse_json(one);
      if (!value)
        return fail(ErrorCode::kBadInput, path + ", line " + std::to_string(line) + ": " + value.error().message);
      documents.push_back(std::move(*value));
    }
  }
  std::vector<model::Prompt> prompts;
  for (const auto& document : documents) {
    const std::string what = path + ", conversation " + std::to_string(prompts.size() + 1);
    SLM_TRY(const json::object* object, want_object(document, what));
    const auto* messages = get_array(*object, "messages");
    if (messages == nullptr || messages->empty())
      return fail(ErrorCode::kBadInput, what + ": \"messages\" is missing or no list of messages",
                  R"(echo '{"messages":[{"role":"user","content":"…"}]}' | slmconv models render DIR -)");
    for (const auto& message : *messages)
      if (!message.is_object()) return fail(ErrorCode::kBadInput, what + ": a message isn't a JSON object");
    const auto* tools = get_array(*object, "tools");
    prompts.push_back({*messages, tools == nullptr ? json::array() : *tools});
  }
  if (prompts.empty()) return fail(ErrorCode::kBadInput, path + ": holds no conversation");
  return prompts;
}

}  // namespace slm::cli
