#include "model/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace slm::model {
namespace {

constexpr Keyword kKeywords[] = {
    {"type", kAnything},
    {"enum", kAnything},
    {"const", kAnything},
    {"anyOf", kAnything},
    {"oneOf", kAnything},
    {"allOf", kAnything},
    {"$ref", kAnything},
    {"properties", kObject},
    {"required", kObject},
    {"additionalProperties", kObject},
    {"items", kArray},
    {"prefixItems", kArray},
    {"minItems", kArray},
    {"maxItems", kArray},
    {"minLength", kString},
    {"maxLength", kString},
    {"minimum", kNumber | kInteger},
    {"maximum", kNumber | kInteger},
    {"exclusiveMinimum", kNumber | kInteger},
    {"exclusiveMaximum", kNumber | kInteger},
    {"$defs", kNothing},
    {"definitions", kNothing},
    {"title", kNothing},
    {"description", kNothing},
    {"default", kNothing},
    {"examples", kNothing},
    {"$schema", kNothing},
    {"$id", kNothing},
    {"$comment", kNothing},
    {"deprecated", kNothing},
    {"readOnly", kNothing},
    {"writeOnly", kNothing},
    {"format", kNothing},
    {"strict", kNothing},
};

constexpr std::pair<std::string_view, unsigned> kTypeNames[] = {
    {"null", kNull},     {"boolean", kBoolean}, {"integer", kInteger}, {"number", kNumber | kInteger},
    {"string", kString}, {"array", kArray},     {"object", kObject}};

// These say by themselves what the value is.
constexpr std::string_view kWholes[] = {"enum", "const", "anyOf", "oneOf", "allOf", "$ref"};

// A keyword's name, if it looks like one: a schema may come out of a logged call, whose text no message shows.
std::string shown(std::string_view keyword) {
  const bool plain = keyword.size() <= 32 && std::all_of(keyword.begin(), keyword.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '$';
                     });
  return plain ? std::string(keyword) : "that isn't one of JSON Schema";
}

bool disjoint(const json::value& root, const json::value& a, const json::value& b, int depth) {
  if (depth > kMaxSchemaDepth) return false;
  const auto* x = a.if_object();
  const auto* y = b.if_object();
  if (x == nullptr || y == nullptr) return false;
  for (const bool swapped : {false, true}) {
    const json::object& o = swapped ? *y : *x;
    const json::value& other = swapped ? a : b;
    if (const auto* target = o.if_contains("$ref"); target != nullptr && target->is_string()) {
      const json::value* schema = resolve_reference(root, target->get_string());
      return schema != nullptr && disjoint(root, *schema, other, depth + 1);
    }
    for (const char* key : {"anyOf", "oneOf"})
      if (const auto* list = get_array(o, key))
        return std::all_of(list->begin(), list->end(),
                           [&](const json::value& item) { return disjoint(root, item, other, depth + 1); });
  }
  const auto given = [](const json::object& o) -> std::optional<json::array> {
    if (const auto* value = o.if_contains("const")) return json::array{*value};
    if (const auto* list = get_array(o, "enum")) return *list;
    return std::nullopt;
  };
  const auto values_x = given(*x), values_y = given(*y);
  if (values_x && values_y)
    return std::none_of(values_x->begin(), values_x->end(), [&](const json::value& v) {
      return std::find(values_y->begin(), values_y->end(), v) != values_y->end();
    });
  // Only what `type` itself says excludes: other keywords let values of other types pass.
  const auto types = [&](const json::object& o, const std::optional<json::array>& values) -> unsigned {
    unsigned all = kAnything;
    if (o.contains("type")) all = types_of(o).value_or(unsigned{kAnything});
    if (!values) return all;
    unsigned given_types = kNothing;
    for (const auto& value : *values) given_types |= type_of(value);
    return all & given_types;
  };
  const unsigned types_x = types(*x, values_x), types_y = types(*y, values_y);
  if ((types_x & types_y) == 0) return true;
  if (types_x != kObject || types_y != kObject) return false;
  const auto *in_x = get_object(*x, "properties"), *in_y = get_object(*y, "properties");
  const auto *must_x = get_array(*x, "required"), *must_y = get_array(*y, "required");
  if (in_x == nullptr || in_y == nullptr || must_x == nullptr || must_y == nullptr) return false;
  for (const auto& [key, schema] : *in_x) {
    const json::value name(key);
    const auto* other = in_y->if_contains(key);
    if (other != nullptr && std::find(must_x->begin(), must_x->end(), name) != must_x->end() &&
        std::find(must_y->begin(), must_y->end(), name) != must_y->end() && disjoint(root, schema, *other, depth + 1))
      return true;
  }
  return false;
}

}  // namespace

std::span<const Keyword> keywords() { return kKeywords; }

unsigned type_of(const json::value& value) {
  if (value.is_null()) return kNull;
  if (value.is_bool()) return kBoolean;
  if (value.is_string()) return kString;
  if (value.is_array()) return kArray;
  if (value.is_object()) return kObject;
  if (value.is_double() && value.get_double() != std::floor(value.get_double())) return kNumber;
  return kInteger;
}

tl::unexpected<Error> unsupported_keyword(std::string_view keyword, std::string_view why) {
  return fail(ErrorCode::kUnsupportedModel, fmt::format("the schema's keyword {}: {}", shown(keyword), why));
}
tl::unexpected<Error> ill_formed_keyword(std::string_view keyword, std::string_view wanted) {
  return fail(ErrorCode::kBadInput, fmt::format("the schema's keyword {} should be {}", shown(keyword), wanted));
}
Result<uint32_t> count_of(const json::object& schema, std::string_view keyword, uint32_t otherwise) {
  const json::value* value = schema.if_contains(keyword);
  if (value == nullptr) return otherwise;
  const auto count = get_number(schema, keyword);
  if (!count || *count < 0 || *count != std::floor(*count)) return ill_formed_keyword(keyword, "a whole number");
  return static_cast<uint32_t>(std::min(*count, 1e6));
}

Result<unsigned> types_of(const json::object& schema) {
  const json::value* type = schema.if_contains("type");
  if (type == nullptr) {
    unsigned types = kNothing;
    for (const Keyword& keyword : kKeywords)
      if (keyword.types != kAnything && schema.contains(keyword.name)) types |= keyword.types;
    return types == kNothing ? unsigned{kAnything} : types;
  }
  const auto one = [](const json::value& name) -> Result<unsigned> {
    if (name.is_string())
      for (const auto& [known, types] : kTypeNames)
        if (known == std::string_view(name.get_string())) return types;
    return ill_formed_keyword("type", "null, boolean, integer, number, string, array, object or a list of them");
  };
  if (!type->is_array()) return one(*type);
  unsigned types = kNothing;
  for (const auto& name : type->get_array()) {
    SLM_TRY(const unsigned t, one(name));
    types |= t;
  }
  if (types == kNothing) return ill_formed_keyword("type", "a list of at least one type");
  return types;
}

Result<std::string_view> whole_keyword(const json::object& schema) {
  SLM_TRY(const unsigned types, types_of(schema));
  std::string_view whole_by;
  for (const auto& [key, unused] : schema) {
    const std::string_view name = key;
    const auto* known = std::find_if(std::begin(kKeywords), std::end(kKeywords),
                                     [&](const Keyword& keyword) { return keyword.name == name; });
    if (known == std::end(kKeywords)) return unsupported_keyword(name, "not supported");
    if (std::find(std::begin(kWholes), std::end(kWholes), name) == std::end(kWholes)) continue;
    if (!whole_by.empty()) return unsupported_keyword(name, fmt::format("not supported beside {}", whole_by));
    whole_by = known->name;
  }
  if (!whole_by.empty())
    for (const Keyword& keyword : kKeywords)
      if (keyword.types != kAnything && (keyword.types & types) != 0 && schema.contains(keyword.name))
        return unsupported_keyword(keyword.name, fmt::format("not supported beside {}", whole_by));
  return whole_by;
}

const json::value* resolve_reference(const json::value& root, std::string_view target) {
  if (!target.starts_with('#')) return nullptr;
  boost::system::error_code ec;
  return root.find_pointer(target.substr(1), ec);
}

bool exclude_one_another(const json::value& root, const json::value& a, const json::value& b) {
  return disjoint(root, a, b, 0);
}

}  // namespace slm::model
