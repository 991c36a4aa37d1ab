#include "scrub/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/file.h"
#include "core/utf8.h"
#include "scrub/detect/names.h"
#include "scrub/detect/normalise.h"

namespace slm::scrub {

namespace {

constexpr std::string_view kDecoy = "decoy";
constexpr size_t kHead = 4;  // values are indexed by their first bytes
constexpr int kMaxEscapes = 8;

std::string plain_form(std::string_view text) {
  const Normalised view(text);
  return fold_case(view.text());
}

bool word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80;
}

struct Value {
  std::string text;  // plain form
  std::string type;
};

uint32_t hex4(std::string_view text) {
  uint32_t code = 0;
  if (text.size() < 4 || std::from_chars(text.data(), text.data() + 4, code, 16).ptr != text.data() + 4) return 0;
  return code;
}

// Every escape that JSON knows by what it stands for, wherever it stands; the rest as it is. It knows nothing of keys,
// values or fields, so that it overlooks none.
std::string unescape(std::string_view text) {
  static constexpr std::string_view kLetters = "bfnrt", kMeant = "\b\f\n\r\t";
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t slash = std::min(text.find('\\', at), text.size());
    out += text.substr(at, slash - at);
    at = slash + 2;
    if (at > text.size()) {
      out += text.substr(slash);
      break;
    }
    const char c = text[slash + 1];
    const size_t letter = kLetters.find(c);
    const uint32_t high = c == 'u' ? hex4(text.substr(at)) : 0;
    if (letter != std::string_view::npos) {
      out.push_back(kMeant[letter]);
    } else if (high == 0) {
      out.push_back(c);
    } else {
      at += 4;
      const bool paired = high >= 0xD800 && high < 0xDC00 && text.substr(at, 2) == "\\u";
      const uint32_t low = paired ? hex4(text.substr(at + 2)) : 0;
      if (low >= 0xDC00 && low < 0xE000) {
        append_utf8(out, 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
        at += 6;
      } else {
        append_utf8(out, high >= 0xD800 && high < 0xE000 ? 0xFFFD : high);
      }
    }
  }
  return out;
}

uint32_t head_of(std::string_view text) {
  uint32_t head = 0;
  std::memcpy(&head, text.data(), kHead);
  return head;
}

}  // namespace

struct Gate::Impl {
  std::vector<Value> values;
  std::unordered_map<uint32_t, std::vector<uint32_t>> by_head;
  std::unordered_set<std::string> known;  // plain forms, with the words of names and the credentials of URLs
  std::map<std::string, GateRow> rows;
  GateRow decoys;
  int64_t n_unmeasured = 0;
  // Of the call at hand.
  std::set<uint32_t> in_before, in_after;
  std::vector<std::pair<std::string, std::string>> found;

  void add(std::string text, const std::string& type) {
    if (text.size() < kHead) return;
    const auto index = static_cast<uint32_t>(values.size());
    auto& list = by_head[head_of(text)];
    for (const uint32_t other : list)
      if (values[other].text == text && values[other].type == type) return;
    list.push_back(index);
    values.push_back({std::move(text), type});
  }

  void look(std::string_view text, std::set<uint32_t>& out) const {
    const std::string plain = plain_form(text);
    for (size_t at = 0; at + kHead <= plain.size(); ++at) {
      const auto list = by_head.find(head_of(std::string_view(plain).substr(at)));
      if (list == by_head.end()) continue;
      for (const uint32_t index : list->second) {
        const std::string& value = values[index].text;
        if (plain.compare(at, value.size(), value) != 0) continue;
        const size_t end = at + value.size();
        const bool inside = (at > 0 && word_char(plain[at - 1]) && word_char(value.front())) ||
                            (end < plain.size() && word_char(plain[end]) && word_char(value.back()));
        if (!inside) out.insert(index);
      }
    }
  }

  // The text as it is written, and without one level of escapes after the other.
  void look_through(std::string_view text, std::set<uint32_t>& out) const {
    look(text, out);
    std::string inner;
    for (int level = 0; level < kMaxEscapes && text.find('\\') != std::string_view::npos; ++level) {
      inner = unescape(text);
      text = inner;
      look(text, out);
    }
  }

  // Whether the key knows the value: as it is, as part of one, or as more than one.
  bool in_key(std::string_view value) const {
    const std::string plain = plain_form(value);
    if (known.contains(plain)) return true;
    for (const std::string_view token : name_tokens(plain))
      if (known.contains(std::string(token)) && name_tokens(plain).size() > 1) return true;
    std::set<uint32_t> inside;
    look(plain, inside);
    return std::any_of(inside.begin(), inside.end(), [&](uint32_t i) { return values[i].type != kDecoy; });
  }
};

Gate::Gate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Gate::Gate(Gate&&) noexcept = default;
Gate& Gate::operator=(Gate&&) noexcept = default;
Gate::~Gate() = default;

Result<Gate> Gate::read(const std::filesystem::path& key_file) {
  auto impl = std::make_unique<Impl>();
  std::ifstream in(key_file);
  if (!in) return fail(errno_error(key_file, "read"));
  std::string line;
  for (size_t n = 1; std::getline(in, line); ++n) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto value = parse_json(line);
    const json::object* row = value && value->is_object() ? &value->get_object() : nullptr;
    const std::string type(row != nullptr ? get_string(*row, "type") : std::string_view{});
    const std::string_view text = row != nullptr ? get_string(*row, "value") : std::string_view{};
    if (type.empty() || text.empty())
      return fail(
          ErrorCode::kBadInput,
          fmt::format("{}:{}: a line of an answer key is an object with \"type\" and \"value\"", key_file.string(), n));
    const std::string plain = plain_form(text);
    impl->n_unmeasured += plain.size() < kHead ? 1 : 0;
    impl->add(plain, type);
    if (type == kDecoy) continue;
    impl->known.insert(plain);
    impl->rows[type].type = type;
    if (type == "person")
      for (const std::string_view token : name_tokens(plain)) impl->known.insert(std::string(token));
    const size_t slashes = plain.find("://"), at = plain.find('@', slashes == std::string::npos ? 0 : slashes);
    if (type == "url_credential" && slashes != std::string::npos && at != std::string::npos) {
      const std::string credentials = plain.substr(slashes + 3, at - slashes - 3);
      impl->add(credentials, type);
      impl->known.insert(credentials);
    }
  }
  return Gate(std::move(impl));
}

int64_t Gate::n_unmeasured() const { return impl_->n_unmeasured; }

void Gate::before(std::string_view text) { impl_->look_through(text, impl_->in_before); }
void Gate::after(std::string_view text) { impl_->look_through(text, impl_->in_after); }
void Gate::found(std::string_view type, std::string_view value) { impl_->found.emplace_back(type, value); }

void Gate::end_call(bool kept) {
  if (kept) {
    for (const uint32_t index : impl_->in_before) {
      const Value& value = impl_->values[index];
      const bool there = impl_->in_after.contains(index);
      GateRow& row = value.type == kDecoy ? impl_->decoys : impl_->rows[value.type];
      ++row.n_planted;
      row.n_left += (value.type == kDecoy) != there ? 1 : 0;
    }
    for (const auto& [type, value] : impl_->found) {
      GateRow& row = impl_->rows[type];
      row.type = type;
      ++row.n_found;
      row.n_false += impl_->in_key(value) ? 0 : 1;
    }
  }
  impl_->in_before.clear();
  impl_->in_after.clear();
  impl_->found.clear();
}

std::vector<GateRow> Gate::rows(const Rules& rules) const {
  std::vector<GateRow> out;
  for (const auto& [type, row] : impl_->rows) {
    const auto own = rules.gate_of.find(type);
    const GateBound& bound = own == rules.gate_of.end() ? rules.gate : own->second;
    out.push_back(row);
    // What the key doesn't plant it can't judge.
    const bool judged = row.n_planted > 0;
    out.back().bound_recall = judged ? bound.recall : 0;
    out.back().bound_false = judged ? bound.false_positives : 1;
  }
  if (impl_->decoys.n_planted > 0) {
    // A decoy that changed is a false find; the row's recall says which share stayed.
    out.push_back(impl_->decoys);
    out.back().type = kDecoy;
    out.back().bound_recall = 1 - rules.gate.false_positives;
    out.back().bound_false = 1;
  }
  return out;
}

std::string gate_failures(const std::vector<GateRow>& rows) {
  std::string out;
  if (std::all_of(rows.begin(), rows.end(), [](const GateRow& row) { return row.n_planted == 0; }))
    return "none of the key's values occurs in a kept call, so nothing was measured";
  for (const GateRow& row : rows) {
    if (row.met()) continue;
    if (!out.empty()) out += "; ";
    if (row.type == kDecoy) {
      out += fmt::format("{} of {} decoys changed (bound {:.3f})", row.n_left, row.n_planted, 1 - row.bound_recall);
    } else if (row.recall() < row.bound_recall) {
      out += fmt::format("{} recall {:.3f} (bound {:.3f})", row.type, row.recall(), row.bound_recall);
    } else {
      out += fmt::format("{} {:.3f} of its finds false (bound {:.3f})", row.type, row.false_share(), row.bound_false);
    }
  }
  return out;
}

}  // namespace slm::scrub
