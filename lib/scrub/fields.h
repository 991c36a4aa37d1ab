// Every text of a call, so that none is forgotten: message content (text or parts), names of speakers, tool-call
// arguments, tool results, choices, the truth, descriptions and examples of tools, parameters, extra fields, errors;
// and the keys of objects that may hold data.
//
// Left alone because they are no text: roles, ids, types, names of tools and parameters, images and sound (`data:` URLs
// of such a type, base64 parts). An encoded file of any other type may hold text that nobody can look into here: the
// visitor is told.
// Errors: what the visitor returns.
// Threads: pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "call/call.h"

namespace slm::scrub {

// Where a text stands.
enum class Place : uint8_t { kRequest, kAnswer, kOther };  // a message; the message of a choice; all the rest
enum class FieldKind : uint8_t {
  kText,
  kKey,   // of an object; a key that two members would share after it was replaced keeps both
  kFile,  // encoded, and neither image nor sound
};

struct Field {
  Place place = Place::kOther;
  std::string_view label;  // key words, where the key says something of the text
  FieldKind kind = FieldKind::kText;
  size_t index = 0;  // of the message or the choice
};

// Gives back the new text, or nothing to leave it.
using FieldVisitor = std::function<Result<std::optional<std::string>>(const Field& field, std::string_view text)>;
Status visit_fields(CallBody& body, const FieldVisitor& visit);

// Whether a tool, or the format that the answer must have, calls one of its properties so: then it is code.
bool is_property(const CallBody& body, std::string_view name);

}  // namespace slm::scrub
