// What a JSON schema says, keyword by keyword: which are understood, which types of value it lets through, what part of
// the document a reference names, whether two schemas exclude one another.
//
// Errors: kUnsupportedModel for a keyword that isn't understood, kBadInput for one that is ill-formed, both by name.
// Threads: pure functions.
// Source: JSON Schema 2020-12; RFC 6901 for references.
#pragma once

#include <span>
#include <string_view>

#include "core/error.h"
#include "schema/json.h"

namespace slm::model {

inline constexpr int kMaxSchemaDepth = 64;

// What a keyword speaks about: a value of another type it leaves alone.
enum Types : unsigned {
  kNothing = 0,
  kNull = 1,
  kBoolean = 2,
  kInteger = 4,
  kNumber = 8,  // beside kInteger: numbers that aren't whole
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAnything = 127,
};

struct Keyword {
  std::string_view name;
  unsigned types;  // what it constrains; kNothing: an annotation
};
// Every keyword that is understood.
std::span<const Keyword> keywords();

// The type of one value; a number without a fraction is an integer.
unsigned type_of(const json::value& value);
// The types that `type` names; without it, those that the other keywords speak about.
Result<unsigned> types_of(const json::object& schema);
// The keyword that says by itself what the value is (enum, const, anyOf, oneOf, allOf, $ref); "" if there is none.
// Errors: as above, and where another keyword beside it would have to hold too.
Result<std::string_view> whole_keyword(const json::object& schema);
// The part of the document that "#", "#/$defs/x" or another JSON pointer names; null if there is none.
const json::value* resolve_reference(const json::value& root, std::string_view target);
// True if no value is valid under both, as far as types, given values and required properties tell.
bool exclude_one_another(const json::value& root, const json::value& a, const json::value& b);
// A count such as maxItems.
Result<uint32_t> count_of(const json::object& schema, std::string_view keyword, uint32_t otherwise);

tl::unexpected<Error> unsupported_keyword(std::string_view keyword, std::string_view why);
tl::unexpected<Error> ill_formed_keyword(std::string_view keyword, std::string_view wanted);

}  // namespace slm::model
