// What the curator wants: an action for each type, rules of their own, values to leave alone, bounds of the gate. Read
// from TOML:
//
//   [types]                      # action of a built-in type: surrogate, mask, remove or none
//   email = "mask"
//   [[rule]]                     # a type of your own
//   name = "customer_number"
//   pattern = 'CN-\d{6}'         # PCRE2; group 1 is the value, if there is one
//   action = "surrogate"         # the default
//   ignore_case = false
//   keywords = ["CN-"]           # the pattern is tried only in texts with one of these
//   context = ["customer"]       # one of these must stand within 60 bytes before
//   [allow]
//   values = ["help@shop.example"]   # whole values that stay, whatever their case
//   [gate]                       # bounds of --answer-key, for all types …
//   recall = 0.95                # share of planted values that must be gone
//   false_positives = 0.05       # share of decoys that may change
//   [gate.person]                # … or one
//   recall = 0.9
//
// Errors: kBadInput with file, line and column or the key: unknown keys, unknown types and actions, bad patterns.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "schema/json.h"
#include "scrub/detect/detector.h"
#include "scrub/detect/types.h"

namespace slm::scrub {

struct GateBound {
  double recall = 0.95;           // least
  double false_positives = 0.05;  // most, of decoys
};

struct Rules {
  std::vector<Action> builtin = std::vector<Action>(kNumBuiltinTypes, Action::kSurrogate);
  std::vector<UserRule> user;
  std::unordered_set<std::string> allowed;  // folded
  GateBound gate;
  std::map<std::string, GateBound> gate_of;  // by type name

  size_t n_types() const { return kNumBuiltinTypes + user.size(); }
  std::string_view type_name(TypeIndex type) const {
    return type < kNumBuiltinTypes ? kTypeNames[type] : std::string_view(user[type - kNumBuiltinTypes].name);
  }
  Action action(TypeIndex type) const {
    return type < kNumBuiltinTypes ? builtin[type] : user[type - kNumBuiltinTypes].action;
  }
  // What a manifest says of them: everything that shapes the result.
  json::object to_json() const;
};

Result<Rules> parse_rules(std::string_view toml, std::string_view name);
Result<Rules> read_rules(const std::filesystem::path& path);

}  // namespace slm::scrub
