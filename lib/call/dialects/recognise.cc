#include "call/dialects/recognise.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "call/ascii.h"
#include "call/dialects/dialect.h"

namespace slm::dialects {

namespace {

constexpr size_t kMaxLabelWords = 4, kMaxLabelBytes = 40;
constexpr size_t kMinFrameBytes = 5;  // "Text:" is the shortest frame that counts

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_json_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_json_space(text.back())) text.remove_suffix(1);
  return text;
}

bool has_part(const json::object& message, std::string_view type) {
  const auto* parts = get_array(message, "content");
  return parts != nullptr && std::any_of(parts->begin(), parts->end(), [&](const json::value& part) {
           return part.is_object() && get_string(part.get_object(), "type") == type;
         });
}

// In small letters, with plain apostrophes.
std::string plainly(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("\u2019")) {
      out += '\'';
      i += 2;
    } else {
      out += ascii_lower(text[i]);
    }
  }
  return out;
}

// [I'm sorry, [but]] I can't | cannot | am unable to … help | assist | comply with this | that [request].
bool is_stock_refusal(std::string_view text) {
  constexpr size_t kLongest = 80;
  if (text.size() > kLongest) return false;
  const std::string said = plainly(text);
  std::string_view rest = said;
  const auto take_one = [&rest](std::initializer_list<std::string_view> words) {
    for (const auto word : words)
      if (rest.starts_with(word)) {
        rest.remove_prefix(word.size());
        return true;
      }
    return false;
  };
  if (take_one({"i'm sorry", "i am sorry", "sorry", "i apologize", "i apologise"})) {
    if (!take_one({", ", ". ", " "})) return false;
    take_one({"but "});
  }
  if (!take_one({"i can't ", "i cannot ", "i can not ", "i'm unable to ", "i am unable to ", "i'm not able to ",
                 "i am not able to ", "i won't "}))
    return false;
  if (!take_one({"help ", "assist ", "comply "}) ||
      !take_one({"with that", "with this", "you with that", "you with this"}))
    return false;
  take_one({" request"});
  take_one({".", "!"});
  return rest.empty();
}

// "support-chat", "chat/v2", "ChatBot"; not "openai.chat.completions".
bool is_chat_label(std::string_view site) {
  std::string word;
  bool chat = false, completion = false;
  const auto end_word = [&] {
    chat = chat || word == "chat" || word == "chatbot" || word == "smalltalk";
    completion = completion || word == "completion" || word == "completions";
    word.clear();
  };
  for (const char c : site) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper || (c >= 'a' && c <= 'z'))
      word += upper ? static_cast<char>(c - 'A' + 'a') : c;
    else
      end_word();
  }
  end_word();
  return chat && !completion;
}

// "Observation: …", "Final Answer: …": one or two words and a colon, as programs head what they pass on.
bool is_headed(std::string_view text) {
  constexpr size_t kLongestHeading = 24;
  if (text.empty() || text.front() < 'A' || text.front() > 'Z') return false;
  const auto head = text.substr(0, std::min(text.size(), kLongestHeading));
  const size_t colon = head.find(':');
  if (colon == std::string_view::npos) return false;
  size_t n_gaps = 0;
  for (const char c : head.substr(0, colon)) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (c == ' ') ++n_gaps;
    if ((!letter && c != ' ') || n_gaps > 1) return false;
  }
  return true;
}

bool is_structured(std::string_view text) {
  const auto framed = [&](char open, char close) { return text.front() == open && text.back() == close; };
  return framed('{', '}') || framed('[', ']') || framed('<', '>') || text.starts_with("```") || is_headed(text);
}

bool is_label(std::string_view text) {
  if (text.size() > kMaxLabelBytes) return false;
  const char last = text.back();
  if (last == '.' || last == '!' || last == '?') return false;
  size_t n_words = 1;
  for (size_t i = 1; i < text.size(); ++i) n_words += is_json_space(text[i]) && !is_json_space(text[i - 1]);
  return n_words <= kMaxLabelWords;
}

bool wants_json(const json::object* params) {
  if (params == nullptr) return false;
  const auto* format = get_object(*params, "response_format");
  return format != nullptr && get_string(*format, "type").starts_with("json");
}

// Do user turns share a written frame, as few-shot examples do: the same first words up to a colon or a line's end?
bool share_frame(const std::vector<std::string>& turns) {
  std::string_view common = turns.front();
  for (const auto& turn : turns) {
    const auto ends = std::mismatch(common.begin(), common.end(), turn.begin(), turn.end());
    common = common.substr(0, static_cast<size_t>(ends.first - common.begin()));
  }
  const size_t mark = common.find_last_of(":\n");
  return mark != std::string_view::npos && mark + 1 >= kMinFrameBytes;
}

}  // namespace

bool is_conversation(const json::array& messages) {
  std::vector<std::string> turns;
  for (const auto& message : messages) {
    const auto* object = message.if_object();
    if (object == nullptr || get_string(*object, "role") != "user") continue;
    std::string text = content_text(*object);
    if (!is_headed(trim(text))) turns.push_back(std::move(text));
  }
  return turns.size() >= 2 && !share_frame(turns);
}

bool opens_with_refusal(const json::object& answer) {
  constexpr size_t kLongest = 300, kOpening = 60;
  const auto* calls = get_array(answer, "tool_calls");
  if (calls != nullptr && !calls->empty()) return false;
  const std::string said = content_text(answer);
  if (said.size() > kLongest) return false;
  const std::string text = plainly(said);
  static constexpr std::array<std::string_view, 9> kOpenings = {
      "can't assist with that",  "cannot assist with that",    "can't help with that",
      "cannot help with that",   "unable to assist with that", "can't assist with this",
      "cannot assist with this", "as an ai language model",    "can't fulfill that request"};
  return std::any_of(kOpenings.begin(), kOpenings.end(),
                     [&](std::string_view opening) { return text.find(opening) < kOpening; });
}

std::string_view failure_of(const CallBody& body) {
  if (!body.error.is_null()) return "error";
  const auto* answer = answer_of(body);
  if (answer == nullptr) return "no_response";
  const auto finish = get_string(body.choices.front().get_object(), "finish_reason");
  if (finish == "content_filter" || !get_string(*answer, "refusal").empty() || has_part(*answer, "refusal"))
    return "refusal";
  if (finish == "length") return "length";
  if (answer->contains("tool_calls") || answer->contains("audio")) return {};
  const std::string content = content_text(*answer);
  const std::string_view text = trim(content);
  if (text.empty()) return "empty";
  return is_stock_refusal(text) ? "refusal" : "";
}

bool is_human_facing(const Exchange& exchange) {
  if (exchange.stated) return *exchange.stated;
  if (exchange.answer == nullptr || exchange.answer->contains("tool_calls")) return false;
  if (is_chat_label(exchange.site)) return true;
  const std::string content = content_text(*exchange.answer);
  const std::string_view text = trim(content);
  if (text.empty() || wants_json(exchange.params) || is_structured(text) || is_label(text)) return false;
  return exchange.conversation;
}

void finish_call(LoggedCall& logged) {
  Call& call = logged.call;
  logged.failure = failure_of(call.body);
  call.meta.flags.failed = !logged.failure.empty();
  call.meta.flags.truncated = logged.failure == "length";
  call.meta.seq = std::count_if(call.body.messages.begin(), call.body.messages.end(), [](const json::value& message) {
    return message.is_object() && get_string(message.get_object(), "role") == "assistant";
  });
  call.meta.flags.hci = is_human_facing(
      {std::nullopt, call.meta.site, is_conversation(call.body.messages), &call.body.params, answer_of(call.body)});
}

}  // namespace slm::dialects
