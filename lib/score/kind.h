// The kind of a task, told from its answers: it decides how answers are graded.
#pragma once

#include <optional>
#include <string_view>

namespace slm::score {

enum class TaskKind {
  kLabel,      // few distinct short answers
  kJson,       // a JSON object or array as text
  kToolCall,   // tool_calls
  kShortText,  // short text that follows from the request: graded by exact match where the truth is kept
  kOpenText,   // free text: not measurable without truth or grader
};
inline constexpr TaskKind kTaskKinds[] = {TaskKind::kLabel, TaskKind::kJson, TaskKind::kToolCall, TaskKind::kShortText,
                                          TaskKind::kOpenText};
std::string_view kind_name(TaskKind kind);  // "label", "json", "tool_call", "short_text", "open_text"
std::optional<TaskKind> parse_kind(std::string_view name);

}  // namespace slm::score
