#include "model/json_rules.h"

#include <fmt/format.h>

#include "model/json_numbers.h"

namespace slm::model {
namespace {

using Sequence = ByteGrammar::Sequence;

}  // namespace

void add_wide_characters(ByteGrammar& g, uint32_t rule) {
  const auto tail = g.range(0x80, 0xbf);
  for (Sequence sequence : {
           Sequence{g.range(0xc2, 0xdf), tail},
           Sequence{g.range(0xe0, 0xe0), g.range(0xa0, 0xbf), tail},
           Sequence{g.range(0xe1, 0xec), tail, tail},
           Sequence{g.range(0xed, 0xed), g.range(0x80, 0x9f), tail},
           Sequence{g.range(0xee, 0xef), tail, tail},
           Sequence{g.range(0xf0, 0xf0), g.range(0x90, 0xbf), tail, tail},
           Sequence{g.range(0xf1, 0xf3), tail, tail, tail},
           Sequence{g.range(0xf4, 0xf4), g.range(0x80, 0x8f), tail, tail},
       })
    g.add_alternative(rule, std::move(sequence));
}

// At most one space.
void JsonRules::gap(Sequence& to) {
  if (!gap_) gap_ = g_.rule_of({{g_.range(' ', ' ')}});
  to.push_back(ByteGrammar::repeat(*gap_, 0, 1));
}

void JsonRules::separator(Sequence& to, char mark) {
  g_.text(to, std::string_view(&mark, 1));
  gap(to);
}

// One character of a string: itself or an escape; a surrogate pair is one character.
uint32_t JsonRules::characters() {
  if (characters_) return *characters_;
  ByteSet plain;
  for (unsigned b = 0x20; b < 0x80; ++b) plain.set(b, b != '"' && b != '\\');
  const auto hex_of = [&](std::string_view digits) {
    ByteSet set;
    for (const char c : digits) set.set(static_cast<uint8_t>(c));
    return g_.bytes(set);
  };
  const auto any_hex = hex_of("0123456789abcdefABCDEF");
  const auto d = hex_of("dD"), back = hex_of("\\"), u = hex_of("u");
  // \u escapes come without lone surrogates.
  characters_ = g_.rule_of({
      {g_.bytes(plain)},
      {back, hex_of("\"\\/bfnrt")},
      {back, u, hex_of("0123456789abcefABCEF"), any_hex, any_hex, any_hex},
      {back, u, d, hex_of("01234567"), any_hex, any_hex},
      {back, u, d, hex_of("89abAB"), any_hex, any_hex, back, u, d, hex_of("cdefCDEF"), any_hex, any_hex},
  });
  add_wide_characters(g_, *characters_);
  return *characters_;
}

uint32_t JsonRules::text(uint32_t min, uint32_t max) {
  const auto quote = g_.range('"', '"');
  return g_.rule_of({{quote, ByteGrammar::repeat(characters(), min, max), quote}});
}

uint32_t JsonRules::map_of(uint32_t item) {
  Sequence pair{ByteGrammar::call(text(0, kMaxString))};
  separator(pair, ':');
  pair.push_back(ByteGrammar::call(item));
  Sequence more;
  separator(more, ',');
  more.insert(more.end(), pair.begin(), pair.end());
  Sequence some;
  g_.text(some, "{");
  some.insert(some.end(), pair.begin(), pair.end());
  some.push_back(ByteGrammar::repeat(g_.rule_of({more}), 0, kMaxPairs - 1));
  g_.text(some, "}");
  Sequence none;
  g_.text(none, "{}");
  return g_.rule_of({some, none});
}

// Any JSON value.
uint32_t JsonRules::anything() {
  if (anything_) return *anything_;
  const uint32_t rule = g_.add_rule(true);
  anything_ = rule;
  for (const std::string_view word : {"null", "true", "false"}) {
    Sequence sequence;
    g_.text(sequence, word);
    g_.add_alternative(rule, std::move(sequence));
  }
  g_.add_alternative(rule, {ByteGrammar::call(number_rule(g_))});
  g_.add_alternative(rule, {ByteGrammar::call(text(0, kMaxString))});
  g_.add_alternative(rule, {ByteGrammar::call(map_of(rule))});
  Sequence more;
  separator(more, ',');
  more.push_back(ByteGrammar::call(rule));
  Sequence some, none;
  g_.text(some, "[");
  some.push_back(ByteGrammar::call(rule));
  some.push_back(ByteGrammar::repeat(g_.rule_of({more}), 0, kMaxItems - 1));
  g_.text(some, "]");
  g_.text(none, "[]");
  g_.add_alternative(rule, std::move(some));
  g_.add_alternative(rule, std::move(none));
  return rule;
}

// The one spelling of a given value, with or without spaces after its marks.
void JsonRules::literal(Sequence& to, const json::value& value) {
  const auto list = [&](const auto& items, char open, char close, const auto& write) {
    g_.text(to, std::string_view(&open, 1));
    bool first = true;
    for (const auto& item : items) {
      if (!first) separator(to, ',');
      first = false;
      write(item);
    }
    g_.text(to, std::string_view(&close, 1));
  };
  if (const auto* object = value.if_object()) {
    list(*object, '{', '}', [&](const json::key_value_pair& item) {
      g_.text(to, json::serialize(item.key()));
      separator(to, ':');
      literal(to, item.value());
    });
  } else if (const auto* array = value.if_array()) {
    list(*array, '[', ']', [&](const json::value& item) { literal(to, item); });
  } else if (value.is_double()) {
    g_.text(to, fmt::format("{}", value.get_double()));
  } else {
    g_.text(to, json::serialize(value));
  }
}

}  // namespace slm::model
