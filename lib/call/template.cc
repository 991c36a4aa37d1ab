// Signatures that calls of one call site share: of the system prompt with its variable parts masked, and of the tools.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "call/ascii.h"
#include "call/call.h"
#include "core/hash.h"

namespace slm {

namespace {

constexpr size_t kMaxQuotedBytes = 200;  // a longer quotation, or one over a line's end, isn't a filled-in value
constexpr size_t kMaxWordBytes = 24;     // longer words are ids, links, encoded data

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Names of months and days stand in written dates.
bool is_calendar_word(std::string_view word) {
  static constexpr std::array<std::string_view, 19> kWords = {
      "january",   "february",  "march",   "april",    "may",      "june",   "july",
      "august",    "september", "october", "november", "december", "monday", "tuesday",
      "wednesday", "thursday",  "friday",  "saturday", "sunday"};
  std::string text;
  for (const char c : word)
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) text += ascii_lower(c);
  return std::find(kWords.begin(), kWords.end(), text) != kWords.end();
}

// End of the quotation that begins at `begin` (past its closing mark), or `begin` if it is none.
size_t quotation_end(std::string_view text, size_t begin) {
  struct Pair {
    std::string_view open, close;
  };
  static constexpr std::array<Pair, 3> kPairs = {{{"\"", "\""}, {"`", "`"}, {"\u201c", "\u201d"}}};
  for (const auto& pair : kPairs) {
    if (text.compare(begin, pair.open.size(), pair.open) != 0) continue;
    const size_t inside = begin + pair.open.size();
    const auto line = text.substr(inside, std::min(kMaxQuotedBytes, text.find('\n', inside) - inside));
    const size_t close = line.find(pair.close);
    if (close != std::string_view::npos) return inside + close + pair.close.size();
  }
  return begin;
}

// Runs of white space become one space; a masked word or quotation becomes '#', runs of masked ones a single '#'.
std::string mask_variable_parts(std::string_view text) {
  std::string out;
  const auto put_mask = [&out] {
    if (out.size() >= 2 && out.ends_with("# ")) return;
    if (!out.empty() && out.back() == '#') return;
    out += '#';
  };
  size_t i = 0;
  while (i < text.size()) {
    if (is_json_space(text[i])) {
      while (i < text.size() && is_json_space(text[i])) ++i;
      if (!out.empty() && out.back() != ' ') out += ' ';
      continue;
    }
    if (const size_t end = quotation_end(text, i); end != i) {
      put_mask();
      i = end;
      continue;
    }
    const size_t begin = i++;
    while (i < text.size() && !is_json_space(text[i]) && quotation_end(text, i) == i) ++i;
    const auto word = text.substr(begin, i - begin);
    if (word.size() > kMaxWordBytes || std::any_of(word.begin(), word.end(), is_digit) || is_calendar_word(word))
      put_mask();
    else
      out += word;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string short_digest(std::string_view text) { return sha256_hex(text).substr(0, 16); }

}  // namespace

std::string template_signature(const json::array& messages) {
  std::string text;
  for (const auto& message : messages) {
    const auto* object = message.if_object();
    if (object == nullptr) continue;
    const auto role = get_string(*object, "role");
    if (role != "system" && role != "developer") break;
    text += content_text(*object);
    text += '\n';
  }
  return short_digest(mask_variable_parts(text));
}

std::string tool_signature(const json::array& tools) {
  std::vector<std::string> lines;
  for (const auto& tool : tools) {
    const auto* object = tool.if_object();
    if (object == nullptr) continue;
    const auto* named = get_object(*object, "function");
    if (named == nullptr) named = get_object(*object, "custom");
    if (named == nullptr) continue;
    std::vector<std::string> names;
    if (const auto* parameters = get_object(*named, "parameters"))
      if (const auto* properties = get_object(*parameters, "properties"))
        for (const auto& property : *properties) names.emplace_back(property.key());
    std::sort(names.begin(), names.end());
    std::string line(get_string(*named, "name"));
    for (const auto& name : names) (line += '\x1f') += name;
    lines.push_back(std::move(line));
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const auto& line : lines) (text += line) += '\n';
  return short_digest(text);
}

}  // namespace slm
