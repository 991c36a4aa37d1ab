#include "model/call_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"
#include "model/json_schema.h"
#include "model/literal.h"

namespace slm::model {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kLongestName = 256;

bool is_space(char c) { return kSpace.find(c) != std::string_view::npos; }
bool is_word(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         static_cast<unsigned char>(c) >= 0x80;
}
std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// What a literal is found by: up to its first white space or the end of its first mark.
std::string_view first_mark(std::string_view literal) {
  const std::string_view text = trimmed(literal);
  const size_t end = text.find_first_of(" \t\r\n>])");
  return end == std::string_view::npos ? text : text.substr(0, is_space(text[end]) ? end : end + 1);
}

// The types that a value of this schema may have.
unsigned allowed_types(const json::value& root, const json::value* schema, int depth = 0) {
  const auto* object = schema == nullptr ? nullptr : schema->if_object();
  if (object == nullptr || depth > 16) return kAnything;
  if (object->contains("type")) return types_of(*object).value_or(unsigned{kAnything});
  if (const auto* target = object->if_contains("$ref"); target != nullptr && target->is_string())
    return allowed_types(root, resolve_reference(root, target->get_string()), depth + 1);
  unsigned out = kNothing;
  for (const char* key : {"anyOf", "oneOf"})
    if (const auto* list = get_array(*object, key))
      for (const auto& item : *list) out |= allowed_types(root, &item, depth + 1);
  if (const auto* list = get_array(*object, "allOf"); list != nullptr && list->size() == 1)
    out |= allowed_types(root, &list->front(), depth + 1);
  if (const auto* list = get_array(*object, "enum"))
    for (const auto& item : *list) out |= type_of(item);
  if (const auto* value = object->if_contains("const")) out |= type_of(*value);
  return out == kNothing ? types_of(*object).value_or(unsigned{kAnything}) : out;
}

// What a tool's schema says of its arguments.
class ToolTypes {
 public:
  explicit ToolTypes(const json::array& tools) : tools_(tools) {}
  unsigned of(std::string_view tool, std::string_view argument) const {
    for (const auto& value : tools_) {
      const auto* object = value.if_object();
      const auto* function = object == nullptr ? nullptr : get_object(*object, "function");
      if (function == nullptr || get_string(*function, "name") != tool) continue;
      const auto* parameters = function->if_contains("parameters");
      const auto* p = parameters == nullptr ? nullptr : parameters->if_object();
      const auto* properties = p == nullptr ? nullptr : get_object(*p, "properties");
      return allowed_types(parameters == nullptr ? json::value() : *parameters,
                           properties == nullptr ? nullptr : properties->if_contains(argument));
    }
    return kAnything;
  }

 private:
  const json::array& tools_;
};

// A value that was written without quotes.
json::value typed(std::string_view text, unsigned types) {
  if ((types & ~kString) != kNothing) {
    auto value = whole_literal(text);
    if (value && !value->is_string() && (type_of(*value) & types) != 0) return std::move(*value);
  }
  return json::string(text);
}

struct ReadCall {
  std::string name, id, arguments;  // arguments: JSON text
};

class AnswerReader {
 public:
  AnswerReader(std::string_view text, const CallFormat& format, const json::array& tools)
      : text_(text), f_(format), types_(tools) {}
  ParsedAnswer run();

 private:
  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  bool match(std::string_view literal);
  bool match_here(std::string_view literal, size_t at) {
    const size_t before = at_;
    at_ = at;
    const bool out = match(literal);
    at_ = before;
    return out;
  }
  bool group(std::vector<ReadCall>& calls);
  bool call(ReadCall& out);
  bool json_call(ReadCall& out);
  bool name(size_t part, std::string& out);
  bool arguments(size_t part, ReadCall& out);
  bool pair(std::string_view after, const std::string& tool, json::object& out);
  std::optional<json::value> value(std::string_view after, unsigned types);
  bool ends_pair(size_t at, std::string_view after);
  std::string_view literal_after(size_t part) const {
    for (size_t i = part + 1; i < f_.call.size(); ++i)
      if (f_.call[i].kind == CallPart::Kind::kText) return f_.call[i].text;
    return f_.close.empty() ? std::string_view(f_.between) : std::string_view(f_.close);
  }

  std::string_view text_;
  const CallFormat& f_;
  ToolTypes types_;
  size_t at_ = 0;
};

// The literal, white space between its words or beside its marks aside. White space at its end is taken as far as it
// is there, so that a value that follows keeps its own.
bool AnswerReader::match(std::string_view literal) {
  const size_t before = at_;
  const size_t last = literal.find_last_not_of(kSpace);
  const size_t n = last == std::string_view::npos ? 0 : last + 1;
  for (size_t i = 0; i < n; ++i) {
    if (is_space(literal[i])) continue;
    const bool within_word = i > 0 && is_word(literal[i]) && is_word(literal[i - 1]);
    if (!within_word) skip_space();
    if (at_ >= text_.size() || text_[at_] != literal[i]) {
      at_ = before;
      return false;
    }
    ++at_;
  }
  for (size_t i = n; i < literal.size() && at_ < text_.size() && text_[at_] == literal[i]; ++i) ++at_;
  return true;
}

bool AnswerReader::json_call(ReadCall& out) {
  skip_space();
  if (at_ >= text_.size() || text_[at_] != '{') return false;
  const size_t end = json_extent(text_, at_);
  if (end == std::string_view::npos) return false;
  auto parsed = parse_json(text_.substr(at_, end - at_));
  if (!parsed || !parsed->is_object()) return false;
  const json::object& object = parsed->get_object();
  out.name = get_string(object, f_.name_key);
  const json::value* given = object.if_contains(f_.arguments_key);
  // Without a mark around it only the family's own keys make a call of an object.
  if (given == nullptr && !trimmed(f_.open + f_.json_open).empty())
    for (const char* key : {"arguments", "parameters"})
      if (given == nullptr) given = object.if_contains(key);
  if (out.name.empty() || given == nullptr) return false;
  if (given->is_object()) {
    out.arguments = json::serialize(*given);
  } else if (given->is_string() && parse_json(given->get_string())) {
    out.arguments = given->get_string();
  } else {
    return false;
  }
  if (f_.ids) out.id = get_string(object, "id");
  at_ = end;
  return true;
}

bool AnswerReader::name(size_t part, std::string& out) {
  skip_space();
  const std::string_view after = literal_after(part);
  const std::string_view mark = first_mark(after);
  size_t end = mark.empty() ? text_.find_first_of(kSpace, at_) : text_.find(mark, at_);
  if (mark.empty() && end == std::string_view::npos) end = text_.size();
  // Pairs may follow at once.
  const bool arguments_next = part + 1 < f_.call.size() && f_.call[part + 1].kind == CallPart::Kind::kArguments;
  if (arguments_next && f_.pairs && !f_.pairs->open.empty()) end = std::min(end, text_.find(f_.pairs->open, at_));
  if (end == std::string_view::npos || end - at_ > kLongestName) return false;
  const std::string_view found = trimmed(text_.substr(at_, end - at_));
  if (found.empty() || found.find_first_of("\n<>{}[]()\"'=,") != std::string_view::npos) return false;
  out = found;
  at_ = end;
  return true;
}

// True if a pair that ends here is followed by another, or by what follows the arguments.
bool AnswerReader::ends_pair(size_t at, std::string_view after) {
  const PairSyntax& p = *f_.pairs;
  const size_t before = at_;
  at_ = at;
  bool out = match(p.close);
  if (out && !match_here(after, at_) && !(trimmed(after).empty() && trimmed(text_.substr(at_)).empty())) {
    out = match(p.between) && match(p.open);
    if (out) {
      skip_space();
      const size_t key = at_;
      while (at_ < text_.size() && at_ - key < kLongestName &&
             (is_word(text_[at_]) || text_[at_] == '-' || text_[at_] == '.'))
        ++at_;
      out = at_ > key && match(p.middle);
    }
  }
  at_ = before;
  return out;
}

std::optional<json::value> AnswerReader::value(std::string_view after, unsigned types) {
  const PairSyntax& p = *f_.pairs;
  if (p.bare()) {
    // An object or a list ends by its brackets.
    if (const auto first = text_.find_first_not_of(kSpace, at_); first != std::string_view::npos &&
                                                                 (text_[first] == '{' || text_[first] == '[') &&
                                                                 (types & (kArray | kObject)) != 0) {
      size_t at = first;
      auto found = read_literal(text_, at);
      if (found && ends_pair(at, after)) {
        at_ = at;
        return found;
      }
    }
    // Up to the first end of a pair behind which the call goes on. Its white space is part of the mark.
    const std::string_view mark = trimmed(p.close).empty() ? trimmed(after) : trimmed(p.close);
    const std::string_view lead = std::string_view(p.close).substr(0, p.close.find(mark));
    for (size_t at = text_.find(mark, at_); at != std::string_view::npos; at = text_.find(mark, at + 1)) {
      if (!ends_pair(at, after)) continue;
      std::string_view raw = text_.substr(at_, at - at_);
      if (!lead.empty() && raw.ends_with(lead)) raw.remove_suffix(lead.size());
      at_ = at;
      return typed(raw, types);
    }
    return std::nullopt;
  }
  skip_space();
  if (p.text == PairSyntax::Text::kAsIs && text_.substr(at_).starts_with(p.quote_open)) {
    const size_t begin = at_ + p.quote_open.size();
    for (size_t at = text_.find(p.quote_close, begin); at != std::string_view::npos;
         at = text_.find(p.quote_close, at + 1)) {
      if (!ends_pair(at + p.quote_close.size(), after)) continue;
      at_ = at + p.quote_close.size();
      return json::string(text_.substr(begin, at - begin));
    }
    return std::nullopt;
  }
  return read_literal(text_, at_);
}

bool AnswerReader::pair(std::string_view after, const std::string& tool, json::object& out) {
  const PairSyntax& p = *f_.pairs;
  if (!match(p.open)) return false;
  skip_space();
  const std::string_view mark = first_mark(p.middle);
  const size_t end = text_.find(mark, at_);
  if (mark.empty() || end == std::string_view::npos || end - at_ > kLongestName) return false;
  const std::string key(trimmed(text_.substr(at_, end - at_)));
  if (key.empty() || key.find('\n') != std::string::npos) return false;
  at_ = end;
  if (!match(p.middle)) return false;
  auto found = value(after, types_.of(tool, key));
  if (!found || !match(p.close)) return false;
  out[key] = std::move(*found);
  return true;
}

bool AnswerReader::arguments(size_t part, ReadCall& out) {
  if (!f_.pairs) {
    skip_space();
    const size_t end = at_ < text_.size() && text_[at_] == '{' ? json_extent(text_, at_) : std::string_view::npos;
    if (end == std::string_view::npos) return false;
    const std::string_view found = text_.substr(at_, end - at_);
    const auto parsed = parse_json(found);
    if (!parsed) return false;
    out.arguments = json::serialize(*parsed);
    at_ = end;
    return true;
  }
  const std::string_view after = literal_after(part);
  json::object found;
  bool first = true;
  while (true) {
    if (match_here(after, at_) && !(trimmed(f_.pairs->open).size() > 0 && match_here(f_.pairs->open, at_))) break;
    if (!first && !match(f_.pairs->between)) return false;
    if (!pair(after, out.name, found)) return false;
    first = false;
  }
  out.arguments = json::serialize(found);
  return true;
}

bool AnswerReader::call(ReadCall& out) {
  if (f_.json) return match(f_.json_open) && json_call(out) && match(f_.json_close);
  for (size_t i = 0; i < f_.call.size(); ++i) switch (f_.call[i].kind) {
      case CallPart::Kind::kText:
        if (!match(f_.call[i].text)) return false;
        break;
      case CallPart::Kind::kName:
        if (!name(i, out.name)) return false;
        break;
      case CallPart::Kind::kId:
        if (!name(i, out.id)) return false;
        break;
      case CallPart::Kind::kArguments:
        if (!arguments(i, out)) return false;
        break;
    }
  return true;
}

// One list of calls.
bool AnswerReader::group(std::vector<ReadCall>& calls) {
  if (!match(f_.open)) return false;
  const size_t before = calls.size();
  while (true) {
    ReadCall one;
    const size_t here = at_;
    if (calls.size() > before && !match(f_.between)) break;
    // Bytes that are no text would make a message that nothing can read.
    if (!call(one) || !is_utf8(one.name) || !is_utf8(one.id) || !is_utf8(one.arguments)) {
      at_ = here;
      break;
    }
    calls.push_back(std::move(one));
    if (!f_.several) break;
  }
  if (calls.size() > before && match(f_.close)) return true;
  calls.resize(before);
  return false;
}

ParsedAnswer AnswerReader::run() {
  ParsedAnswer out;
  std::vector<ReadCall> calls;
  std::string content;
  std::string head = f_.open;
  if (f_.json) {
    head += f_.json_open;
  } else if (!f_.call.empty() && f_.call.front().kind == CallPart::Kind::kText) {
    head += f_.call.front().text;
  }
  const std::string mark(trimmed(head));
  const bool marked = std::any_of(mark.begin(), mark.end(), is_word);
  if (!f_.problem.empty()) {
    content = text_;
  } else if (!marked) {
    // Nothing but calls.
    const bool read = group(calls);
    skip_space();
    if (!read || at_ < text_.size()) {
      calls.clear();
      content = text_;
      const std::string_view body = trimmed(text_);
      out.malformed = f_.json ? body.starts_with(mark.empty() ? "{" : mark) &&
                                    body.find('"' + f_.name_key + '"') != std::string_view::npos
                              : !mark.empty() && body.starts_with(mark);
    }
  } else {
    size_t begin = 0;
    const std::string_view first = first_mark(mark);
    for (size_t found = text_.find(first); found != std::string_view::npos; found = text_.find(first, found)) {
      at_ = found;
      if (group(calls)) {
        content += text_.substr(begin, found - begin);
        begin = found = at_;
      } else {
        at_ = found;
        out.malformed |= match(mark);
        ++found;
      }
    }
    content += text_.substr(begin);
  }
  out.message["role"] = "assistant";
  if (calls.empty()) {
    out.message["content"] = content;
    return out;
  }
  std::string_view kept = trimmed(content);
  const std::string_view preamble = trimmed(f_.preamble);
  if (!preamble.empty() && kept.starts_with(preamble)) kept = trimmed(kept.substr(preamble.size()));
  if (kept.empty()) {
    out.message["content"] = nullptr;
  } else {
    out.message["content"] = kept;
  }
  json::array list;
  for (const auto& one : calls)
    list.push_back(tool_call(one.name, json::string(one.arguments),
                             one.id.empty() ? fmt::format("call_{}", list.size()) : one.id));
  out.message["tool_calls"] = std::move(list);
  return out;
}

}  // namespace

ParsedAnswer parse_answer(std::string_view text, const CallFormat& format, const json::array& tools) {
  return AnswerReader(text, format, tools).run();
}

bool same_calls(const json::object& a, const json::object& b) {
  const auto calls = [](const json::object& message) {
    json::array out;
    if (const auto* list = get_array(message, "tool_calls"))
      for (const auto& value : *list) {
        const auto* object = value.if_object();
        const auto* function = object == nullptr ? nullptr : get_object(*object, "function");
        if (function == nullptr) continue;
        json::value arguments = function->contains("arguments") ? function->at("arguments") : json::value();
        if (arguments.is_string())
          if (auto parsed = parse_json(arguments.get_string())) arguments = std::move(*parsed);
        out.push_back(json::array{json::string(get_string(*function, "name")), std::move(arguments)});
      }
    return out;
  };
  return calls(a) == calls(b);
}

}  // namespace slm::model
