// Grammar rules of JSON texts that no schema narrows: strings, any value, maps, the spelling of a given value. White
// space: at most one space after "," and ":".
//
// Threads: one at a time per grammar.
// Source: RFC 8259; RFC 3629, section 4, for well-formed UTF-8.
#pragma once

#include <optional>

#include "model/byte_grammar.h"
#include "schema/json.h"

namespace slm::model {

inline constexpr uint32_t kMaxString = 2048, kMaxItems = 256, kMaxPairs = 64;  // characters, items, properties

class JsonRules {
 public:
  explicit JsonRules(ByteGrammar& grammar) : g_(grammar) {}
  // A string of min to max characters, an escaped one counting as one.
  uint32_t text(uint32_t min, uint32_t max);
  uint32_t anything();
  // An object of any keys.
  uint32_t map_of(uint32_t item);
  // Appends the one spelling of a given value, with or without spaces after its marks.
  void literal(ByteGrammar::Sequence& to, const json::value& value);
  void separator(ByteGrammar::Sequence& to, char mark);

 private:
  uint32_t characters();
  void gap(ByteGrammar::Sequence& to);

  ByteGrammar& g_;
  std::optional<uint32_t> anything_, characters_, gap_;
};

// Appends an alternative for every well-formed UTF-8 character beyond ASCII.
void add_wide_characters(ByteGrammar& grammar, uint32_t rule);

}  // namespace slm::model
