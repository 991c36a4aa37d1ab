// Tools → a grammar of the answers that are calls of them, written as the model's chat template writes calls: one of
// the tools' names, arguments of its `parameters` schema (json_grammar.h says which keywords, and how values are
// narrowed). Where a family takes several calls a message, up to 16.
//
// Where arguments are pairs, each property is written once, in the schema's order, and moreover
//   - texts hold nothing of the mark that ends them: not its quote, or not `<` before `/` (of a text with a length
//     bound, not `<` at all)
//   - where a family writes texts without quotes, a property that may be a text and something else is one of the
//     others, so that it reads back as what the schema allows; a text or null is a text
//   - an object without `properties` has no arguments
// Errors: kUnsupportedModel where a schema or the family's form can't be constrained, naming it; kBadInput without
// tools
//   or for one that isn't a definition. Messages count tools, they don't name them.
// Threads: pure functions.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/error.h"
#include "model/byte_grammar.h"
#include "model/call_format.h"
#include "schema/json.h"

namespace slm::model {

// A text of the template with kSpecialMark before each special token in it.
using MarkSpecial = std::function<std::string(std::string_view)>;

Result<std::shared_ptr<const ByteGrammar>> call_grammar(const CallFormat& format, const json::array& tools,
                                                        const MarkSpecial& mark);

}  // namespace slm::model
