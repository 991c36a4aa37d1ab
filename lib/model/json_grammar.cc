#include "model/json_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "model/json_numbers.h"

namespace slm::model {
namespace {

using Sequence = ByteGrammar::Sequence;

constexpr uint32_t kMaxString = 2048, kMaxItems = 256, kMaxPairs = 64;
constexpr int kMaxSchemaDepth = 64;

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
constexpr Keyword kKeywords[] = {
    {"type", kAnything},
    {"enum", kAnything},
    {"const", kAnything},
    {"anyOf", kAnything},
    {"oneOf", kAnything},
    {"allOf", kAnything},
    {"$ref", kAnything},
    {"properties", kObject},
    {"required", kObject},
    {"additionalProperties", kObject},
    {"items", kArray},
    {"prefixItems", kArray},
    {"minItems", kArray},
    {"maxItems", kArray},
    {"minLength", kString},
    {"maxLength", kString},
    {"minimum", kNumber | kInteger},
    {"maximum", kNumber | kInteger},
    {"exclusiveMinimum", kNumber | kInteger},
    {"exclusiveMaximum", kNumber | kInteger},
    {"$defs", kNothing},
    {"definitions", kNothing},
    {"title", kNothing},
    {"description", kNothing},
    {"default", kNothing},
    {"examples", kNothing},
    {"$schema", kNothing},
    {"$id", kNothing},
    {"$comment", kNothing},
    {"deprecated", kNothing},
    {"readOnly", kNothing},
    {"writeOnly", kNothing},
    {"format", kNothing},
    {"strict", kNothing},
};

constexpr std::pair<std::string_view, unsigned> kTypeNames[] = {
    {"null", kNull},     {"boolean", kBoolean}, {"integer", kInteger}, {"number", kNumber | kInteger},
    {"string", kString}, {"array", kArray},     {"object", kObject}};

// These say by themselves what the value is.
constexpr std::string_view kWholes[] = {"enum", "const", "anyOf", "oneOf", "allOf", "$ref"};

unsigned type_of(const json::value& value) {
  if (value.is_null()) return kNull;
  if (value.is_bool()) return kBoolean;
  if (value.is_string()) return kString;
  if (value.is_array()) return kArray;
  if (value.is_object()) return kObject;
  if (value.is_double() && value.get_double() != std::floor(value.get_double())) return kNumber;
  return kInteger;
}

// A keyword's name, if it looks like one: a schema may come out of a logged call, whose text no message shows.
std::string shown(std::string_view keyword) {
  const bool plain = keyword.size() <= 32 && std::all_of(keyword.begin(), keyword.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '$';
                     });
  return plain ? std::string(keyword) : "that isn't one of JSON Schema";
}

tl::unexpected<Error> unsupported(std::string_view keyword, std::string_view why) {
  return fail(ErrorCode::kUnsupportedModel, fmt::format("the schema's keyword {}: {}", shown(keyword), why));
}
tl::unexpected<Error> ill_formed(std::string_view keyword, std::string_view wanted) {
  return fail(ErrorCode::kBadInput, fmt::format("the schema's keyword {} should be {}", shown(keyword), wanted));
}

class Compiler {
 public:
  Compiler(ByteGrammar& grammar, const json::value& root) : g_(grammar), root_(root) {}
  Result<uint32_t> value(const json::value& schema, int depth);

 private:
  Result<uint32_t> whole(const json::object& schema, std::string_view keyword, unsigned types, int depth);
  Result<uint32_t> alternatives(const json::array& list, std::string_view keyword, int depth);
  Result<uint32_t> reference(std::string_view target, int depth);
  Result<uint32_t> string(const json::object& schema);
  Result<uint32_t> number(const json::object& schema, unsigned types);
  Result<uint32_t> array(const json::object& schema, int depth);
  Result<uint32_t> object(const json::object& schema, int depth);
  Result<unsigned> types_of(const json::object& schema) const;
  const json::value* resolve(std::string_view target) const;
  bool disjoint(const json::value& a, const json::value& b, int depth) const;

  uint32_t anything();
  uint32_t characters();
  uint32_t text_rule(uint32_t min, uint32_t max);
  uint32_t map_of(uint32_t item);
  void literal(Sequence& to, const json::value& value);
  void gap(Sequence& to);
  void separator(Sequence& to, char mark);
  Result<uint32_t> bound(const json::object& schema, std::string_view keyword, uint32_t otherwise) const;

  ByteGrammar& g_;
  const json::value& root_;
  std::map<std::string, uint32_t, std::less<>> references_;
  std::optional<uint32_t> anything_, characters_, gap_;
};

// At most one space.
void Compiler::gap(Sequence& to) {
  if (!gap_) gap_ = g_.rule_of({{g_.range(' ', ' ')}});
  to.push_back(ByteGrammar::repeat(*gap_, 0, 1));
}

void Compiler::separator(Sequence& to, char mark) {
  g_.text(to, std::string_view(&mark, 1));
  gap(to);
}

// One character of a string: itself or an escape; a surrogate pair is one character.
uint32_t Compiler::characters() {
  if (characters_) return *characters_;
  ByteSet plain;
  for (unsigned b = 0x20; b < 0x80; ++b) plain.set(b, b != '"' && b != '\\');
  const auto tail = g_.range(0x80, 0xbf);
  const auto hex_of = [&](std::string_view digits) {
    ByteSet set;
    for (const char c : digits) set.set(static_cast<uint8_t>(c));
    return g_.bytes(set);
  };
  const auto any_hex = hex_of("0123456789abcdefABCDEF");
  const auto d = hex_of("dD"), back = hex_of("\\"), u = hex_of("u");
  // Well-formed UTF-8 (RFC 3629, section 4) and \u escapes without lone surrogates.
  characters_ = g_.rule_of({
      {g_.bytes(plain)},
      {back, hex_of("\"\\/bfnrt")},
      {g_.range(0xc2, 0xdf), tail},
      {g_.range(0xe0, 0xe0), g_.range(0xa0, 0xbf), tail},
      {g_.range(0xe1, 0xec), tail, tail},
      {g_.range(0xed, 0xed), g_.range(0x80, 0x9f), tail},
      {g_.range(0xee, 0xef), tail, tail},
      {g_.range(0xf0, 0xf0), g_.range(0x90, 0xbf), tail, tail},
      {g_.range(0xf1, 0xf3), tail, tail, tail},
      {g_.range(0xf4, 0xf4), g_.range(0x80, 0x8f), tail, tail},
      {back, u, hex_of("0123456789abcefABCEF"), any_hex, any_hex, any_hex},
      {back, u, d, hex_of("01234567"), any_hex, any_hex},
      {back, u, d, hex_of("89abAB"), any_hex, any_hex, back, u, d, hex_of("cdefCDEF"), any_hex, any_hex},
  });
  return *characters_;
}

uint32_t Compiler::text_rule(uint32_t min, uint32_t max) {
  const auto quote = g_.range('"', '"');
  return g_.rule_of({{quote, ByteGrammar::repeat(characters(), min, max), quote}});
}

uint32_t Compiler::map_of(uint32_t item) {
  Sequence pair{ByteGrammar::call(text_rule(0, kMaxString))};
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
uint32_t Compiler::anything() {
  if (anything_) return *anything_;
  const uint32_t rule = g_.add_rule(true);
  anything_ = rule;
  for (const std::string_view word : {"null", "true", "false"}) {
    Sequence sequence;
    g_.text(sequence, word);
    g_.add_alternative(rule, std::move(sequence));
  }
  g_.add_alternative(rule, {ByteGrammar::call(number_rule(g_))});
  g_.add_alternative(rule, {ByteGrammar::call(text_rule(0, kMaxString))});
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
void Compiler::literal(Sequence& to, const json::value& value) {
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

// A count such as maxItems.
Result<uint32_t> Compiler::bound(const json::object& schema, std::string_view keyword, uint32_t otherwise) const {
  const json::value* value = schema.if_contains(keyword);
  if (value == nullptr) return otherwise;
  const auto count = get_number(schema, keyword);
  if (!count || *count < 0 || *count != std::floor(*count)) return ill_formed(keyword, "a whole number");
  return static_cast<uint32_t>(std::min(*count, 1e6));
}

Result<unsigned> Compiler::types_of(const json::object& schema) const {
  const json::value* type = schema.if_contains("type");
  if (type == nullptr) {
    unsigned types = kNothing;
    for (const Keyword& keyword : kKeywords)
      if (keyword.types != kAnything && schema.contains(keyword.name)) types |= keyword.types;
    return types == kNothing ? unsigned{kAnything} : types;
  }
  const auto one = [](const json::value& name) -> Result<unsigned> {
    if (name.is_string())
      for (const auto& [known, types] : kTypeNames)
        if (known == std::string_view(name.get_string())) return types;
    return ill_formed("type", "null, boolean, integer, number, string, array, object or a list of them");
  };
  if (!type->is_array()) return one(*type);
  unsigned types = kNothing;
  for (const auto& name : type->get_array()) {
    SLM_TRY(const unsigned t, one(name));
    types |= t;
  }
  if (types == kNothing) return ill_formed("type", "a list of at least one type");
  return types;
}

// The part of the document that "#", "#/$defs/x" or another JSON pointer names (RFC 6901); null if there is none.
const json::value* Compiler::resolve(std::string_view target) const {
  if (!target.starts_with('#')) return nullptr;
  boost::system::error_code ec;
  return root_.find_pointer(target.substr(1), ec);
}

Result<uint32_t> Compiler::reference(std::string_view target, int depth) {
  if (const auto known = references_.find(target); known != references_.end()) return known->second;
  const json::value* schema = resolve(target);
  if (schema == nullptr) return unsupported("$ref", "only parts of the same document, by # or #/…, can be named");
  const uint32_t rule = g_.add_rule(true);
  references_.emplace(target, rule);
  SLM_TRY(const uint32_t inner, value(*schema, depth + 1));
  g_.add_alternative(rule, {ByteGrammar::call(inner)});
  return rule;
}

Result<uint32_t> Compiler::value(const json::value& schema, int depth) {
  if (depth > kMaxSchemaDepth)
    return fail(ErrorCode::kUnsupportedModel, fmt::format("the schema nests deeper than {}", kMaxSchemaDepth));
  if (schema.is_bool()) {
    if (schema.get_bool()) return anything();
    return fail(ErrorCode::kUnsupportedModel, "the schema false allows no value");
  }
  const auto* object_schema = schema.if_object();
  if (object_schema == nullptr) return fail(ErrorCode::kBadInput, "a schema is neither an object nor true or false");
  const json::object& s = *object_schema;
  SLM_TRY(const unsigned types, types_of(s));
  std::string_view whole_by;
  for (const auto& [key, unused] : s) {
    const std::string_view name = key;
    const auto* known = std::find_if(std::begin(kKeywords), std::end(kKeywords),
                                     [&](const Keyword& keyword) { return keyword.name == name; });
    if (known == std::end(kKeywords)) return unsupported(name, "not supported");
    if (std::find(std::begin(kWholes), std::end(kWholes), name) == std::end(kWholes)) continue;
    if (!whole_by.empty()) return unsupported(name, fmt::format("not supported beside {}", whole_by));
    whole_by = known->name;
  }
  if (!whole_by.empty()) {
    for (const Keyword& keyword : kKeywords)
      if (keyword.types != kAnything && (keyword.types & types) != 0 && s.contains(keyword.name))
        return unsupported(keyword.name, fmt::format("not supported beside {}", whole_by));
    return whole(s, whole_by, types, depth);
  }
  if (types == kAnything) return anything();

  const uint32_t rule = g_.add_rule();
  const auto word = [&](std::string_view text) {
    Sequence sequence;
    g_.text(sequence, text);
    g_.add_alternative(rule, std::move(sequence));
  };
  const auto call = [&](uint32_t inner) { g_.add_alternative(rule, {ByteGrammar::call(inner)}); };
  if (types & kNull) word("null");
  if (types & kBoolean) word("true"), word("false");
  if (types & (kInteger | kNumber)) {
    SLM_TRY(const uint32_t inner, number(s, types));
    call(inner);
  }
  if (types & kString) {
    SLM_TRY(const uint32_t inner, string(s));
    call(inner);
  }
  if (types & kArray) {
    SLM_TRY(const uint32_t inner, array(s, depth));
    call(inner);
  }
  if (types & kObject) {
    SLM_TRY(const uint32_t inner, object(s, depth));
    call(inner);
  }
  return rule;
}

Result<uint32_t> Compiler::whole(const json::object& schema, std::string_view keyword, unsigned types, int depth) {
  const json::value& given = schema.at(keyword);
  if (keyword == "$ref" || keyword == "anyOf" || keyword == "oneOf" || keyword == "allOf") {
    if (schema.contains("type")) {
      // A type beside them changes nothing only if every alternative has no other.
      const bool same = given.is_array() &&
                        std::all_of(given.get_array().begin(), given.get_array().end(), [&](const json::value& a) {
                          const auto* o = a.if_object();
                          if (o == nullptr || !o->contains("type")) return false;
                          const auto inner = types_of(*o);
                          return inner && (*inner & ~types) == 0;
                        });
      if (!same) return unsupported("type", fmt::format("not supported beside {}", keyword));
    }
    if (keyword != "$ref") {
      if (!given.is_array() || given.get_array().empty()) return ill_formed(keyword, "a list of schemas");
      return alternatives(given.get_array(), keyword, depth);
    }
    if (!given.is_string()) return ill_formed(keyword, "a text");
    return reference(given.get_string(), depth);
  }
  json::array values;
  if (keyword == "const") {
    values.push_back(given);
  } else if (given.is_array()) {
    values = given.get_array();
  } else {
    return ill_formed(keyword, "a list");
  }
  const uint32_t rule = g_.add_rule();
  bool any = false;
  for (const auto& item : values) {
    if ((type_of(item) & types) == 0) continue;
    Sequence sequence;
    literal(sequence, item);
    g_.add_alternative(rule, std::move(sequence));
    any = true;
  }
  if (!any) return ill_formed(keyword, "at least one value of the schema's type");
  return rule;
}

Result<uint32_t> Compiler::alternatives(const json::array& list, std::string_view keyword, int depth) {
  if (keyword == "allOf" && list.size() != 1) return unsupported(keyword, "only a list of one is supported");
  if (keyword == "oneOf")
    for (size_t i = 0; i < list.size(); ++i)
      for (size_t k = i + 1; k < list.size(); ++k)
        if (!disjoint(list[i], list[k], 0))
          return unsupported(keyword,
                             "supported only where its alternatives exclude one another by type, by enum or const, or "
                             "by such a required property");
  const uint32_t rule = g_.add_rule();
  for (const auto& item : list) {
    SLM_TRY(const uint32_t inner, value(item, depth + 1));
    g_.add_alternative(rule, {ByteGrammar::call(inner)});
  }
  return rule;
}

// True if no value is valid under both, as far as types, given values and required properties tell.
bool Compiler::disjoint(const json::value& a, const json::value& b, int depth) const {
  if (depth > kMaxSchemaDepth) return false;
  const auto* x = a.if_object();
  const auto* y = b.if_object();
  if (x == nullptr || y == nullptr) return false;
  for (const bool swapped : {false, true}) {
    const json::object& o = swapped ? *y : *x;
    const json::value& other = swapped ? a : b;
    if (const auto* target = o.if_contains("$ref"); target != nullptr && target->is_string()) {
      const json::value* schema = resolve(target->get_string());
      return schema != nullptr && disjoint(*schema, other, depth + 1);
    }
    for (const char* key : {"anyOf", "oneOf"})
      if (const auto* list = get_array(o, key))
        return std::all_of(list->begin(), list->end(),
                           [&](const json::value& item) { return disjoint(item, other, depth + 1); });
  }
  const auto given = [](const json::object& o) -> std::optional<json::array> {
    if (const auto* value = o.if_contains("const")) return json::array{*value};
    if (const auto* list = get_array(o, "enum")) return *list;
    return std::nullopt;
  };
  const auto values_x = given(*x), values_y = given(*y);
  if (values_x && values_y)
    return std::none_of(values_x->begin(), values_x->end(), [&](const json::value& v) {
      return std::find(values_y->begin(), values_y->end(), v) != values_y->end();
    });
  // Only what `type` itself says excludes: other keywords let values of other types pass.
  const auto types = [&](const json::object& o, const std::optional<json::array>& values) -> unsigned {
    unsigned all = kAnything;
    if (o.contains("type")) all = types_of(o).value_or(unsigned{kAnything});
    if (!values) return all;
    unsigned given_types = kNothing;
    for (const auto& value : *values) given_types |= type_of(value);
    return all & given_types;
  };
  const unsigned types_x = types(*x, values_x), types_y = types(*y, values_y);
  if ((types_x & types_y) == 0) return true;
  if (types_x != kObject || types_y != kObject) return false;
  const auto *in_x = get_object(*x, "properties"), *in_y = get_object(*y, "properties");
  const auto *must_x = get_array(*x, "required"), *must_y = get_array(*y, "required");
  if (in_x == nullptr || in_y == nullptr || must_x == nullptr || must_y == nullptr) return false;
  for (const auto& [key, schema] : *in_x) {
    const json::value name(key);
    const auto* other = in_y->if_contains(key);
    if (other != nullptr && std::find(must_x->begin(), must_x->end(), name) != must_x->end() &&
        std::find(must_y->begin(), must_y->end(), name) != must_y->end() && disjoint(schema, *other, depth + 1))
      return true;
  }
  return false;
}

Result<uint32_t> Compiler::string(const json::object& schema) {
  SLM_TRY(const uint32_t min, bound(schema, "minLength", 0));
  SLM_TRY(const uint32_t max, bound(schema, "maxLength", std::max(min, kMaxString)));
  if (max < min) return ill_formed("maxLength", "at least minLength");
  return text_rule(min, max);
}

Result<uint32_t> Compiler::number(const json::object& schema, unsigned types) {
  NumberBounds bounds;
  bounds.whole = (types & kNumber) == 0;
  const std::pair<const char*, std::optional<double>*> fields[] = {{"minimum", &bounds.min},
                                                                   {"maximum", &bounds.max},
                                                                   {"exclusiveMinimum", &bounds.above},
                                                                   {"exclusiveMaximum", &bounds.below}};
  for (const auto& [key, to] : fields) {
    if (!schema.contains(key)) continue;
    *to = get_number(schema, key);
    if (!*to) return ill_formed(key, "a number");
    if (!bounds.whole && **to != std::floor(**to))
      return unsupported(key, "of a number only whole bounds are supported");
  }
  const auto rule = bounded_number_rule(g_, bounds);
  if (!rule) return ill_formed("minimum", "a bound that leaves a number of at most 9 digits");
  return *rule;
}

Result<uint32_t> Compiler::array(const json::object& schema, int depth) {
  SLM_TRY(const uint32_t min, bound(schema, "minItems", 0));
  SLM_TRY(uint32_t max, bound(schema, "maxItems", std::max(min, kMaxItems)));
  std::vector<uint32_t> first;
  if (const auto* prefix = schema.if_contains("prefixItems")) {
    if (!prefix->is_array()) return ill_formed("prefixItems", "a list of schemas");
    for (const auto& item : prefix->get_array()) {
      SLM_TRY(const uint32_t rule, value(item, depth + 1));
      first.push_back(rule);
    }
  }
  const auto* items = schema.if_contains("items");
  if (items != nullptr && items->is_array())
    return unsupported("items", "a list is prefixItems in JSON Schema 2020-12");
  std::optional<uint32_t> rest;
  if (items != nullptr && items->is_bool() && !items->get_bool()) {
    max = std::min(max, static_cast<uint32_t>(first.size()));
  } else if (items == nullptr) {
    rest = anything();
  } else if (max > first.size()) {
    SLM_TRY(rest, value(*items, depth + 1));
  }
  if (max < min) return ill_formed("maxItems", "at least minItems");
  // From the last item backwards: what may follow the first k items.
  const auto n_first = std::min(static_cast<uint32_t>(first.size()), max);
  const auto item_after = [&](uint32_t k, uint32_t rule) {
    Sequence sequence;
    if (k > 0) separator(sequence, ',');
    sequence.push_back(ByteGrammar::call(rule));
    return sequence;
  };
  const auto left = [&](uint32_t count) { return count > n_first ? count - n_first : 0; };
  std::vector<Sequence> ends;
  if (max > n_first) {
    if (n_first > 0) {
      ends.push_back({ByteGrammar::repeat(g_.rule_of({item_after(1, *rest)}), left(min), left(max))});
    } else {
      Sequence some = item_after(0, *rest);
      some.push_back(ByteGrammar::repeat(g_.rule_of({item_after(1, *rest)}), min > 0 ? min - 1 : 0, max - 1));
      ends.push_back(std::move(some));
      if (min == 0) ends.emplace_back();
    }
  } else {
    ends.emplace_back();
  }
  uint32_t tail = g_.rule_of(std::move(ends));
  for (uint32_t k = n_first; k-- > 0;) {
    Sequence some = item_after(k, first[k]);
    some.push_back(ByteGrammar::call(tail));
    std::vector<Sequence> both{std::move(some)};
    if (k >= min) both.emplace_back();
    tail = g_.rule_of(std::move(both));
  }
  Sequence out;
  g_.text(out, "[");
  out.push_back(ByteGrammar::call(tail));
  g_.text(out, "]");
  return g_.rule_of({out});
}

Result<uint32_t> Compiler::object(const json::object& schema, int depth) {
  struct Property {
    std::string name;
    uint32_t rule = 0;
    bool required = false;
  };
  std::set<std::string, std::less<>> required;
  std::vector<std::string> beyond;  // required, but not among the properties
  const auto* properties = schema.if_contains("properties");
  if (properties != nullptr && !properties->is_object()) return ill_formed("properties", "an object");
  if (const auto* list = schema.if_contains("required")) {
    if (!list->is_array()) return ill_formed("required", "a list of names");
    for (const auto& name : list->get_array()) {
      if (!name.is_string()) return ill_formed("required", "a list of names");
      const std::string_view text = name.get_string();
      if (required.emplace(text).second && (properties == nullptr || !properties->get_object().contains(text)))
        beyond.emplace_back(text);
    }
  }
  const auto* additional = schema.if_contains("additionalProperties");
  const bool closed = additional != nullptr && additional->is_bool() && !additional->get_bool();
  std::vector<Property> list;
  if (properties != nullptr)
    for (const auto& [key, inner] : properties->get_object()) {
      const bool must = required.count(std::string_view(key)) > 0;
      if (!must && inner.is_bool() && !inner.get_bool()) continue;  // may never be there
      SLM_TRY(const uint32_t rule, value(inner, depth + 1));
      list.push_back({std::string(key), rule, must});
    }
  if (!beyond.empty() && closed) return ill_formed("required", "names of properties, as no other is allowed");
  std::optional<uint32_t> other;
  if (!closed && (list.empty() || !beyond.empty())) {
    if (additional == nullptr) {
      other = anything();
    } else {
      SLM_TRY(other, value(*additional, depth + 1));
    }
  }
  for (auto& name : beyond) list.push_back({std::move(name), *other, true});
  if (list.empty() && other && (properties == nullptr || (additional != nullptr && !additional->is_bool())))
    return map_of(*other);

  // From the last property backwards: what may follow once the properties before it are decided, with one of them
  // written or none.
  uint32_t after[2] = {g_.rule_of({{}}), 0};
  after[1] = after[0];
  for (auto it = list.rbegin(); it != list.rend(); ++it) {
    uint32_t before[2];
    for (const int some : {0, 1}) {
      Sequence written;
      if (some == 1) separator(written, ',');
      g_.text(written, json::serialize(json::string(it->name)));
      separator(written, ':');
      written.push_back(ByteGrammar::call(it->rule));
      written.push_back(ByteGrammar::call(after[1]));
      std::vector<Sequence> both{std::move(written)};
      if (!it->required) both.push_back({ByteGrammar::call(after[some])});
      before[some] = g_.rule_of(std::move(both));
    }
    after[0] = before[0];
    after[1] = before[1];
  }
  Sequence out;
  g_.text(out, "{");
  out.push_back(ByteGrammar::call(after[0]));
  g_.text(out, "}");
  return g_.rule_of({out});
}

}  // namespace

Result<uint32_t> add_json_rules(ByteGrammar& grammar, const json::value& schema) {
  return Compiler(grammar, schema).value(schema, 0);
}

Result<std::shared_ptr<const ByteGrammar>> json_grammar(const json::value& schema) {
  auto grammar = std::make_shared<ByteGrammar>();
  SLM_TRY(const uint32_t value, add_json_rules(*grammar, schema));
  // A SentencePiece vocabulary often has no "{" but with the space before it.
  const uint32_t space = grammar->rule_of({{grammar->range(' ', ' ')}});
  const uint32_t root = grammar->rule_of({{ByteGrammar::repeat(space, 0, 1), ByteGrammar::call(value)}});
  SLM_CHECK(grammar->finish(root));
  return std::shared_ptr<const ByteGrammar>(std::move(grammar));
}

}  // namespace slm::model
