// Grammar rules of JSON numbers, whole or not, within bounds.
//
// Threads: pure functions.
// Source: RFC 8259, section 6.
#pragma once

#include <optional>

#include "model/byte_grammar.h"

namespace slm::model {

struct NumberBounds {
  bool whole = false;                  // integers only
  std::optional<double> min, max;      // inclusive
  std::optional<double> above, below;  // exclusive
};

// Any number: 15 digits before and after the point, 2 of the exponent.
uint32_t number_rule(ByteGrammar& grammar);
// Without bounds: integers of 15 digits, or any number. With bounds: integers of 15 digits, or numbers of 9 digits with
// 6 after the point and no exponent, so that each reads back as a double on the right side of its bounds.
// Requires: bounds are whole unless `whole`. Nothing if no such number lies within.
std::optional<uint32_t> bounded_number_rule(ByteGrammar& grammar, const NumberBounds& bounds);

}  // namespace slm::model
