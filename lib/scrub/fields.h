// Every text of a call, so that none is forgotten: message content (text or parts), names of speakers, tool-call
// arguments, tool results, choices, the truth, descriptions and examples of tools, parameters, extra fields, errors.
//
// Left alone because they are no text: roles, ids, types, names of tools and parameters, encoded images and sound
// (`data:` URLs, base64 parts).
// Errors: what the visitor returns.
// Threads: pure.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "call/call.h"

namespace slm::scrub {

// Where a text stands.
enum class Place : uint8_t { kRequest, kAnswer, kOther };  // messages; choices; truth, tools, parameters, extra, error

struct Field {
  Place place = Place::kOther;
  std::string_view label;  // key words, where the key says something of the text
};

// Gives back the new text, or nothing to leave it.
using FieldVisitor = std::function<Result<std::optional<std::string>>(const Field& field, std::string_view text)>;
Status visit_fields(CallBody& body, const FieldVisitor& visit);
// The same for one message.
Status visit_message(json::object& message, Place place, const FieldVisitor& visit);

}  // namespace slm::scrub
