#include "scrub/fields.h"

#include <algorithm>
#include <array>

#include "scrub/replace/json_text.h"

namespace slm::scrub {

namespace {

using Keys = std::initializer_list<std::string_view>;

bool among(std::string_view key, Keys keys) { return std::find(keys.begin(), keys.end(), key) != keys.end(); }

class Walker {
 public:
  Walker(const FieldVisitor& visit, Place place) : visit_(visit), place_(place) {}

  Status text(json::value& value, std::string_view label) {
    const std::string_view old = value.get_string();
    if (old.empty() || old.starts_with("data:")) return {};
    SLM_TRY(auto fresh, visit_({place_, label}, old));
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
        SLM_CHECK(all(member.value(), key_words(member.key().substr(0, 64)), skip));
      }
    }
    return {};
  }

  // A JSON Schema: names of parameters are code, what describes and exemplifies them is text.
  Status schema(json::value& value) {
    if (auto* array = value.if_array()) {
      for (json::value& item : *array) SLM_CHECK(schema(item));
    } else if (auto* object = value.if_object()) {
      for (auto& member : *object) {
        const std::string_view key = member.key();
        if (among(key, {"description", "title", "default", "example", "examples", "enum", "const", "$comment"}) &&
            !member.value().is_object()) {
          SLM_CHECK(all(member.value(), {}, {}));
        } else {
          SLM_CHECK(schema(member.value()));
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
        SLM_CHECK(all(value, {}, {"id", "data", "format"}));
      } else if (!among(key, {"role", "tool_call_id", "id", "type", "status"})) {
        SLM_CHECK(all(value, {}, {"id", "type"}));
      }
    }
    return {};
  }

 private:
  Status content(json::value& value) {
    if (value.is_string()) return text(value, {});
    return all(
        value, {},
        {"type", "id", "format", "detail", "data", "file_data", "file_id", "media_type", "mime_type", "cache_control"});
  }

  const FieldVisitor& visit_;
  Place place_;
};

Status visit_tools(json::array& tools, Walker& walker) {
  for (json::value& tool : tools) SLM_CHECK(walker.schema(tool));
  return {};
}

}  // namespace

Status visit_message(json::object& message, Place place, const FieldVisitor& visit) {
  return Walker(visit, place).message(message);
}

Status visit_fields(CallBody& body, const FieldVisitor& visit) {
  Walker request(visit, Place::kRequest), answer(visit, Place::kAnswer), other(visit, Place::kOther);
  for (json::value& message : body.messages)
    if (auto* object = message.if_object()) SLM_CHECK(request.message(*object));
  for (json::value& choice : body.choices) {
    auto* object = choice.if_object();
    if (object == nullptr) continue;
    for (auto& member : *object) {
      if (member.key() == "message" && member.value().is_object()) {
        SLM_CHECK(answer.message(member.value().get_object()));
      } else if (!among(member.key(), {"finish_reason", "id", "type"})) {
        SLM_CHECK(answer.all(member.value(), {}, {"id", "type"}));
      }
    }
  }
  if (auto* truth = body.truth.if_object()) SLM_CHECK(other.message(*truth));
  SLM_CHECK(visit_tools(body.tools, other));
  for (auto& member : body.params) {
    const std::string_view key = member.key();
    if (key == "response_format" || key == "tool_choice" || key == "functions") {
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
