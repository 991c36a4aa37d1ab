#include "model/call_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "model/call_text.h"
#include "model/literal.h"

namespace slm::model {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kKeys[2] = {"argone", "argtwo"};  // in this order by name too
constexpr std::string_view kTexts[2] = {"probefirst", "probesecond"};
constexpr int64_t kNumbers[2] = {41701, 52803};
constexpr std::string_view kNames[2] = {"probe_tool", "other_tool"};
// Some templates want ids of nine letters and digits.
constexpr std::string_view kIds[2] = {"callprobe", "callother"}, kLongId = "call_that_is_longer";
constexpr std::string_view kContent = "probecontent";
// What might be written otherwise than it is.
constexpr std::string_view kAwkward = "a'b\"c\\d\ne<f>&\tg";

std::string_view common_suffix(std::string_view a, std::string_view b) {
  size_t n = 0;
  while (n < a.size() && n < b.size() && a[a.size() - 1 - n] == b[b.size() - 1 - n]) ++n;
  return a.substr(a.size() - n);
}
std::string_view common_prefix(std::string_view a, std::string_view b) {
  size_t n = 0;
  while (n < a.size() && n < b.size() && a[n] == b[n]) ++n;
  return a.substr(0, n);
}
std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}
std::string_view without_leading_space(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

template <class T>
json::object two_arguments(const T (&values)[2]) {
  return {{kKeys[0], values[0]}, {kKeys[1], values[1]}};
}

struct Span {
  size_t begin = 0, end = 0;
};
// Where a call's parts lie in an answer.
struct Found {
  Span name, arguments;
  std::optional<Span> id;
  size_t begin() const { return std::min({name.begin, arguments.begin, id ? id->begin : name.begin}); }
  size_t end() const { return std::max({name.end, arguments.end, id ? id->end : name.end}); }
};

// One way of giving a template its calls.
class Prober {
 public:
  Prober(const RenderAnswer& render, bool as_text, bool null_content, const std::vector<std::string>& ends)
      : render_(render), as_text_(as_text), null_content_(null_content), ends_(ends) {}

  // Nothing if the template doesn't show a call's name and arguments.
  std::optional<CallFormat> run();

 private:
  json::object call(size_t which, const json::object& arguments) const {
    return tool_call(kNames[which], as_text_ ? json::value(spaced_json(arguments)) : json::value(arguments),
                     kIds[which]);
  }
  // Without the marks of the end.
  std::optional<std::string> answer(std::string_view content, const json::array& calls) const {
    const bool null = content.empty() && null_content_;
    auto text = render_(null ? json::value(nullptr) : json::value(json::string(content)), calls);
    if (!text) return std::nullopt;
    if (!tail_.empty() && text->ends_with(tail_)) {
      text->resize(text->size() - tail_.size());
    } else if (const size_t at = tail_mark_.empty() ? std::string::npos : text->rfind(tail_mark_);
               at != std::string::npos &&
               text->find_first_not_of(kSpace, at + tail_mark_.size()) == std::string::npos) {
      text->resize(at);
    }
    for (const auto& end : ends_)
      if (const size_t at = end.empty() ? std::string::npos : text->rfind(end); at != std::string::npos)
        text->resize(at);
    return text;
  }
  std::optional<Span> object_span(std::string_view text, size_t from, const json::object& arguments) const;
  std::optional<Span> pairs_span(std::string_view text, size_t from, std::string_view first,
                                 std::string_view last) const;
  std::optional<Found> find(std::string_view text, size_t from, size_t which, const json::object& arguments) const;
  std::string find_pairs();
  std::string find_values(PairSyntax& pairs) const;
  void cut_one(std::string_view text, const Found& at);
  bool cut_two(std::string_view one, const Found& at);
  void cut_json(std::string_view text, const Found& at);
  void check(const std::string& one);
  void set_call(std::string_view before, std::string_view text, const Found& at, std::string_view after);

  const RenderAnswer& render_;
  bool as_text_, null_content_;
  const std::vector<std::string>& ends_;
  std::string tail_, tail_mark_;  // what ends an answer without calls; without white space around it
  CallFormat out_;
};

// The JSON object among the text that is these arguments.
std::optional<Span> Prober::object_span(std::string_view text, size_t from, const json::object& arguments) const {
  const std::string_view value = arguments.at(kKeys[0]).get_string();
  const size_t at = text.find(value, from);
  if (at == std::string_view::npos) return std::nullopt;
  for (size_t open = text.rfind('{', at); open != std::string_view::npos && open >= from;
       open = open == 0 ? std::string_view::npos : text.rfind('{', open - 1)) {
    const size_t end = json_extent(text, open);
    if (end == std::string_view::npos || end < at) continue;
    const auto parsed = parse_json(text.substr(open, end - open));
    if (parsed && *parsed == arguments) return Span{open, end};
  }
  return std::nullopt;
}

// From before the first key to behind the last value.
std::optional<Span> Prober::pairs_span(std::string_view text, size_t from, std::string_view first,
                                       std::string_view last) const {
  const PairSyntax& p = *out_.pairs;
  const size_t value = text.find(first, from), end = text.find(last, from);
  const size_t key = value == std::string_view::npos ? value : text.rfind(kKeys[0], value);
  if (key == std::string_view::npos || key < p.open.size() || end == std::string_view::npos) return std::nullopt;
  return Span{key - p.open.size(), end + last.size() + p.quote_close.size() + p.close.size()};
}

std::optional<Found> Prober::find(std::string_view text, size_t from, size_t which,
                                  const json::object& arguments) const {
  Found out;
  const size_t name = text.find(kNames[which], from);
  if (name == std::string_view::npos) return std::nullopt;
  out.name = {name, name + kNames[which].size()};
  const auto span =
      out_.pairs ? pairs_span(text, from, arguments.at(kKeys[0]).get_string(), arguments.at(kKeys[1]).get_string())
                 : object_span(text, from, arguments);
  if (!span || span->end > text.size()) return std::nullopt;
  out.arguments = *span;
  if (const size_t id = text.find(kIds[which], from); id != std::string_view::npos)
    out.id = Span{id, id + kIds[which].size()};
  return out;
}

// How texts, words and nested values are written. Returns what isn't known about it.
std::string Prober::find_values(PairSyntax& pairs) const {
  // The text of the first of two arguments.
  const auto written = [&](const json::value& value) -> std::optional<std::string> {
    const auto text = answer("", {call(0, {{kKeys[0], value}, {kKeys[1], kNumbers[1]}})});
    const size_t name = text ? text->find(kNames[0]) : std::string::npos;
    const size_t key = name == std::string::npos ? name : text->find(std::string(kKeys[0]) + pairs.middle, name);
    const size_t second = text ? text->rfind(std::string(kKeys[1]) + pairs.middle) : std::string::npos;
    if (key == std::string::npos || second == std::string::npos) return std::nullopt;
    const size_t begin = key + kKeys[0].size() + pairs.middle.size();
    const std::string behind = pairs.close + pairs.between + pairs.open;
    if (second < begin + behind.size() || text->substr(second - behind.size(), behind.size()) != behind)
      return std::nullopt;
    return text->substr(begin, second - behind.size() - begin);
  };
  const auto plain = written(json::string(kTexts[0]));
  const size_t at = plain ? plain->find(kTexts[0]) : std::string::npos;
  if (at == std::string::npos) return "it writes texts in an unknown way";
  pairs.quote_open = plain->substr(0, at);
  pairs.quote_close = plain->substr(at + kTexts[0].size());
  const json::string awkward(kAwkward);
  const auto escaped = written(awkward);
  if (escaped == pairs.quote_open + std::string(kAwkward) + pairs.quote_close) {
    pairs.text = PairSyntax::Text::kAsIs;
  } else if (escaped && pairs.quote_open == "\"" && parse_json(*escaped) == json::value(awkward)) {
    pairs.text = PairSyntax::Text::kJson;
  } else if (escaped && pairs.quote_open == "'" && whole_literal(*escaped) == json::value(awkward)) {
    pairs.text = PairSyntax::Text::kPython;
  } else {
    return "it writes quotes and line ends within texts in an unknown way";
  }
  const auto yes = written(true), nothing = written(nullptr);
  pairs.python_words = yes == "True";
  if (!yes || !nothing || whole_literal(*yes) != json::value(true) || !whole_literal(*nothing) ||
      !whole_literal(*nothing)->is_null())
    return "it writes true or null in an unknown way";
  const json::value nested = {{"k", json::array{1, "s", json::object{{"q", "it's"}}}}};
  const auto inner = written(nested);
  if (!inner || whole_literal(*inner) != nested) return "it writes objects within arguments in an unknown way";
  const auto list = written(json::array{1, "s"});
  if (!list || whole_literal(*list) != json::value(json::array{1, "s"}))
    return "it writes lists within arguments in an unknown way";
  return {};
}

// Arguments as pairs, by two whole numbers. Returns what isn't known about them.
std::string Prober::find_pairs() {
  constexpr const char* kUnknown = "it writes arguments in an unknown way";
  const auto text = answer("", {call(0, two_arguments(kNumbers))});
  if (!text) return kUnknown;
  const std::string_view t = *text;
  const std::string numbers[2] = {std::to_string(kNumbers[0]), std::to_string(kNumbers[1])};
  const size_t name = t.find(kNames[0]);
  if (name == std::string_view::npos) return kUnknown;
  size_t key[2], value[2];
  for (const int i : {0, 1}) {
    value[i] = t.find(numbers[i], name);
    key[i] = value[i] == std::string_view::npos ? value[i] : t.rfind(kKeys[i], value[i]);
    if (key[i] == std::string_view::npos || key[i] < name) return kUnknown;
  }
  if (value[0] > key[1]) return kUnknown;
  const auto between = [&](size_t begin, size_t end) { return t.substr(begin, end - begin); };
  const std::string_view middle = between(key[0] + kKeys[0].size(), value[0]);
  const size_t first_end = value[0] + numbers[0].size(), last_end = value[1] + numbers[1].size();
  std::string_view gap = between(first_end, key[1]);
  if (middle.empty() || gap.empty() || middle != between(key[1] + kKeys[1].size(), value[1])) return kUnknown;
  PairSyntax pairs;
  std::string_view open = common_suffix(between(name + kNames[0].size(), key[0]), gap);
  // Not what only happens to stand before both.
  open.remove_prefix(std::min(open.rfind('<') == std::string_view::npos ? 0 : open.rfind('<'), open.size()));
  gap.remove_suffix(open.size());
  const std::string_view close = common_prefix(gap, t.substr(last_end));
  pairs.open = open;
  pairs.middle = middle;
  pairs.close = close;
  pairs.between = gap.substr(close.size());
  std::string problem = find_values(pairs);
  if (problem.empty()) out_.pairs = std::move(pairs);
  return problem;
}

void Prober::set_call(std::string_view before, std::string_view text, const Found& at, std::string_view after) {
  using Kind = CallPart::Kind;
  std::vector<std::pair<Span, Kind>> spans = {{at.name, Kind::kName}, {at.arguments, Kind::kArguments}};
  if (at.id) spans.emplace_back(*at.id, Kind::kId);
  std::sort(spans.begin(), spans.end(), [](const auto& a, const auto& b) { return a.first.begin < b.first.begin; });
  out_.call.clear();
  const auto add = [&](std::string_view literal) {
    if (!literal.empty()) out_.call.push_back({Kind::kText, std::string(literal)});
  };
  add(before);
  for (size_t i = 0; i < spans.size(); ++i) {
    if (i > 0) add(text.substr(spans[i - 1].first.end, spans[i].first.begin - spans[i - 1].first.end));
    out_.call.push_back({spans[i].second, {}});
  }
  add(after);
  out_.ids = at.id.has_value();
}

// One call: all around it is the call's own.
void Prober::cut_one(std::string_view text, const Found& at) {
  const std::string_view before = text.substr(0, at.begin());
  std::string_view opening = without_leading_space(before);
  // With text beside it, what opens the call follows that text.
  const auto with_content = answer(kContent, {call(0, two_arguments(kTexts))});
  const size_t content = with_content ? with_content->find(kContent) : std::string::npos;
  out_.content = content != std::string::npos;
  if (out_.content) {
    const std::string_view c = *with_content;
    const size_t begin = content + kContent.size();
    if (const auto there = find(c, begin, 0, two_arguments(kTexts)))
      opening = without_leading_space(common_suffix(before, c.substr(begin, there->begin() - begin)));
  }
  out_.preamble = before.substr(0, before.size() - opening.size());
  out_.open.clear();
  out_.between.clear();
  out_.close.clear();
  set_call(opening, text, at, text.substr(at.end()));
}

// What stands around each call and what around the list of them. False if the template takes one call a message.
bool Prober::cut_two(std::string_view one, const Found& at) {
  const auto both = answer("", {call(0, two_arguments(kTexts)), call(1, two_arguments(kTexts))});
  if (!both) return false;
  const std::string_view text = *both;
  const auto first = find(text, 0, 0, two_arguments(kTexts));
  const auto second = first ? find(text, first->end(), 1, two_arguments(kTexts)) : std::nullopt;
  if (!second || text.substr(0, first->end()) != one.substr(0, at.end())) return false;
  const std::string_view before = one.substr(out_.preamble.size(), at.begin() - out_.preamble.size());
  const std::string_view after = one.substr(at.end());
  if (text.substr(second->end()) != after) return false;
  std::string_view gap = text.substr(first->end(), second->begin() - first->end());
  const std::string_view opening = common_suffix(before, gap);
  gap.remove_suffix(opening.size());
  const std::string_view closing = common_prefix(gap, after);
  out_.open = before.substr(0, before.size() - opening.size());
  out_.between = gap.substr(closing.size());
  out_.close = after.substr(closing.size());
  set_call(opening, one, at, closing);
  return true;
}

// Whether the call is a JSON object, and what it is called there.
void Prober::cut_json(std::string_view text, const Found& at) {
  if (out_.pairs) return;
  for (size_t open = text.rfind('{', at.begin()); open != std::string_view::npos;
       open = open == 0 ? std::string_view::npos : text.rfind('{', open - 1)) {
    const size_t end = json_extent(text, open);
    if (end == std::string_view::npos || end < at.end()) continue;
    const auto parsed = parse_json(text.substr(open, end - open));
    if (!parsed || !parsed->is_object()) continue;
    for (const auto& [key, value] : parsed->get_object()) {
      if (value == json::value(json::string(kNames[0]))) out_.name_key = key;
      if (value == json::value(two_arguments(kTexts))) out_.arguments_key = key;
    }
    if (out_.name_key.empty() || out_.arguments_key.empty()) continue;
    const size_t before = out_.preamble.size() + out_.open.size();
    const std::string& tail = out_.call.back().text;
    const size_t call_end = at.end() + (out_.call.back().kind == CallPart::Kind::kText ? tail.size() : 0);
    if (open < before || end > call_end) continue;
    out_.json = true;
    out_.json_open = text.substr(before, open - before);
    out_.json_close = text.substr(end, call_end - end);
    return;
  }
}

std::optional<CallFormat> Prober::run() {
  if (const auto plain = render_(json::value(json::string(kContent)), {}))
    if (const size_t at = plain->rfind(kContent); at != std::string::npos) tail_ = plain->substr(at + kContent.size());
  tail_mark_ = trimmed(tail_);
  const json::object arguments = two_arguments(kTexts);
  const auto text = answer("", {call(0, arguments)});
  if (!text || text->find(kNames[0]) == std::string::npos) return std::nullopt;
  for (const int i : {0, 1})
    if (text->find(kKeys[i]) == std::string::npos || text->find(kTexts[i]) == std::string::npos) return std::nullopt;
  auto at = find(*text, 0, 0, arguments);
  if (!at && text->find(python_text(arguments)) != std::string::npos) {
    out_.problem = "it writes arguments as Python prints them";
    return out_;
  }
  if (!at) {
    out_.problem = find_pairs();
    if (out_.problem.empty()) at = find(*text, 0, 0, arguments);
    if (!at) {
      if (out_.problem.empty()) out_.problem = "its parts stand in an unknown order";
      return out_;
    }
  }
  out_.compact = !out_.pairs && text->substr(at->arguments.begin, at->arguments.end - at->arguments.begin) ==
                                    json::serialize(arguments);
  cut_one(*text, *at);
  out_.several = cut_two(*text, *at);
  cut_json(*text, *at);
  check(*text);
  return out_;
}

// What was found must give the template's own texts, and read them.
void Prober::check(const std::string& one) {
  const json::object arguments = two_arguments(kTexts);
  const json::array first{call(0, arguments)}, other{call(1, arguments)},
      three{call(0, arguments), call(1, arguments), call(0, arguments)};
  const auto reads = [&](const std::string& text, const json::array& calls, std::string_view content) {
    const auto parsed = parse_answer(text, out_, probe_tools()).message;
    return same_calls(parsed, {{"tool_calls", calls}}) && get_string(parsed, "content") == content;
  };
  if (write_calls(out_, first) != one || write_calls(out_, other) != answer("", other) || !reads(one, first, {})) {
    out_.problem = "it writes a call otherwise than was found out";
    return;
  }
  // Text inserted where only the inside of an object belongs.
  if (as_text_ && !out_.json)
    for (size_t i = 1; i < out_.call.size(); ++i)
      if (out_.call[i].kind == CallPart::Kind::kArguments && out_.call[i - 1].text.ends_with('{'))
        out_.problem = "it writes arguments in an unknown way";
  if (out_.several) {
    const auto text = answer("", three);
    out_.several = text && write_calls(out_, three) == *text && reads(*text, three, {});
  }
  if (out_.content) {
    const auto text = answer(kContent, first);
    out_.content = text && reads(*text, first, kContent);
  }
}

void write_value(std::string& out, const CallFormat& format, const json::value& value) {
  const PairSyntax& pairs = *format.pairs;
  if (const auto* text = value.if_string()) {
    if (pairs.text == PairSyntax::Text::kJson) {
      out += json::serialize(*text);
    } else if (pairs.text == PairSyntax::Text::kPython) {
      out += python_text(value);
    } else {
      out += pairs.quote_open + std::string(*text) + pairs.quote_close;
    }
  } else if (pairs.python_words && (value.is_bool() || value.is_null())) {
    out += python_text(value);
  } else {
    out += spaced_json(value);
  }
}

void write_spaced(std::string& out, const json::value& value) {
  const auto list = [&](const auto& items, char open, char close, const auto& write) {
    out += open;
    bool first = true;
    for (const auto& item : items) {
      if (!first) out += ", ";
      first = false;
      write(item);
    }
    out += close;
  };
  if (const auto* object = value.if_object()) {
    list(*object, '{', '}', [&](const json::key_value_pair& item) {
      out += json::serialize(item.key()) + ": ";
      write_spaced(out, item.value());
    });
  } else if (const auto* array = value.if_array()) {
    list(*array, '[', ']', [&](const json::value& item) { write_spaced(out, item); });
  } else if (value.is_double()) {
    const std::string number = fmt::format("{}", value.get_double());
    out += number;
    if (number.find_first_of(".en") == std::string::npos) out += ".0";
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

std::string spaced_json(const json::value& value) {
  std::string out;
  write_spaced(out, value);
  return out;
}

json::object tool_call(std::string_view name, const json::value& arguments, std::string_view id) {
  return {{"id", id}, {"type", "function"}, {"function", {{"name", name}, {"arguments", arguments}}}};
}

json::array probe_tools() {
  json::array out;
  for (const std::string_view name : kNames)
    out.push_back({{"type", "function"},
                   {"function",
                    {{"name", name},
                     {"description", "A tool."},
                     {"parameters",
                      {{"type", "object"},
                       {"properties",
                        {{kKeys[0], {{"type", "string"}, {"description", "A value."}}},
                         {kKeys[1], {{"type", "string"}, {"description", "Another."}}}}},
                       {"required", json::array{kKeys[0]}}}}}}});
  return out;
}

const CallFormat& plain_calls() {
  static const CallFormat format = [] {
    using Kind = CallPart::Kind;
    CallFormat out;
    out.call = {{Kind::kText, "<tool_call>{\"name\": \""},
                {Kind::kName, {}},
                {Kind::kText, "\", \"arguments\": "},
                {Kind::kArguments, {}},
                {Kind::kText, "}</tool_call>"}};
    out.between = "\n";
    out.json = true;
    out.json_open = "<tool_call>";
    out.json_close = "</tool_call>";
    out.name_key = "name";
    out.arguments_key = "arguments";
    return out;
  }();
  return format;
}

std::string write_calls(const CallFormat& format, const json::array& calls) {
  std::string out = format.preamble + format.open;
  bool first = true;
  for (const auto& value : calls) {
    const auto* call = value.if_object();
    const auto* function = call == nullptr ? nullptr : get_object(*call, "function");
    if (function == nullptr) continue;
    json::value arguments = function->contains("arguments") ? function->at("arguments") : json::value();
    if (arguments.is_string())
      if (auto parsed = parse_json(arguments.get_string())) arguments = std::move(*parsed);
    if (!first) out += format.between;
    first = false;
    for (const CallPart& part : format.call) switch (part.kind) {
        case CallPart::Kind::kText:
          out += part.text;
          break;
        case CallPart::Kind::kName:
        case CallPart::Kind::kId: {
          const std::string word(part.kind == CallPart::Kind::kId ? get_string(*call, "id")
                                                                  : get_string(*function, "name"));
          const std::string quoted = json::serialize(json::string(word));
          out += format.json ? quoted.substr(1, quoted.size() - 2) : word;
          break;
        }
        case CallPart::Kind::kArguments:
          if (!format.pairs || !arguments.is_object()) {
            out += format.compact ? json::serialize(arguments) : spaced_json(arguments);
            break;
          }
          bool first_pair = true;
          for (const auto& [key, item] : arguments.get_object()) {
            if (!first_pair) out += format.pairs->between;
            first_pair = false;
            out += format.pairs->open;
            out += key;
            out += format.pairs->middle;
            write_value(out, format, item);
            out += format.pairs->close;
          }
          break;
      }
  }
  return out + format.close;
}

FoundCalls find_calls(const RenderAnswer& render, const std::vector<std::string>& ends) {
  FoundCalls out;
  for (const bool null_content : {false, true})
    for (const bool as_text : {false, true}) {
      auto format = Prober(render, as_text, null_content, ends).run();
      if (!format || (out.shown && !format->problem.empty())) continue;
      const bool done = format->problem.empty();
      out.shown = true;
      out.arguments_as_text = as_text;
      out.null_content = null_content;
      out.format = std::move(*format);
      if (!done) continue;
      const json::value content = null_content ? json::value(nullptr) : json::value("");
      const json::object arguments = two_arguments(kTexts);
      const auto with_long_id = render(
          content,
          {tool_call(kNames[0], as_text ? json::value(spaced_json(arguments)) : json::value(arguments), kLongId)});
      out.short_ids = !with_long_id || (out.format.ids && with_long_id->find(kLongId) == std::string::npos);
      return out;
    }
  return out;
}

}  // namespace slm::model
