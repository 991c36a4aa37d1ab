#include "model/codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "model/call_grammar.h"
#include "model/conversation.h"
#include "model/special_tokens.h"
#include "nn/config.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace slm::model {
namespace {

class TemplateCodec final : public Codec {
 public:
  Status load(const std::filesystem::path& dir);

  Result<std::string> render(const Prompt& prompt) const override {
    return render_messages(prompt.messages, prompt.tools, true);
  }
  Result<std::vector<int32_t>> encode_prompt(const Prompt& prompt) const override {
    SLM_TRY(const std::string text, render(prompt));
    return tokenizer_->encode(text);
  }
  Result<Example> encode_example(const Prompt& prompt, const json::object& answer) const override;
  ParsedAnswer parse(std::span<const int32_t> ids, const json::array& tools) const override;
  Result<std::shared_ptr<const ByteGrammar>> call_grammar(const json::array& tools) const override;
  std::vector<int32_t> encode_text(std::string_view text) const override { return tokenizer_->encode(text); }
  std::string decode_text(std::span<const int32_t> ids, bool keep_special) const override {
    return tokenizer_->decode(ids, keep_special);
  }
  std::span<const int32_t> end_ids() const override { return end_ids_; }
  int32_t n_ids() const override { return tokenizer_->n_ids(); }
  std::shared_ptr<const Vocabulary> vocabulary() const override;

 private:
  Result<std::string> render_messages(const json::array& messages, const json::array& tools, bool for_answer) const;
  void find_call_marks();
  std::string mark_special(std::string_view text) const;
  std::string_view without_end(std::string_view text) const;
  Status find_end_ids(const std::filesystem::path& dir, const json::object& tokenizer_config);
  void add_end_id(int64_t id);
  bool ends(int32_t id) const { return std::find(end_ids_.begin(), end_ids_.end(), id) != end_ids_.end(); }

  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::optional<text::ChatTemplate> template_;
  text::RenderOptions options_;
  Abilities abilities_;
  std::vector<int32_t> end_ids_;
  std::vector<std::string> special_;  // texts of the special tokens, the longest first
  std::vector<int32_t> call_marks_;   // special tokens that calls are written with, sorted
  mutable std::once_flag vocabulary_once_;
  mutable std::shared_ptr<const Vocabulary> vocabulary_;
};

Status TemplateCodec::load(const std::filesystem::path& dir) {
  SLM_TRY(tokenizer_, text::Tokenizer::open(dir));
  SLM_TRY(auto chat_template, text::ChatTemplate::open(dir));
  template_.emplace(std::move(chat_template));
  options_.now_ms = kTemplateTimeMs;
  SLM_TRY(options_.variables, special_tokens(dir, *tokenizer_));
  // A small model that takes over a call answers at once; templates that know the switch leave out the thinking part.
  options_.variables["enable_thinking"] = false;
  SLM_TRY(abilities_, probe(*template_, options_));
  SLM_CHECK(find_end_ids(dir, options_.variables));
  find_call_marks();
  return {};
}

void TemplateCodec::find_call_marks() {
  CallFormat& format = abilities_.format;
  // What ends the turn ends the calls: it is no text of an answer.
  for (const int32_t id : end_ids_) {
    const std::string end = tokenizer_->piece_of(id);
    const auto cut = [&](std::string& text) {
      const size_t at = end.empty() ? std::string::npos : text.find(end);
      if (at == std::string::npos) return false;
      text.resize(at);
      return true;
    };
    cut(format.close);
    cut(format.json_close);
    if (cut(format.call.back().text)) {
      format.close.clear();
      format.several = false;
    }
    if (!end.empty() && format.between.find(end) != std::string::npos) format.several = false;
  }
  for (int32_t id = 0; id < n_ids(); ++id)
    if (tokenizer_->is_special(id) && !tokenizer_->piece_of(id).empty()) special_.push_back(tokenizer_->piece_of(id));
  std::sort(special_.begin(), special_.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  std::string marks = mark_special(format.preamble + format.open + format.between + format.close);
  for (const CallPart& part : format.call) marks += mark_special(part.text);
  if (format.pairs)
    for (const std::string* text : {&format.pairs->open, &format.pairs->middle, &format.pairs->close,
                                    &format.pairs->quote_open, &format.pairs->quote_close, &format.pairs->between})
      marks += mark_special(*text);
  for (const std::string& piece : special_)
    if (marks.find(kSpecialMark + piece) != std::string::npos) call_marks_.push_back(tokenizer_->id_of(piece));
  std::sort(call_marks_.begin(), call_marks_.end());
}

std::string_view TemplateCodec::without_end(std::string_view text) const {
  for (const int32_t id : end_ids_)
    if (const std::string end = tokenizer_->piece_of(id); !end.empty()) text = text.substr(0, text.find(end));
  return text;
}

// As added tokens are found in a text: from its begin on, the longest that is there.
std::string TemplateCodec::mark_special(std::string_view text) const {
  std::string out;
  while (!text.empty()) {
    const auto found = std::find_if(special_.begin(), special_.end(),
                                    [&](const std::string& piece) { return text.starts_with(piece); });
    const size_t n = found == special_.end() ? 1 : found->size();
    if (found != special_.end()) out += kSpecialMark;
    out += text.substr(0, n);
    text.remove_prefix(n);
  }
  return out;
}

void TemplateCodec::add_end_id(int64_t id) {
  if (id >= 0 && id < n_ids() && !ends(static_cast<int32_t>(id))) end_ids_.push_back(static_cast<int32_t>(id));
}

Status TemplateCodec::find_end_ids(const std::filesystem::path& dir, const json::object& variables) {
  // What the template writes after an answer comes first: it is what training ends an answer with.
  const json::object user{{"role", "user"}, {"content", "probe"}}, answer{{"role", "assistant"}, {"content", "probe"}};
  if (const auto text = template_->render({user, answer}, {}, options_))
    if (const size_t at = text->rfind("probe"); at != std::string::npos)
      for (const int32_t id : tokenizer_->encode_rest(std::string_view(*text).substr(at + 5))) {
        if (tokenizer_->is_special(id)) {
          add_end_id(id);
          break;
        }
      }
  std::vector<json::object> configs;
  SLM_TRY(configs.emplace_back(), optional_object(dir / "generation_config.json"));
  if (std::error_code ec; std::filesystem::exists(dir / "config.json", ec)) {
    SLM_TRY(const json::value value, nn::read_config_json(dir / "config.json"));
    SLM_TRY(const json::object* object, want_object(value, "config.json"));
    configs.push_back(*object);
  }
  for (const auto& config : configs) {
    const json::value* ids = config.if_contains("eos_token_id");
    if (ids == nullptr) continue;
    if (const auto* list = ids->if_array()) {
      for (const auto& id : *list)
        if (id.is_int64()) add_end_id(id.get_int64());
    } else if (ids->is_int64()) {
      add_end_id(ids->get_int64());
    }
  }
  if (const auto* eos = variables.if_contains("eos_token"))
    add_end_id(tokenizer_->id_of(std::string_view(eos->get_string())));
  if (end_ids_.empty())
    return fail(ErrorCode::kUnsupportedModel, fmt::format("{} says nowhere which token ends an answer", dir.string()),
                "set eos_token_id in generation_config.json");
  return {};
}

Result<std::string> TemplateCodec::render_messages(const json::array& messages, const json::array& tools,
                                                   bool for_answer) const {
  SLM_CHECK(check_calls(messages, abilities_));
  const Adapted adapted = adapt(messages, tools, abilities_);
  text::RenderOptions options = options_;
  options.add_generation_prompt = for_answer;
  return template_->render(adapted.messages, adapted.tools, options);
}

Result<Example> TemplateCodec::encode_example(const Prompt& prompt, const json::object& answer) const {
  SLM_TRY(const std::string head, render(prompt));
  json::array messages = prompt.messages;
  json::object last = answer;
  last["role"] = "assistant";
  messages.push_back(last);
  SLM_TRY(const std::string whole, render_messages(messages, prompt.tools, false));
  if (!whole.starts_with(head))
    return fail(
        ErrorCode::kUnsupportedModel,
        "the chat template writes a conversation with its answer otherwise than its prompt, so the answer's tokens "
        "can't be told apart",
        "slmconv models check DIR");
  // Values without quotes, or with quotes that aren't escaped, may be read as something else than was meant.
  if (abilities_.calls && abilities_.format.pairs && answer.contains("tool_calls") &&
      !same_calls(
          parse_answer(without_end(std::string_view(whole).substr(head.size())), abilities_.format, prompt.tools)
              .message,
          last))
    return fail(ErrorCode::kBadInput,
                "an argument of a tool call would be read back as another, as the template writes it");
  Example out;
  out.ids = tokenizer_->encode(head);
  out.n_prompt = out.ids.size();
  std::vector<int32_t> ids = tokenizer_->encode(whole);
  if (ids.size() >= out.n_prompt && std::equal(out.ids.begin(), out.ids.end(), ids.begin())) {
    out.ids = std::move(ids);
  } else {
    // The tokenizer merges across the border, which generation never sees: the answer is encoded by itself.
    const auto rest = tokenizer_->encode_rest(std::string_view(whole).substr(head.size()));
    out.ids.insert(out.ids.end(), rest.begin(), rest.end());
  }
  // Nothing is learnt after the end of the turn.
  size_t end = out.ids.size();
  while (end > out.n_prompt && !ends(out.ids[end - 1])) --end;
  if (end > out.n_prompt) {
    out.ids.resize(end);
  } else {
    out.ids.push_back(end_ids_.front());
  }
  return out;
}

ParsedAnswer TemplateCodec::parse(std::span<const int32_t> ids, const json::array& tools) const {
  // The marks of a call are kept though they may be special tokens; nothing else that is special is text.
  std::string text;
  size_t begin = 0;
  for (size_t i = 0; i <= ids.size(); ++i) {
    const bool mark = i < ids.size() && std::binary_search(call_marks_.begin(), call_marks_.end(), ids[i]);
    if (i < ids.size() && !mark) continue;
    text += tokenizer_->decode_rest(ids.subspan(begin, i - begin), false);
    if (mark) text += tokenizer_->piece_of(ids[i]);
    begin = i + 1;
  }
  return parse_answer(text, abilities_.format, tools);
}

Result<std::shared_ptr<const ByteGrammar>> TemplateCodec::call_grammar(const json::array& tools) const {
  return model::call_grammar(abilities_.format, tools, [&](std::string_view text) { return mark_special(text); });
}

std::shared_ptr<const Vocabulary> TemplateCodec::vocabulary() const {
  std::call_once(vocabulary_once_, [&] {
    std::vector<std::string> bytes;
    for (int32_t id = 0; id < n_ids(); ++id) {
      const bool special = tokenizer_->is_special(id);
      bytes.push_back(special ? kSpecialMark + tokenizer_->piece_of(id) : tokenizer_->token_bytes(id));
      // A byte that is in no text would pass for the mark.
      if (!special && bytes.back().find(kSpecialMark) != std::string::npos) bytes.back().clear();
    }
    vocabulary_ = std::make_shared<Vocabulary>(std::move(bytes), end_ids_);
  });
  return vocabulary_;
}

}  // namespace

Result<std::unique_ptr<Codec>> Codec::open(const std::filesystem::path& dir) {
  auto codec = std::make_unique<TemplateCodec>();
  SLM_CHECK(codec->load(dir));
  return std::unique_ptr<Codec>(std::move(codec));
}

}  // namespace slm::model
