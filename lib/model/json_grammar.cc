#include "model/json_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "model/json_numbers.h"
#include "model/json_rules.h"
#include "model/json_schema.h"

namespace slm::model {
namespace {

using Sequence = ByteGrammar::Sequence;

class Compiler {
 public:
  Compiler(ByteGrammar& grammar, const json::value& root) : g_(grammar), root_(root), rules_(grammar) {}
  Result<uint32_t> value(const json::value& schema, int depth);

 private:
  Result<uint32_t> whole(const json::object& schema, std::string_view keyword, unsigned types, int depth);
  Result<uint32_t> alternatives(const json::array& list, std::string_view keyword, int depth);
  Result<uint32_t> reference(std::string_view target, int depth);
  Result<uint32_t> string(const json::object& schema);
  Result<uint32_t> number(const json::object& schema, unsigned types);
  Result<uint32_t> array(const json::object& schema, int depth);
  Result<uint32_t> object(const json::object& schema, int depth);

  ByteGrammar& g_;
  const json::value& root_;
  JsonRules rules_;
  std::map<std::string, uint32_t, std::less<>> references_;
};

Result<uint32_t> Compiler::reference(std::string_view target, int depth) {
  if (const auto known = references_.find(target); known != references_.end()) return known->second;
  const json::value* schema = resolve_reference(root_, target);
  if (schema == nullptr)
    return unsupported_keyword("$ref", "only parts of the same document, by # or #/…, can be named");
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
    if (schema.get_bool()) return rules_.anything();
    return fail(ErrorCode::kUnsupportedModel, "the schema false allows no value");
  }
  const auto* object_schema = schema.if_object();
  if (object_schema == nullptr) return fail(ErrorCode::kBadInput, "a schema is neither an object nor true or false");
  const json::object& s = *object_schema;
  SLM_TRY(const unsigned types, types_of(s));
  SLM_TRY(const std::string_view whole_by, whole_keyword(s));
  if (!whole_by.empty()) return whole(s, whole_by, types, depth);
  if (types == kAnything) return rules_.anything();

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
      if (!same) return unsupported_keyword("type", fmt::format("not supported beside {}", keyword));
    }
    if (keyword != "$ref") {
      if (!given.is_array() || given.get_array().empty()) return ill_formed_keyword(keyword, "a list of schemas");
      return alternatives(given.get_array(), keyword, depth);
    }
    if (!given.is_string()) return ill_formed_keyword(keyword, "a text");
    return reference(given.get_string(), depth);
  }
  json::array values;
  if (keyword == "const") {
    values.push_back(given);
  } else if (given.is_array()) {
    values = given.get_array();
  } else {
    return ill_formed_keyword(keyword, "a list");
  }
  const uint32_t rule = g_.add_rule();
  bool any = false;
  for (const auto& item : values) {
    if ((type_of(item) & types) == 0) continue;
    Sequence sequence;
    rules_.literal(sequence, item);
    g_.add_alternative(rule, std::move(sequence));
    any = true;
  }
  if (!any) return ill_formed_keyword(keyword, "at least one value of the schema's type");
  return rule;
}

Result<uint32_t> Compiler::alternatives(const json::array& list, std::string_view keyword, int depth) {
  if (keyword == "allOf" && list.size() != 1) return unsupported_keyword(keyword, "only a list of one is supported");
  if (keyword == "oneOf")
    for (size_t i = 0; i < list.size(); ++i)
      for (size_t k = i + 1; k < list.size(); ++k)
        if (!exclude_one_another(root_, list[i], list[k]))
          return unsupported_keyword(
              keyword,
              "supported only where its alternatives exclude one another by type, by enum or const, or "
              "by such a required property");
  const uint32_t rule = g_.add_rule();
  for (const auto& item : list) {
    SLM_TRY(const uint32_t inner, value(item, depth + 1));
    g_.add_alternative(rule, {ByteGrammar::call(inner)});
  }
  return rule;
}

Result<uint32_t> Compiler::string(const json::object& schema) {
  SLM_TRY(const uint32_t min, count_of(schema, "minLength", 0));
  SLM_TRY(const uint32_t max, count_of(schema, "maxLength", std::max(min, kMaxString)));
  if (max < min) return ill_formed_keyword("maxLength", "at least minLength");
  return rules_.text(min, max);
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
    if (!*to) return ill_formed_keyword(key, "a number");
    if (!bounds.whole && **to != std::floor(**to))
      return unsupported_keyword(key, "of a number only whole bounds are supported");
  }
  const auto rule = bounded_number_rule(g_, bounds);
  if (!rule) return ill_formed_keyword("minimum", "a bound that leaves a number of at most 9 digits");
  return *rule;
}

Result<uint32_t> Compiler::array(const json::object& schema, int depth) {
  SLM_TRY(const uint32_t min, count_of(schema, "minItems", 0));
  SLM_TRY(uint32_t max, count_of(schema, "maxItems", std::max(min, kMaxItems)));
  std::vector<uint32_t> first;
  if (const auto* prefix = schema.if_contains("prefixItems")) {
    if (!prefix->is_array()) return ill_formed_keyword("prefixItems", "a list of schemas");
    for (const auto& item : prefix->get_array()) {
      SLM_TRY(const uint32_t rule, value(item, depth + 1));
      first.push_back(rule);
    }
  }
  const auto* items = schema.if_contains("items");
  if (items != nullptr && items->is_array())
    return unsupported_keyword("items", "a list is prefixItems in JSON Schema 2020-12");
  std::optional<uint32_t> rest;
  if (items != nullptr && items->is_bool() && !items->get_bool()) {
    max = std::min(max, static_cast<uint32_t>(first.size()));
  } else if (items == nullptr) {
    rest = rules_.anything();
  } else if (max > first.size()) {
    SLM_TRY(rest, value(*items, depth + 1));
  }
  if (max < min) return ill_formed_keyword("maxItems", "at least minItems");
  // From the last item backwards: what may follow the first k items.
  const auto n_first = std::min(static_cast<uint32_t>(first.size()), max);
  const auto item_after = [&](uint32_t k, uint32_t rule) {
    Sequence sequence;
    if (k > 0) rules_.separator(sequence, ',');
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
  if (properties != nullptr && !properties->is_object()) return ill_formed_keyword("properties", "an object");
  if (const auto* list = schema.if_contains("required")) {
    if (!list->is_array()) return ill_formed_keyword("required", "a list of names");
    for (const auto& name : list->get_array()) {
      if (!name.is_string()) return ill_formed_keyword("required", "a list of names");
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
  if (!beyond.empty() && closed) return ill_formed_keyword("required", "names of properties, as no other is allowed");
  std::optional<uint32_t> other;
  if (!closed && (list.empty() || !beyond.empty())) {
    if (additional == nullptr) {
      other = rules_.anything();
    } else {
      SLM_TRY(other, value(*additional, depth + 1));
    }
  }
  for (auto& name : beyond) list.push_back({std::move(name), *other, true});
  if (list.empty() && other && (properties == nullptr || (additional != nullptr && !additional->is_bool())))
    return rules_.map_of(*other);

  // From the last property backwards: what may follow once the properties before it are decided, with one of them
  // written or none.
  uint32_t after[2] = {g_.rule_of({{}}), 0};
  after[1] = after[0];
  for (auto it = list.rbegin(); it != list.rend(); ++it) {
    uint32_t before[2];
    for (const int some : {0, 1}) {
      Sequence written;
      if (some == 1) rules_.separator(written, ',');
      g_.text(written, json::serialize(json::string(it->name)));
      rules_.separator(written, ':');
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

Result<uint32_t> add_json_rules(ByteGrammar& grammar, const json::value& root, const json::value& schema) {
  return Compiler(grammar, root).value(schema, 0);
}

Result<std::shared_ptr<const ByteGrammar>> json_grammar(const json::value& schema) {
  auto grammar = std::make_shared<ByteGrammar>();
  SLM_TRY(const uint32_t value, add_json_rules(*grammar, schema, schema));
  // A SentencePiece vocabulary often has no "{" but with the space before it.
  const uint32_t space = grammar->rule_of({{grammar->range(' ', ' ')}});
  const uint32_t root = grammar->rule_of({{ByteGrammar::repeat(space, 0, 1), ByteGrammar::call(value)}});
  SLM_CHECK(grammar->finish(root));
  return std::shared_ptr<const ByteGrammar>(std::move(grammar));
}

}  // namespace slm::model
