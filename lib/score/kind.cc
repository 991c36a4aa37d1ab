#include "score/kind.h"

namespace slm::score {

std::string_view kind_name(TaskKind kind) {
  switch (kind) {
    case TaskKind::kLabel:
      return "label";
    case TaskKind::kJson:
      return "json";
    case TaskKind::kToolCall:
      return "tool_call";
    case TaskKind::kShortText:
      return "short_text";
    case TaskKind::kOpenText:
      return "open_text";
  }
  return "open_text";
}

std::optional<TaskKind> parse_kind(std::string_view name) {
  for (TaskKind kind : kTaskKinds)
    if (kind_name(kind) == name) return kind;
  return std::nullopt;
}

bool needs_truth(TaskKind kind) { return kind == TaskKind::kShortText || kind == TaskKind::kOpenText; }

}  // namespace slm::score
