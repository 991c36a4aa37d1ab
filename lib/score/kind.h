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
  kOpenText,   // free text: not measurable without truth
};
inline constexpr TaskKind kTaskKinds[] = {TaskKind::kLabel, TaskKind::kJson, TaskKind::kToolCall, TaskKind::kShortText,
                                          TaskKind::kOpenText};
std::string_view kind_name(TaskKind kind);  // "label", "json", "tool_call", "short_text", "open_text"
std::optional<TaskKind> parse_kind(std::string_view name);

// Can a task be measured? Labels, JSON and tool calls can be compared with the logged answer; text only with the truth,
// so every unit of the test must have it (dataset::View::units_have_truth).
bool needs_truth(TaskKind kind);
inline bool is_measurable(TaskKind kind, bool units_have_truth) { return units_have_truth || !needs_truth(kind); }

}  // namespace slm::score
