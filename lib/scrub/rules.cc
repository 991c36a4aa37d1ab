#include "scrub/rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/file.h"
#include "core/hash.h"
#include "schema/toml.h"
#include "scrub/detect/names.h"

namespace slm::scrub {

namespace {

tl::unexpected<Error> bad(std::string_view file, std::string message) {
  return fail(ErrorCode::kBadInput, fmt::format("{}: {}", file, message));
}

Status only_keys(const json::object& table, std::initializer_list<std::string_view> allowed, std::string_view where,
                 std::string_view file) {
  for (const auto& member : table) {
    const std::string_view key = member.key();
    if (std::find(allowed.begin(), allowed.end(), key) == allowed.end())
      return bad(file, fmt::format("unknown key '{}' in {}; known: {}", key, where, fmt::join(allowed, ", ")));
  }
  return {};
}

Result<std::vector<std::string>> strings(const json::object& table, std::string_view key, std::string_view where,
                                         std::string_view file) {
  std::vector<std::string> out;
  const json::value* value = find(table, key);
  if (value == nullptr) return out;
  if (!value->is_array()) return bad(file, fmt::format("{}.{} must be a list of strings", where, key));
  for (const json::value& item : value->get_array()) {
    if (!item.is_string() || item.get_string().empty())
      return bad(file, fmt::format("{}.{} must be a list of strings that aren't empty", where, key));
    out.emplace_back(item.get_string().data(), item.get_string().size());
  }
  return out;
}

Result<UserRule> read_rule(const json::value& value, size_t nth, std::string_view file) {
  const std::string where = fmt::format("rule {}", nth);
  if (!value.is_object()) return bad(file, where + " must be a table");
  const json::object& table = value.get_object();
  SLM_CHECK(only_keys(table, {"name", "pattern", "action", "ignore_case", "keywords", "context"}, where, file));
  UserRule rule;
  rule.name = get_string(table, "name");
  rule.pattern = get_string(table, "pattern");
  if (rule.name.empty()) return bad(file, where + " has no name");
  if (rule.pattern.empty()) return bad(file, fmt::format("rule '{}' has no pattern", rule.name));
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  if (!std::all_of(rule.name.begin(), rule.name.end(), plain) || rule.name.size() > 40)
    return bad(file, fmt::format("rule name '{}' must be at most 40 of a-z, 0-9 and _", rule.name));
  if (std::find(kTypeNames.begin(), kTypeNames.end(), rule.name) != kTypeNames.end())
    return bad(file, fmt::format("rule '{}' has the name of a built-in type", rule.name));
  if (table.contains("action")) {
    const auto action = parse_action(get_string(table, "action"));
    if (!action)
      return bad(file, fmt::format("rule '{}': action must be one of {}", rule.name, fmt::join(kActionNames, ", ")));
    rule.action = *action;
  }
  if (table.contains("ignore_case")) {
    const auto flag = get_bool(table, "ignore_case");
    if (!flag) return bad(file, fmt::format("rule '{}': ignore_case must be true or false", rule.name));
    rule.ignore_case = *flag;
  }
  SLM_TRY(rule.keywords, strings(table, "keywords", where, file));
  SLM_TRY(rule.context, strings(table, "context", where, file));
  return rule;
}

Status read_types(const json::object& table, Rules& rules, std::string_view file) {
  for (const auto& member : table) {
    const std::string_view key = member.key();
    const auto type = std::find(kTypeNames.begin(), kTypeNames.end(), key);
    if (type == kTypeNames.end())
      return bad(file, fmt::format("unknown type '{}' in [types]; known: {}", key, fmt::join(kTypeNames, ", ")));
    const auto action = member.value().is_string() ? parse_action(member.value().get_string()) : std::nullopt;
    if (!action) return bad(file, fmt::format("types.{} must be one of {}", key, fmt::join(kActionNames, ", ")));
    rules.builtin[static_cast<size_t>(type - kTypeNames.begin())] = *action;
  }
  return {};
}

Status read_bound(const json::object& table, GateBound& bound, std::string_view where, std::string_view file) {
  for (const auto& [key, target] :
       {std::pair{"recall", &bound.recall}, std::pair{"false_positives", &bound.false_positives}}) {
    if (!table.contains(key)) continue;
    const auto value = get_number(table, key);
    if (!value || !(*value >= 0 && *value <= 1))
      return bad(file, fmt::format("{}.{} must be a number from 0 to 1", where, key));
    *target = *value;
  }
  return {};
}

Status read_gate(const json::object& table, Rules& rules, std::string_view file) {
  SLM_CHECK(read_bound(table, rules.gate, "gate", file));
  for (const auto& member : table) {
    const std::string key(member.key());
    if (key == "recall" || key == "false_positives") continue;
    const std::string where = "gate." + key;
    bool known = false;
    for (size_t t = 0; t < rules.n_types(); ++t) known = known || rules.type_name(static_cast<TypeIndex>(t)) == key;
    if (!known || !member.value().is_object())
      return bad(
          file,
          fmt::format("unknown key '{}' in [gate]; known: recall, false_positives and tables named like a type", key));
    const json::object& own = member.value().get_object();
    SLM_CHECK(only_keys(own, {"recall", "false_positives"}, where, file));
    GateBound bound = rules.gate;
    SLM_CHECK(read_bound(own, bound, where, file));
    rules.gate_of[key] = bound;
  }
  return {};
}

}  // namespace

Result<Rules> parse_rules(std::string_view toml, std::string_view name) {
  SLM_TRY(const json::value value, parse_toml(toml, name));
  const json::object& root = value.get_object();
  SLM_CHECK(only_keys(root, {"types", "rule", "allow", "gate"}, "the file", name));
  Rules rules;
  for (const std::string_view key : {"types", "allow", "gate"})
    if (root.contains(key) && get_object(root, key) == nullptr)
      return bad(name, fmt::format("'{}' must be a table", key));
  if (const json::object* types = get_object(root, "types")) SLM_CHECK(read_types(*types, rules, name));
  if (const json::value* list = find(root, "rule")) {
    if (!list->is_array()) return bad(name, "write each rule as [[rule]]");
    for (const json::value& item : list->get_array()) {
      SLM_TRY(UserRule rule, read_rule(item, rules.user.size() + 1, name));
      for (const UserRule& other : rules.user)
        if (other.name == rule.name) return bad(name, fmt::format("two rules are named '{}'", rule.name));
      rules.user.push_back(std::move(rule));
    }
  }
  if (const json::object* allow = get_object(root, "allow")) {
    SLM_CHECK(only_keys(*allow, {"values"}, "[allow]", name));
    SLM_TRY(const auto values, strings(*allow, "values", "allow", name));
    for (const std::string& v : values) rules.allowed.insert(fold_case(v));
  }
  if (const json::object* gate = get_object(root, "gate")) SLM_CHECK(read_gate(*gate, rules, name));
  // A bad pattern is the file's fault: say so now.
  auto detector = Detector::create(rules.user, std::vector<bool>(kNumBuiltinTypes, false));
  if (!detector) return bad(name, detector.error().message);
  return rules;
}

Result<Rules> read_rules(const std::filesystem::path& path) {
  SLM_TRY(const std::string text, read_file(path, 1 << 20));
  return parse_rules(text, path.string());
}

json::object Rules::to_json() const {
  json::object out, types;
  for (size_t t = 0; t < kNumBuiltinTypes; ++t) types[kTypeNames[t]] = action_name(builtin[t]);
  out["types"] = std::move(types);
  json::array list;
  for (const UserRule& rule : user) {
    json::object o;
    o["name"] = rule.name;
    o["action"] = action_name(rule.action);
    // A pattern may name what is private: its digest says whether it is the same.
    std::string all = rule.pattern + (rule.ignore_case ? "\ni" : "\n");
    for (const auto& word : rule.keywords) all += "\nk" + word;
    for (const auto& word : rule.context) all += "\nc" + word;
    o["digest"] = sha256_hex(all);
    list.push_back(std::move(o));
  }
  out["rules"] = std::move(list);
  std::vector<std::string> values(allowed.begin(), allowed.end());
  std::sort(values.begin(), values.end());
  std::string joined;
  for (const auto& v : values) joined += v + "\n";
  out["allowed"] = values.empty() ? "" : sha256_hex(joined);
  return out;
}

}  // namespace slm::scrub
