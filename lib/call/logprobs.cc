#include "call/logprobs.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/utf8.h"

namespace slm {

namespace {

constexpr double kPlaces = 1e5;
constexpr double kLeast = -9999;  // what providers write for "next to nothing"

std::optional<std::string> from_bytes(const json::array& list) {
  std::string out;
  for (const auto& item : list) {
    const auto* byte = item.if_int64();
    if (byte == nullptr || *byte < 0 || *byte > 255) return std::nullopt;
    out.push_back(static_cast<char>(*byte));
  }
  return out;
}

std::optional<double> read_logprob(const json::value* value) {
  if (value == nullptr || !value->is_number()) return std::nullopt;
  const double x = value->to_number<double>();
  if (!std::isfinite(x) || x > 1e-3) return std::nullopt;
  return std::max(kLeast, std::min(0.0, x));
}

// {token, bytes, logprob} of a provider.
std::optional<std::pair<std::string, double>> read_provided(const json::value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return std::nullopt;
  const auto logprob = read_logprob(object->if_contains("logprob"));
  if (!logprob) return std::nullopt;
  if (const auto* bytes = get_array(*object, "bytes"); bytes != nullptr) {
    auto text = from_bytes(*bytes);
    if (!text) return std::nullopt;
    return std::pair(std::move(*text), *logprob);
  }
  return std::pair(std::string(get_string(*object, "token")), *logprob);
}

json::value token_json(const std::string& bytes) {
  if (is_utf8(bytes)) return json::string(bytes);
  json::array out;
  for (const char c : bytes) out.push_back(static_cast<int64_t>(static_cast<unsigned char>(c)));
  return out;
}

json::value number_json(double logprob) { return std::round(logprob * kPlaces) / kPlaces; }

// [token, logprob, …]
std::optional<std::pair<std::string, double>> read_held(const json::array& pair) {
  if (pair.size() < 2) return std::nullopt;
  const auto logprob = read_logprob(&pair[1]);
  if (!logprob) return std::nullopt;
  if (const auto* text = pair[0].if_string()) return std::pair(std::string(*text), *logprob);
  const auto* list = pair[0].if_array();
  auto bytes = list == nullptr ? std::nullopt : from_bytes(*list);
  if (!bytes) return std::nullopt;
  return std::pair(std::move(*bytes), *logprob);
}

}  // namespace

std::vector<LoggedToken> logged_tokens(const json::object& logprobs, std::string_view content) {
  const auto* list = get_array(logprobs, "content");
  if (list == nullptr || content.empty()) return {};
  std::vector<LoggedToken> out;
  size_t at = 0;
  for (const auto& item : *list) {
    if (at == content.size()) break;  // what follows ends the turn
    auto token = read_provided(item);
    if (!token || token->first.empty() || content.substr(at, token->first.size()) != token->first) return {};
    at += token->first.size();
    LoggedToken one{std::move(token->first), token->second, {}};
    if (const auto* top = get_array(item.get_object(), "top_logprobs"))
      for (const auto& other : *top)
        if (auto read = read_provided(other); read && !read->first.empty()) one.top.push_back(std::move(*read));
    out.push_back(std::move(one));
  }
  if (at != content.size()) return {};
  return out;
}

const json::array* logprobs_of(const CallBody& body) {
  const auto* choice = body.choices.empty() ? nullptr : body.choices.front().if_object();
  return choice == nullptr ? nullptr : get_array(*choice, "logprobs");
}

json::array to_json(const std::vector<LoggedToken>& tokens) {
  json::array out;
  for (const auto& token : tokens) {
    json::array top;
    for (const auto& [bytes, logprob] : token.top) top.push_back(json::array{token_json(bytes), number_json(logprob)});
    out.push_back(json::array{token_json(token.bytes), number_json(token.logprob), std::move(top)});
  }
  return out;
}

std::vector<LoggedToken> logged_tokens(const json::array& held) {
  std::vector<LoggedToken> out;
  for (const auto& item : held) {
    const auto* row = item.if_array();
    auto token = row == nullptr ? std::nullopt : read_held(*row);
    if (!token || row->size() != 3 || !(*row)[2].is_array()) return {};
    LoggedToken one{std::move(token->first), token->second, {}};
    for (const auto& other : (*row)[2].get_array()) {
      const auto* pair = other.if_array();
      auto read = pair == nullptr ? std::nullopt : read_held(*pair);
      if (!read) return {};
      one.top.push_back(std::move(*read));
    }
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace slm
