// JSON Schema → a grammar of the JSON texts that an answer may be. Every text of the grammar is valid under the schema;
// the grammar is narrower than the schema where that keeps answers finite and plain:
//   - properties come in the order of the schema (then those that `required` names beyond `properties`), none twice
//   - no property beyond `properties` where there are any; without any, `additionalProperties` is a map of its schema,
//     and without both an object is free
//   - `, ` or `,` and `: ` or `:`, at most one space before the value, no other white space
//   - strings of at most 2,048 characters and arrays of at most 256 items unless the schema's own bounds say otherwise,
//     integers of 15 digits, numbers of 15 digits before and after the point and 2 in the exponent
//   - where `type` is absent it follows from the other keywords
//
// Understood: type (list too), properties, required, additionalProperties, enum, const, items, prefixItems, minItems,
// maxItems, minLength, maxLength, minimum, maximum, exclusiveMinimum, exclusiveMaximum (of numbers only whole bounds),
// anyOf, oneOf (of alternatives that exclude one another), allOf (of one), $ref within the document, $defs,
// definitions. Ignored: title, description, default, examples, $schema, $id, $comment, deprecated, readOnly, writeOnly,
// format, strict. Errors: kUnsupportedModel for any other keyword, by name; kBadInput for a schema that isn't one.
// Threads: pure functions.
// Source: JSON Schema 2020-12, RFC 8259.
#pragma once

#include <memory>
#include <vector>

#include "core/error.h"
#include "model/byte_grammar.h"
#include "schema/json.h"

namespace slm::model {

// The text of one value.
Result<std::shared_ptr<const ByteGrammar>> json_grammar(const json::value& schema);

// Adds the rules of one value to a grammar; returns the value's rule. `root`: the document that references go into.
Result<uint32_t> add_json_rules(ByteGrammar& grammar, const json::value& root, const json::value& schema);

}  // namespace slm::model
