#include "scrub/fields.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "scrub/detect/names.h"
#include "scrub/replace/json_text.h"

namespace slm::scrub {

namespace {

using Keys = std::initializer_list<std::string_view>;

bool among(std::string_view key, Keys keys) { return std::find(keys.begin(), keys.end(), key) != keys.end(); }

constexpr size_t kShortestEncoded = 24;  // bytes; base64 that is shorter holds nothing and looks like a word

bool is_base64(std::string_view text) {
  return text.size() >= kShortestEncoded && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
                  c == '=' || c == '-' || c == '_' || c == '\n' || c == '\r';
         });
}

// Images, sound and film, but not mark-up (image/svg+xml).
bool is_media(std::string_view type) {
  const std::string folded = fold_case(type);
  if (folded.find("xml") != std::string::npos) return false;
  return folded.starts_with("image/") || folded.starts_with("audio/") || folded.starts_with("video/");
}

// "data:image/png;base64,…" → "image/png"; nothing if the text isn't a whole URL of that kind.
std::optional<std::string_view> encoded_type(std::string_view text) {
  if (!text.starts_with("data:")) return std::nullopt;
  const size_t comma = text.find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  const std::string_view head = text.substr(5, comma - 5);
  if (!head.ends_with(";base64")) return std::nullopt;
  const std::string_view type = head.substr(0, head.size() - 7);
  const bool plain = std::all_of(type.begin(), type.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/.+-_").find(c) != std::string_view::npos;
  });
  const std::string_view payload = text.substr(comma + 1);
  if (!plain || (payload.size() >= kShortestEncoded && !is_base64(payload))) return std::nullopt;
  return type;
}

// "data:text/plain,…": whatever the encoding. Only asked of what ought to be a URL.
bool is_data_url(std::string_view text) {
  return text.starts_with("data:") && text.substr(0, text.find(',')).find(' ') == std::string_view::npos &&
         text.find(',') != std::string_view::npos;
}

// Objects under these keys have names for keys: of parameters, of definitions.
bool names_code(std::string_view key) {
  return among(key, {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"});
}

class Walker {
 public:
  Walker(const FieldVisitor& visit, Place place, size_t index = 0) : visit_(visit), place_(place), index_(index) {}

  Status text(json::value& value, std::string_view label, FieldKind kind = FieldKind::kText) {
    const std::string_view old = value.get_string();
    if (old.empty()) return {};
    SLM_TRY(auto fresh, visit_({place_, label, kind, index_}, old));
    if (fresh) value = json::string(*fresh);
    return {};
  }

  // Everything below a value, but what stands under `skip`.
  Status all(json::value& value, std::string_view label, Keys skip) {
    if (value.is_string()) return text(value, label);
    if (auto* array = value.if_array()) {
      for (json::value& item : *array) SLM_CHECK(all(item, label, skip));
    } else if (auto* object = value.if_object()) {
      for (auto& member : *object) {
        if (among(member.key(), skip)) continue;
        SLM_TRY(const bool done, encoded(*object, member.key(), member.value()));
        if (!done) SLM_CHECK(all(member.value(), key_words(member.key().substr(0, 64)), skip));
      }
      SLM_CHECK(keys(*object, skip));
    }
    return {};
  }

  // A JSON Schema: names of parameters are code, what describes and exemplifies them is text. `names`: the keys here
  // are such names.
  Status schema(json::value& value, bool names = false) {
    if (auto* array = value.if_array()) {
      for (json::value& item : *array) SLM_CHECK(schema(item));
    } else if (auto* object = value.if_object()) {
      for (auto& member : *object) {
        const std::string_view key = member.key();
        if (!names &&
            among(key, {"description", "title", "default", "example", "examples", "enum", "const", "$comment"})) {
          SLM_CHECK(all(member.value(), {}, {}));
        } else {
          SLM_CHECK(schema(member.value(), !names && names_code(key)));
        }
      }
    }
    return {};
  }

  Status message(json::object& message) {
    for (auto& member : message) {
      const std::string_view key = member.key();
      json::value& value = member.value();
      if (key == "content") {
        SLM_CHECK(content(value));
      } else if (key == "tool_calls" || key == "function_call") {
        SLM_CHECK(all(value, {}, {"id", "type", "name", "index", "call_id"}));
      } else if (key == "name") {
        // A tool's name is code; a speaker's may be a person's.
        if (value.is_string() && get_string(message, "role") != "tool") SLM_CHECK(text(value, "full name"));
      } else if (key == "audio") {
        SLM_CHECK(all(value, {}, {"id", "format"}));
      } else if (!among(key, {"role", "tool_call_id", "id", "type", "status"})) {
        SLM_CHECK(all(value, {}, {"id", "type"}));
      }
    }
    return {};
  }

 private:
  Status content(json::value& value) {
    if (value.is_string()) return text(value, {});
    return all(value, {}, {"type", "id", "format", "detail", "file_id", "media_type", "mime_type", "cache_control"});
  }

  // True if the member holds something encoded, or nothing but a link to it: then it is dealt with.
  Result<bool> encoded(const json::object& object, std::string_view key, json::value& value) {
    if (!value.is_string() || !among(key, {"url", "image_url", "data", "file_data"})) return false;
    const std::string_view old = value.get_string();
    if (const auto type = encoded_type(old)) {
      if (!is_media(*type)) SLM_CHECK(text(value, {}, FieldKind::kFile));
      return true;
    }
    if (is_data_url(old)) {
      SLM_CHECK(text(value, {}, FieldKind::kFile));
      return true;
    }
    if (among(key, {"url", "image_url"}) || !is_base64(old)) return false;
    std::string_view type = get_string(object, "media_type");
    if (type.empty()) type = get_string(object, "mime_type");
    // Sound has no type, but "format": "wav" beside it, or what was said; a file without a type may be anything.
    const bool sound = key == "data" && (object.contains("format") || object.contains("transcript"));
    if (key == "data" && type.empty() && !sound) return false;
    if (!sound && !is_media(type)) SLM_CHECK(text(value, {}, FieldKind::kFile));
    return true;
  }

  Status keys(json::object& object, Keys skip) {
    std::vector<std::pair<std::string, std::string>> renamed;
    for (const auto& member : object) {
      if (among(member.key(), skip) || member.key().empty()) continue;
      SLM_TRY(auto fresh, visit_({place_, {}, FieldKind::kKey, index_}, member.key()));
      if (fresh) renamed.emplace_back(member.key(), std::move(*fresh));
    }
    if (renamed.empty()) return {};
    json::object out(object.storage());
    for (auto& member : object) {
      const auto it =
          std::find_if(renamed.begin(), renamed.end(), [&](const auto& r) { return r.first == member.key(); });
      std::string key = it == renamed.end() ? std::string(member.key()) : it->second;
      while (out.contains(key)) key += "_";
      out.emplace(key, std::move(member.value()));
    }
    object = std::move(out);
    return {};
  }

  const FieldVisitor& visit_;
  Place place_;
  size_t index_;
};

bool has_property(const json::value& schema, std::string_view name, bool names = false) {
  if (const auto* array = schema.if_array())
    return std::any_of(array->begin(), array->end(), [&](const json::value& item) { return has_property(item, name); });
  const auto* object = schema.if_object();
  if (object == nullptr) return false;
  if (names && object->contains(name)) return true;
  return std::any_of(object->begin(), object->end(), [&](const auto& member) {
    return has_property(member.value(), name, !names && member.key() == "properties");
  });
}

constexpr std::array<std::string_view, 3> kSchemaParams = {"response_format", "tool_choice", "functions"};

}  // namespace

bool is_property(const CallBody& body, std::string_view name) {
  for (const json::value& tool : body.tools)
    if (has_property(tool, name)) return true;
  return std::any_of(kSchemaParams.begin(), kSchemaParams.end(), [&](std::string_view key) {
    const json::value* schema = find(body.params, key);
    return schema != nullptr && has_property(*schema, name);
  });
}

Status visit_fields(CallBody& body, const FieldVisitor& visit) {
  Walker other(visit, Place::kOther);
  for (size_t i = 0; i < body.messages.size(); ++i)
    if (auto* object = body.messages[i].if_object()) SLM_CHECK(Walker(visit, Place::kRequest, i).message(*object));
  for (size_t i = 0; i < body.choices.size(); ++i) {
    auto* object = body.choices[i].if_object();
    if (object == nullptr) continue;
    for (auto& member : *object) {
      if (member.key() == "message" && member.value().is_object()) {
        SLM_CHECK(Walker(visit, Place::kAnswer, i).message(member.value().get_object()));
      } else if (!among(member.key(), {"finish_reason", "id", "type", "logprobs"})) {
        SLM_CHECK(other.all(member.value(), {}, {"id", "type"}));
      }
    }
  }
  if (auto* truth = body.truth.if_object()) SLM_CHECK(other.message(*truth));
  for (json::value& tool : body.tools) SLM_CHECK(other.schema(tool));
  for (auto& member : body.params) {
    const std::string_view key = member.key();
    if (std::find(kSchemaParams.begin(), kSchemaParams.end(), key) != kSchemaParams.end()) {
      SLM_CHECK(other.schema(member.value()));
    } else {
      SLM_CHECK(other.all(member.value(), key_words(key.substr(0, 64)), {"type", "name", "role", "format", "model"}));
    }
  }
  for (auto& member : body.extra)
    SLM_CHECK(other.all(member.value(), key_words(member.key().substr(0, 64)), {"type", "role", "format"}));
  return other.all(body.error, {}, {"type", "code"});
}

}  // namespace slm::scrub
