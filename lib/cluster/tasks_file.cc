#include "cluster/tasks_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "schema/toml.h"

namespace slm::cluster {

namespace {

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 40 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

}  // namespace

Result<TaskRules> read_task_rules(const std::filesystem::path& path) {
  SLM_TRY(const auto value, read_toml_file(path));
  const auto bad = [&](std::string_view task, std::string_view what) {
    return fail(ErrorCode::kBadInput, fmt::format("{}: [{}]: {}", path.string(), task, what));
  };
  TaskRules rules;
  for (const auto& item : value.as_object()) {
    const std::string_view id = item.key();
    const auto* table = item.value().if_object();
    if (table == nullptr) return bad(id, "must be a table of a task id");
    TaskRule rule;
    for (const auto& entry : *table) {
      const std::string_view key = entry.key();
      if (key == "name" && entry.value().is_string())
        rule.name = entry.value().as_string();
      else if (key == "merge" && entry.value().is_string())
        rule.merge = entry.value().as_string();
      else if (key == "exclude" && entry.value().is_bool())
        rule.exclude = entry.value().as_bool();
      else
        return bad(id, fmt::format("{} isn't name = \"…\", merge = \"…\" or exclude = true", key));
    }
    if (!rule.name.empty() && !is_name(rule.name))
      return bad(id, "name must be a-z, 0-9 and hyphens, at most 40 bytes");
    if (rule.merge == id) return bad(id, "merges into itself");
    rules.emplace(id, std::move(rule));
  }
  for (const auto& [id, rule] : rules)
    if (const auto at = rules.find(rule.merge); at != rules.end() && !at->second.merge.empty())
      return bad(id, fmt::format("merges into {}, which is merged itself", rule.merge));
  return rules;
}

}  // namespace slm::cluster
