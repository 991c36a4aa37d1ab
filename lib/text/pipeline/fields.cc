#include "text/pipeline/fields.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/unicode.h"

namespace slm::text::pipeline {
namespace {

tl::unexpected<Error> wrong(const Part& part, std::string_view key, std::string_view wanted) {
  return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: {}: \"{}\" is not {}", part.where, key, wanted));
}

}  // namespace

Result<Part> read_part(const json::value& value, std::string_view kind) {
  const auto* object = value.if_object();
  if (object == nullptr)
    return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: a {} that is not an object", kind));
  const std::string_view type = get_string(*object, "type");
  if (type.empty()) return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: a {} without a type", kind));
  return Part{object, fmt::format("{} {}", kind, type.substr(0, 64)), std::string(type)};
}

Status only_fields(const Part& part, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : *part.object) {
    if (key == "type" || std::find(known.begin(), known.end(), std::string_view(key)) != known.end()) continue;
    return fail(
        ErrorCode::kUnsupportedModel,
        fmt::format("tokenizer.json: {} has the field \"{}\"; this build knows type{}{}", part.where,
                    std::string_view(key).substr(0, 64), known.size() == 0 ? "" : ", ", fmt::join(known, ", ")));
  }
  return {};
}

tl::unexpected<Error> unknown_type(const Part& part, std::string_view known) {
  return fail(ErrorCode::kUnsupportedModel, fmt::format("tokenizer.json: {}; this build knows {}", part.where, known));
}

Result<std::string> text_field(const Part& part, std::string_view key) {
  const auto* value = find(*part.object, key);
  if (value == nullptr || !value->is_string()) return wrong(part, key, "a string");
  return std::string(value->get_string());
}

Result<std::string> text_field_or(const Part& part, std::string_view key, std::string otherwise) {
  const auto* value = find(*part.object, key);
  if (value == nullptr || value->is_null()) return otherwise;
  return text_field(part, key);
}

Result<bool> bool_field(const Part& part, std::string_view key, std::optional<bool> otherwise) {
  const auto* value = find(*part.object, key);
  if ((value == nullptr || value->is_null()) && otherwise) return *otherwise;
  if (value == nullptr || !value->is_bool()) return wrong(part, key, "true or false");
  return value->get_bool();
}

Result<char32_t> char_field(const Part& part, std::string_view key) {
  SLM_TRY(const std::string text, text_field(part, key));
  const auto points = to_code_points(text);
  if (points.size() != 1) return wrong(part, key, "one character");
  return points[0];
}

Result<const json::array*> array_field(const Part& part, std::string_view key) {
  const auto* value = find(*part.object, key);
  if (value == nullptr || !value->is_array()) return wrong(part, key, "an array");
  return &value->get_array();
}

}  // namespace slm::text::pipeline
