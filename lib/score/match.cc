#include "score/match.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "call/call.h"

namespace slm::score {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

// Trimmed, runs of white space made one space.
std::string squeezed(std::string_view text) {
  std::string out;
  bool pending = false;
  for (char c : text) {
    if (is_space(c)) {
      pending = !out.empty();
    } else {
      if (pending) out += ' ';
      pending = false;
      out += c;
    }
  }
  return out;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), lower);
  return text;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

struct Unfenced {
  std::string_view text;
  bool fenced = false;
};
// Takes off ```lang … ``` around the whole.
Unfenced unfenced(std::string_view text) {
  text = trimmed(text);
  if (text.size() < 6 || !text.starts_with("```") || !text.ends_with("```")) return {text, false};
  const size_t line = text.find('\n');
  if (line == std::string_view::npos || line + 3 > text.size()) return {text, false};
  return {trimmed(text.substr(line + 1, text.size() - line - 4)), true};
}

struct ParsedJson {
  std::optional<json::value> value;
  bool fenced = false;
};
ParsedJson parsed_content(const json::object& message) {
  const std::string content = content_text(message);
  const Unfenced body = unfenced(content);
  auto value = parse_json(body.text);
  if (!value) return {std::nullopt, body.fenced};
  return {std::move(*value), body.fenced};
}

// Numbers in one form: integers as int64 or uint64 where they fit exactly, else double. Objects sorted by the printer.
json::value normal_numbers(const json::value& value) {
  if (value.is_object()) {
    json::object out;
    for (const auto& field : value.get_object()) out[field.key()] = normal_numbers(field.value());
    return out;
  }
  if (value.is_array()) {
    json::array out;
    for (const auto& item : value.get_array()) out.push_back(normal_numbers(item));
    return out;
  }
  if (value.is_double()) {
    const double number = value.get_double();
    if (std::trunc(number) == number && std::abs(number) < 9007199254740992.0) return static_cast<int64_t>(number);
  }
  if (value.is_uint64() && value.get_uint64() <= static_cast<uint64_t>(INT64_MAX))
    return static_cast<int64_t>(value.get_uint64());
  return value;
}

std::string normal_json(const json::value& value) { return canonical_json(normal_numbers(value)); }

// Path → value of every leaf; an empty object or array is a leaf.
void leaves(const json::value& value, const std::string& path, std::map<std::string, std::string>& out) {
  if (value.is_object() && !value.get_object().empty()) {
    for (const auto& field : value.get_object()) leaves(field.value(), path + "/" + std::string(field.key()), out);
  } else if (value.is_array() && !value.get_array().empty()) {
    size_t i = 0;
    for (const auto& item : value.get_array()) leaves(item, path + "/#" + std::to_string(i++), out);
  } else {
    out[path] = normal_json(value);
  }
}

struct ToolCall {
  std::string name;
  json::value arguments;  // parsed; a string where the text isn't JSON
  std::string canonical;  // name and arguments
};

std::vector<ToolCall> tool_calls(const json::object& message) {
  std::vector<ToolCall> out;
  const json::array* calls = get_array(message, "tool_calls");
  if (!calls) return out;
  for (const auto& item : *calls) {
    const json::object* call = item.if_object();
    if (!call) continue;
    const json::object* function = get_object(*call, "function");
    if (!function) continue;
    ToolCall made;
    made.name = std::string(get_string(*function, "name"));
    if (const json::value* arguments = find(*function, "arguments")) {
      made.arguments = *arguments;
      if (arguments->is_string()) {
        const std::string_view text = trimmed(std::string_view(arguments->get_string()));
        if (text.empty()) {
          made.arguments = json::object();
        } else if (auto value = parse_json(text)) {
          made.arguments = std::move(*value);
        }
      }
    }
    if (made.arguments.is_null()) made.arguments = json::object();
    made.canonical = normal_json(json::array{json::value(made.name), made.arguments});
    out.push_back(std::move(made));
  }
  std::sort(out.begin(), out.end(), [](const ToolCall& a, const ToolCall& b) { return a.canonical < b.canonical; });
  return out;
}

std::string joined(const std::vector<ToolCall>& calls) {
  std::string out;
  for (const ToolCall& call : calls) out += call.canonical + "\n";
  return out;
}

// Mean likeness of arguments over calls paired one to one, likest first among those of one name; a call without a
// partner counts 0.
double argument_accuracy(const std::vector<ToolCall>& answer, const std::vector<ToolCall>& reference) {
  const size_t n = std::max(answer.size(), reference.size());
  if (n == 0) return 1;
  struct Pair {
    double likeness;
    size_t a, r;
  };
  std::vector<Pair> pairs;
  for (size_t a = 0; a < answer.size(); ++a)
    for (size_t r = 0; r < reference.size(); ++r)
      if (answer[a].name == reference[r].name)
        pairs.push_back({json_field_accuracy(answer[a].arguments, reference[r].arguments), a, r});
  std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& x, const Pair& y) { return x.likeness > y.likeness; });
  std::vector<bool> used_a(answer.size()), used_r(reference.size());
  double sum = 0;
  for (const Pair& pair : pairs) {
    if (used_a[pair.a] || used_r[pair.r]) continue;
    used_a[pair.a] = used_r[pair.r] = true;
    sum += pair.likeness;
  }
  return sum / static_cast<double>(n);
}

bool same_names(const std::vector<ToolCall>& a, const std::vector<ToolCall>& b) {
  std::multiset<std::string> left, right;
  for (const ToolCall& call : a) left.insert(call.name);
  for (const ToolCall& call : b) right.insert(call.name);
  return left == right;
}

std::map<std::string, int64_t> words(std::string_view text) {
  std::map<std::string, int64_t> out;
  std::string word;
  for (char c : text) {
    const auto u = static_cast<unsigned char>(c);
    // Bytes of multi-byte characters count as letters.
    if (u >= 0x80 || (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z')) {
      word += lower(c);
    } else if (!word.empty()) {
      ++out[word];
      word.clear();
    }
  }
  if (!word.empty()) ++out[word];
  return out;
}

// A letter before the form itself tells what it is, so that a text can't equal a value or a call.
std::string canonical_content(TaskKind kind, const json::object& answer) {
  if (kind == TaskKind::kJson) {
    const ParsedJson parsed = parsed_content(answer);
    if (parsed.value) return std::string(1, parsed.fenced ? 'f' : 'j').append(normal_json(*parsed.value));
  }
  std::string text = squeezed(content_text(answer));
  if (kind == TaskKind::kLabel) text = lowered(std::move(text));
  return std::string(1, 'c').append(text);
}

}  // namespace

bool json_equal(const json::value& a, const json::value& b) { return normal_json(a) == normal_json(b); }

double json_field_accuracy(const json::value& answer, const json::value& reference) {
  std::map<std::string, std::string> a, r;
  leaves(answer, "", a);
  leaves(reference, "", r);
  size_t same = 0, paths = r.size();
  for (const auto& [path, value] : a) {
    const auto found = r.find(path);
    if (found == r.end()) {
      ++paths;
    } else if (found->second == value) {
      ++same;
    }
  }
  return paths == 0 ? 1 : static_cast<double>(same) / static_cast<double>(paths);
}

double token_f1(std::string_view answer, std::string_view reference) {
  const auto a = words(answer), r = words(reference);
  int64_t n_answer = 0, n_reference = 0, common = 0;
  for (const auto& [word, n] : a) {
    n_answer += n;
    if (const auto found = r.find(word); found != r.end()) common += std::min(n, found->second);
  }
  for (const auto& [word, n] : r) n_reference += n;
  if (n_answer + n_reference == 0) return 1;
  return 2.0 * static_cast<double>(common) / static_cast<double>(n_answer + n_reference);
}

std::string canonical_answer(TaskKind kind, const json::object& answer) {
  const std::vector<ToolCall> calls = tool_calls(answer);
  // Text beside calls matters only to kinds whose answer is text; there an answer with calls never equals one without.
  if (calls.empty()) return canonical_content(kind, answer);
  std::string out(1, 't');
  out += joined(calls);
  if (kind != TaskKind::kToolCall) out += canonical_content(kind, answer);
  return out;
}

Grade grade(TaskKind kind, const json::object& answer, const json::object& reference) {
  Grade out;
  out.exact = canonical_answer(kind, answer) == canonical_answer(kind, reference);
  const std::vector<ToolCall> answer_calls = tool_calls(answer), reference_calls = tool_calls(reference);
  out.tool_names = same_names(answer_calls, reference_calls);
  out.tool_arguments = argument_accuracy(answer_calls, reference_calls);
  if (kind == TaskKind::kJson) {
    const ParsedJson a = parsed_content(answer), r = parsed_content(reference);
    out.json_fields = a.value && r.value ? json_field_accuracy(*a.value, *r.value) : (out.exact ? 1 : 0);
  }
  const bool by_calls = !answer_calls.empty() || !reference_calls.empty();
  out.token_f1 = by_calls ? token_f1(joined(answer_calls) + content_text(answer),
                                     joined(reference_calls) + content_text(reference))
                          : token_f1(content_text(answer), content_text(reference));
  return out;
}

}  // namespace slm::score
