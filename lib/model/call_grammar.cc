#include "model/call_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "model/json_grammar.h"
#include "model/json_rules.h"
#include "model/json_schema.h"
#include "model/literal.h"

namespace slm::model {
namespace {

using Sequence = ByteGrammar::Sequence;

constexpr uint32_t kMaxCalls = 16;
constexpr std::string_view kSpace = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// The rules of one tool's arguments, written as pairs.
class PairRules {
 public:
  PairRules(ByteGrammar& grammar, const PairSyntax& pairs, const MarkSpecial& mark, const json::value& root)
      : g_(grammar), p_(pairs), mark_(mark), root_(root), json_(grammar) {}
  Result<uint32_t> arguments(const json::object& schema);

 private:
  Result<uint32_t> value(const json::value& schema, int depth);
  Result<uint32_t> given(const json::array& values, unsigned types);
  Result<uint32_t> text(const json::object& schema);
  uint32_t characters(bool bounded);
  void literal(Sequence& to, std::string_view text) { g_.text(to, mark_(text)); }
  std::string_view ending() const { return p_.bare() ? trimmed(p_.close) : std::string_view(p_.quote_close); }

  ByteGrammar& g_;
  const PairSyntax& p_;
  const MarkSpecial& mark_;
  const json::value& root_;
  JsonRules json_;
};

// One character of a text, by what may not be in it.
uint32_t PairRules::characters(bool bounded) {
  ByteSet plain;
  for (unsigned b = 0x20; b < 0x7f; ++b) plain.set(b);
  if (p_.text == PairSyntax::Text::kPython) {
    plain.reset('\\');
  } else {
    plain.set('\n').set('\t');
  }
  const std::string_view end = ending();
  const auto first = static_cast<uint8_t>(end.front());
  plain.reset(first);
  const uint32_t rule = g_.rule_of({{g_.bytes(plain)}});
  add_wide_characters(g_, rule);
  if (!bounded && p_.bare() && end.starts_with("</")) {
    ByteSet behind = plain;
    behind.reset('/');
    g_.add_alternative(rule, {g_.range(first, first), g_.bytes(behind)});
  }
  return rule;
}

Result<uint32_t> PairRules::text(const json::object& schema) {
  SLM_TRY(const uint32_t min, count_of(schema, "minLength", 0));
  SLM_TRY(const uint32_t max, count_of(schema, "maxLength", std::max(min, kMaxString)));
  if (max < min) return ill_formed_keyword("maxLength", "at least minLength");
  if (p_.text == PairSyntax::Text::kJson) return json_.text(min, max);
  const bool bounded = schema.contains("minLength") || schema.contains("maxLength");
  Sequence out;
  literal(out, p_.quote_open);
  out.push_back(ByteGrammar::repeat(characters(bounded), min, max));
  literal(out, p_.quote_close);
  return g_.rule_of({out});
}

Result<uint32_t> PairRules::given(const json::array& values, unsigned types) {
  const uint32_t rule = g_.add_rule();
  bool any = false;
  for (const auto& item : values) {
    if ((type_of(item) & types) == 0) continue;
    Sequence out;
    if (const auto* word = item.if_string()) {
      if (p_.text == PairSyntax::Text::kJson) {
        g_.text(out, json::serialize(*word));
      } else if (p_.text == PairSyntax::Text::kPython) {
        g_.text(out, python_text(item));
      } else if (word->find(ending()) != json::string::npos) {
        return unsupported_keyword("enum", "the model's tool calls can't write one of its values");
      } else {
        literal(out, p_.quote_open);
        g_.text(out, *word);
        literal(out, p_.quote_close);
      }
    } else if (p_.python_words && (item.is_bool() || item.is_null())) {
      g_.text(out, python_text(item));
    } else {
      json_.literal(out, item);
    }
    g_.add_alternative(rule, std::move(out));
    any = true;
  }
  if (!any) return ill_formed_keyword("enum", "at least one value of the schema's type");
  return rule;
}

Result<uint32_t> PairRules::value(const json::value& schema, int depth) {
  if (depth > kMaxSchemaDepth)
    return fail(ErrorCode::kUnsupportedModel, fmt::format("the schema nests deeper than {}", kMaxSchemaDepth));
  if (schema.is_bool() && schema.get_bool()) return text({});
  const auto* object = schema.if_object();
  if (object == nullptr) return fail(ErrorCode::kBadInput, "a property's schema is no object");
  SLM_TRY(const std::string_view whole, whole_keyword(*object));
  SLM_TRY(unsigned types, types_of(*object));
  if (whole == "$ref") {
    const auto* target = object->at(whole).if_string();
    const json::value* found = target == nullptr ? nullptr : resolve_reference(root_, *target);
    if (found == nullptr) return ill_formed_keyword("$ref", "a part of the same document");
    return value(*found, depth + 1);
  }
  if (whole == "anyOf" || whole == "oneOf" || whole == "allOf") {
    const auto* list = object->at(whole).if_array();
    if (list == nullptr || list->empty()) return ill_formed_keyword(whole, "a list of schemas");
    if (p_.bare() && list->size() > 1)
      return unsupported_keyword(whole,
                                 "not supported of an argument that the model's tool calls write without quotes");
    if (whole == "allOf" && list->size() != 1) return unsupported_keyword(whole, "only a list of one is supported");
    for (size_t i = 0; whole == "oneOf" && i < list->size(); ++i)
      for (size_t k = i + 1; k < list->size(); ++k)
        if (!exclude_one_another(root_, (*list)[i], (*list)[k]))
          return unsupported_keyword(whole, "supported only where its alternatives exclude one another");
    const uint32_t rule = g_.add_rule();
    for (const auto& item : *list) {
      SLM_TRY(const uint32_t inner, value(item, depth + 1));
      g_.add_alternative(rule, {ByteGrammar::call(inner)});
    }
    return rule;
  }
  if (whole == "const") return given({object->at(whole)}, types);
  if (whole == "enum") {
    const auto* list = object->at(whole).if_array();
    if (list == nullptr) return ill_formed_keyword(whole, "a list");
    return given(*list, types);
  }
  if (types == kAnything && !object->contains("type")) return text({});
  if (p_.bare() && (types & kString) != 0 && types != kString)
    types = (types & ~(kString | kNull)) == 0 ? kString : types & ~kString;

  const uint32_t rule = g_.add_rule();
  const auto word = [&](const json::value& value) {
    Sequence out;
    g_.text(out, p_.python_words ? python_text(value) : json::serialize(value));
    g_.add_alternative(rule, std::move(out));
  };
  if (types & kNull) word(nullptr);
  if (types & kBoolean) word(true), word(false);
  if (types & kString) {
    SLM_TRY(const uint32_t inner, text(*object));
    g_.add_alternative(rule, {ByteGrammar::call(inner)});
  }
  const std::pair<unsigned, const char*> as_json[] = {
      {types & kNumber ? kNumber : kInteger, types & kNumber ? "number" : "integer"},
      {kArray, "array"},
      {kObject, "object"}};
  for (const auto& [type, name] : as_json) {
    if ((types & type) == 0) continue;
    json::object one = *object;
    one["type"] = name;
    SLM_TRY(const uint32_t inner, add_json_rules(g_, root_, one));
    g_.add_alternative(rule, {ByteGrammar::call(inner)});
  }
  return rule;
}

Result<uint32_t> PairRules::arguments(const json::object& schema) {
  SLM_TRY(const std::string_view whole, whole_keyword(schema));
  if (!whole.empty())
    return unsupported_keyword(whole, "not supported of all arguments together, as the model's tool calls write them");
  std::set<std::string_view> required;
  if (const auto* list = schema.if_contains("required")) {
    if (!list->is_array()) return ill_formed_keyword("required", "a list of names");
    for (const auto& name : list->get_array()) {
      if (!name.is_string()) return ill_formed_keyword("required", "a list of names");
      required.insert(name.get_string());
    }
  }
  const auto* properties = schema.if_contains("properties");
  if (properties != nullptr && !properties->is_object()) return ill_formed_keyword("properties", "an object");
  struct Property {
    std::string name;
    uint32_t rule = 0;
    bool required = false;
  };
  std::vector<Property> list;
  if (properties != nullptr)
    for (const auto& [key, inner] : properties->get_object()) {
      const bool must = required.erase(key) > 0;
      if (!must && inner.is_bool() && !inner.get_bool()) continue;  // may never be there
      SLM_TRY(const uint32_t rule, value(inner, 0));
      list.push_back({std::string(key), rule, must});
    }
  if (!required.empty())
    return unsupported_keyword("required", "only names of properties, as the model's tool calls write arguments");
  // As json_grammar's objects: what may follow once the properties before are decided, with one of them written or
  // none.
  uint32_t after[2] = {g_.rule_of({{}}), 0};
  after[1] = after[0];
  for (auto it = list.rbegin(); it != list.rend(); ++it) {
    uint32_t before[2];
    for (const int some : {0, 1}) {
      Sequence written;
      if (some == 1) literal(written, p_.between);
      literal(written, p_.open);
      g_.text(written, it->name);
      literal(written, p_.middle);
      written.push_back(ByteGrammar::call(it->rule));
      literal(written, p_.close);
      written.push_back(ByteGrammar::call(after[1]));
      std::vector<Sequence> both{std::move(written)};
      if (!it->required) both.push_back({ByteGrammar::call(after[some])});
      before[some] = g_.rule_of(std::move(both));
    }
    after[0] = before[0];
    after[1] = before[1];
  }
  return after[0];
}

// A tool's parameters as a schema of objects; without any it takes no arguments.
Result<json::object> schema_of(const json::object& function) {
  const json::value* parameters = function.if_contains("parameters");
  json::object out;
  if (parameters != nullptr && !parameters->is_null()) {
    if (!parameters->is_object()) return fail(ErrorCode::kBadInput, "its parameters are no schema");
    out = parameters->get_object();
  }
  SLM_TRY(const std::string_view whole, whole_keyword(out));
  if (!whole.empty()) return out;
  const auto* type = out.if_contains("type");
  if (type != nullptr && *type != json::value("object"))
    return fail(ErrorCode::kBadInput, "its parameters are of another type than object");
  out["type"] = "object";
  if (!out.contains("properties") && !out.contains("additionalProperties")) out["properties"] = json::object();
  return out;
}

// A call of one tool.
Result<uint32_t> call_rule(ByteGrammar& g, const CallFormat& format, const json::object& function,
                           const MarkSpecial& mark) {
  const std::string name(get_string(function, "name"));
  if (name.empty()) return fail(ErrorCode::kBadInput, "it has no name");
  if (!format.json && name.find_first_of("\n<>{}[]()\"'=, \t") != std::string::npos)
    return fail(ErrorCode::kUnsupportedModel, "the model's tool calls can't write its name");
  SLM_TRY(const json::object schema, schema_of(function));
  const json::value root = schema;
  Sequence out;
  for (const CallPart& part : format.call) switch (part.kind) {
      case CallPart::Kind::kText:
        g.text(out, mark(part.text));
        break;
      case CallPart::Kind::kName: {
        const std::string quoted = json::serialize(json::string(name));
        g.text(out, format.json ? std::string_view(quoted).substr(1, quoted.size() - 2) : std::string_view(name));
        break;
      }
      case CallPart::Kind::kId: {
        ByteSet set;
        for (const char c : std::string_view("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
          set.set(static_cast<uint8_t>(c));
        out.push_back(ByteGrammar::repeat(g.rule_of({{g.bytes(set)}}), 9, 9));
        break;
      }
      case CallPart::Kind::kArguments: {
        SLM_TRY(const uint32_t arguments, format.pairs ? PairRules(g, *format.pairs, mark, root).arguments(schema)
                                                       : add_json_rules(g, root, root));
        out.push_back(ByteGrammar::call(arguments));
        break;
      }
    }
  return g.rule_of({out});
}

}  // namespace

Result<std::shared_ptr<const ByteGrammar>> call_grammar(const CallFormat& format, const json::array& tools,
                                                        const MarkSpecial& mark) {
  if (!format.problem.empty())
    return fail(ErrorCode::kUnsupportedModel,
                "tool calls of this model's chat template can't be constrained: " + format.problem);
  if (format.pairs && trimmed(format.pairs->bare() ? format.pairs->close : format.pairs->quote_close).empty())
    return fail(ErrorCode::kUnsupportedModel,
                "tool calls of this model's chat template can't be constrained: nothing ends an argument");
  if (tools.empty())
    return fail(ErrorCode::kBadInput, "there is no tool to call", "give the conversation \"tools\", or --tools FILE");
  auto g = std::make_shared<ByteGrammar>();
  const uint32_t call = g->add_rule();
  for (size_t i = 0; i < tools.size(); ++i) {
    const auto* tool = tools[i].if_object();
    const auto* function = tool == nullptr ? nullptr : get_object(*tool, "function");
    const auto rule = function == nullptr ? fail(ErrorCode::kBadInput, "it is no {\"type\": \"function\", …}")
                                          : call_rule(*g, format, *function, mark);
    if (!rule) {
      Error error = rule.error();
      error.message = fmt::format("tool {} of {}: {}", i + 1, tools.size(), error.message);
      return fail(std::move(error));
    }
    g->add_alternative(call, {ByteGrammar::call(*rule)});
  }
  // A SentencePiece vocabulary often has no first mark but with the space before it.
  Sequence all{ByteGrammar::repeat(g->rule_of({{g->range(' ', ' ')}}), 0, 1)};
  g->text(all, mark(format.preamble + format.open));
  all.push_back(ByteGrammar::call(call));
  if (format.several) {
    Sequence more;
    g->text(more, mark(format.between));
    more.push_back(ByteGrammar::call(call));
    all.push_back(ByteGrammar::repeat(g->rule_of({more}), 0, kMaxCalls - 1));
  }
  g->text(all, mark(format.close));
  SLM_CHECK(g->finish(g->rule_of({all})));
  return std::shared_ptr<const ByteGrammar>(std::move(g));
}

}  // namespace slm::model
