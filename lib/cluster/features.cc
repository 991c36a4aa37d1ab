#include "cluster/features.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "core/hash.h"

namespace slm::cluster {

namespace {

constexpr size_t kMaxMessageBytes = 2048;  // of one message of the delta
constexpr size_t kMaxDeltaBytes = 4096;
constexpr size_t kMaxSystemBytes = 8192;
constexpr size_t kMaxTokens = 256;        // coordinates of a table
constexpr size_t kMaxSystemTexts = 4000;  // distinct ones the system block is fitted on
constexpr int kHeadWords = 6;
constexpr int kLeastWords = 6;  // spaces in a system prompt that says by itself what the call is for

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

void append_masked(std::string& out, std::string_view text, size_t max_bytes) {
  for (const char c : text.substr(0, max_bytes)) out += c >= '0' && c <= '9' ? '0' : c;
}

bool is_instruction_role(std::string_view role) { return role == "system" || role == "developer"; }

uint64_t token(std::string_view kind, std::string_view value) { return fnv1a(value, fnv1a(kind)); }

// Name of a called tool by the id of its call.
std::string_view tool_of_result(const json::array& messages, const json::object& result) {
  if (const auto name = get_string(result, "name"); !name.empty()) return name;
  const auto id = get_string(result, "tool_call_id");
  if (id.empty()) return {};
  for (const auto& message : messages) {
    const auto* object = message.if_object();
    const auto* calls = object ? get_array(*object, "tool_calls") : nullptr;
    if (calls == nullptr) continue;
    for (const auto& call : *calls) {
      const auto* call_object = call.if_object();
      if (call_object == nullptr || get_string(*call_object, "id") != id) continue;
      if (const auto* function = get_object(*call_object, "function")) return get_string(*function, "name");
    }
  }
  return {};
}

// Hash of the first words with digits masked; 0 where the text has hardly more.
uint64_t head_of(std::string_view text) {
  uint64_t hash = fnv1a("head");
  size_t pos = 0;
  for (int word = 0; word < kHeadWords; ++word) {
    while (pos < text.size() && is_space(text[pos])) ++pos;
    const size_t begin = pos;
    while (pos < text.size() && !is_space(text[pos])) ++pos;
    if (begin == pos) return 0;
    hash = fnv1a(text.substr(begin, pos - begin), hash * 31);
  }
  return text.size() > pos + 1 ? hash : 0;
}

}  // namespace

RequestText read_request(const Request& request) {
  static const json::array kNone;
  const auto& messages = request.messages ? *request.messages : kNone;
  const auto& tools = request.tools ? *request.tools : kNone;
  RequestText out;
  std::set<std::string, std::less<>> called;
  const json::object* last_turn = nullptr;
  for (const auto& message : messages) {
    const auto* object = message.if_object();
    if (object == nullptr) continue;
    const auto role = get_string(*object, "role");
    if (is_instruction_role(role)) {
      if (out.system.size() < kMaxSystemBytes) {
        append_masked(out.system, content_text(*object), kMaxSystemBytes - out.system.size());
        out.system += '\n';
      }
    } else if (role == "assistant") {
      ++out.n_turns;
      last_turn = object;
      if (const auto* calls = get_array(*object, "tool_calls"))
        for (const auto& call : *calls)
          if (const auto* call_object = call.if_object())
            if (const auto* function = get_object(*call_object, "function"))
              called.emplace(get_string(*function, "name"));
    }
  }
  std::string_view last_role;
  std::string last_tool;
  std::string opening;
  for (const auto& message : last_input_delta(messages)) {
    const auto* object = message.if_object();
    if (object == nullptr) continue;
    const auto role = get_string(*object, "role");
    if (is_instruction_role(role)) continue;
    last_role = role == "tool" || role == "function" ? std::string_view("tool") : std::string_view("user");
    last_tool = last_role == "tool" ? std::string(tool_of_result(messages, *object)) : std::string();
    if (out.delta.size() >= kMaxDeltaBytes) continue;
    const size_t begin = out.delta.size();
    append_masked(out.delta, content_text(*object), std::min(kMaxMessageBytes, kMaxDeltaBytes - begin));
    if (out.n_turns == 0 && opening.empty()) opening = out.delta.substr(begin);
    out.delta += '\n';
  }
  while (!out.system.empty() && is_space(out.system.back())) out.system.pop_back();
  while (!out.delta.empty() && is_space(out.delta.back())) out.delta.pop_back();
  out.head = head_of(opening);
  if (last_turn != nullptr) {
    append_masked(out.context, content_text(*last_turn), kMaxMessageBytes);
    if (const auto* calls = get_array(*last_turn, "tool_calls"))
      for (const auto& call : *calls)
        if (const auto* call_object = call.if_object())
          if (const auto* function = get_object(*call_object, "function")) {
            (out.context += '\n') += get_string(*function, "name");
            out.context += ' ';
            append_masked(out.context, get_string(*function, "arguments"), kMaxMessageBytes);
          }
  }

  const auto template_id = template_signature(messages), tools_id = tool_signature(tools);
  if (!request.site.empty()) {
    out.site = token("site", request.site);
    out.key.emplace_back(out.site, 2.0f);
  }
  out.key.emplace_back(token("template", template_id), 2.0f);
  out.key.emplace_back(token("tools", tools_id), 1.0f);
  const auto n_words = std::count_if(out.system.begin(), out.system.end(), is_space);
  out.instruction = n_words >= kLeastWords ? token("template", template_id) : token(template_id, tools_id);
  out.has_instruction = !request.site.empty() || !out.system.empty() || !tools.empty();

  out.state.emplace_back(token("last", last_role), 1.0f);
  if (last_role == "tool") out.state.emplace_back(token("last tool", last_tool), 2.0f);
  for (const auto& name : called) out.state.emplace_back(token("called", name), 0.5f);
  const char* turn = out.n_turns == 0 ? "first" : out.n_turns <= 2 ? "early" : out.n_turns <= 6 ? "middle" : "late";
  out.state.emplace_back(token("turn", turn), 0.5f);
  return out;
}

std::string action_of(const CallBody& body) {
  const auto* answer = answer_of(body);
  if (answer == nullptr) return {};
  if (const auto tool = first_tool(*answer); !tool.empty()) return "tool " + tool;
  const auto text = content_text(*answer);
  const auto first = std::find_if_not(text.begin(), text.end(), is_space);
  if (first == text.end()) return {};
  if ((*first == '{' || *first == '[') &&
      parse_json(std::string_view(text).substr(static_cast<size_t>(first - text.begin()))))
    return "json";
  return "text";
}

TokenTable TokenTable::fit(const std::vector<const std::vector<WeightedToken>*>& calls) {
  std::unordered_map<uint64_t, size_t> counts;
  for (const auto* call : calls)
    for (const auto& [hash, weight] : *call) ++counts[hash];
  const size_t n = calls.size(), least = std::max<size_t>(3, n / 500), most = n - n / 100;
  std::vector<std::pair<size_t, uint64_t>> kept;
  for (const auto& [hash, count] : counts)
    if (count >= least && count < most) kept.emplace_back(count, hash);
  std::sort(kept.begin(), kept.end(),
            [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  kept.resize(std::min(kept.size(), kMaxTokens));
  TokenTable out;
  for (const auto& [count, hash] : kept) out.tokens_.push_back(hash);
  std::sort(out.tokens_.begin(), out.tokens_.end());
  return out;
}

bool TokenTable::embed(const std::vector<WeightedToken>& tokens, float* out) const {
  std::fill(out, out + width(), 0.0f);
  for (const auto& [hash, weight] : tokens) {
    const auto at = std::lower_bound(tokens_.begin(), tokens_.end(), hash);
    if (at != tokens_.end() && *at == hash) out[at - tokens_.begin()] += weight;
  }
  return embed::normalise(out, width());
}

void TokenTable::serialise(Bytes& out) const {
  put_u32(out, static_cast<uint32_t>(tokens_.size()));
  for (const auto hash : tokens_) put_u64(out, hash);
}

Result<TokenTable> TokenTable::parse(ByteSpan in, size_t& pos) {
  const auto damaged = [] { return fail(ErrorCode::kBadInput, "a task map is damaged: a table of tokens ends early"); };
  if (pos > in.size() || in.size() - pos < 4) return damaged();
  const uint32_t n = get_u32(in.data() + pos);
  pos += 4;
  if (n > kMaxTokens || in.size() - pos < 8 * size_t{n}) return damaged();
  TokenTable out;
  for (uint32_t i = 0; i < n; ++i, pos += 8) out.tokens_.push_back(get_u64(in.data() + pos));
  if (!std::is_sorted(out.tokens_.begin(), out.tokens_.end())) return damaged();
  return out;
}

Result<Featuriser> Featuriser::fit(const std::vector<const RequestText*>& sample, const FeatureOptions& options) {
  Featuriser out;
  out.key_weight_ = options.key_weight;
  out.system_weight_ = options.system_weight;
  out.state_weight_ = options.state_weight;
  out.context_weight_ = options.context_weight;
  out.delta_weight_ = options.delta_weight;
  std::vector<const std::vector<WeightedToken>*> keys, states;
  std::vector<std::string_view> systems, contexts, deltas;
  std::unordered_set<std::string_view> distinct_systems;
  for (const auto* request : sample) {
    keys.push_back(&request->key);
    states.push_back(&request->state);
    deltas.push_back(request->delta);
    if (!request->context.empty()) contexts.push_back(request->context);
    // Each system prompt once: what a frequent call site says must not become a stop word of the rare ones.
    if (distinct_systems.size() < kMaxSystemTexts && distinct_systems.insert(request->system).second)
      systems.push_back(request->system);
  }
  out.key_ = TokenTable::fit(keys);
  out.state_ = TokenTable::fit(states);
  const auto fit_text = [&](const std::vector<std::string_view>& texts, size_t rank,
                            embed::TextEmbedder& embedder) -> Status {
    if (std::all_of(texts.begin(), texts.end(), [&](std::string_view text) { return text == texts.front(); }))
      return {};
    embed::TextEmbedderOptions text;
    text.svd.seed = options.seed;
    text.svd.rank = rank;
    SLM_TRY(embedder, embed::TextEmbedder::fit(texts, text));
    return {};
  };
  SLM_CHECK(fit_text(systems, options.system_rank, out.system_));
  SLM_CHECK(fit_text(contexts, options.context_rank, out.context_));
  SLM_CHECK(fit_text(deltas, options.delta_rank, out.delta_));
  return out;
}

void Featuriser::embed(const RequestText& request, float* out) const {
  const auto weigh = [](float* block, size_t n, float weight) {
    const float scale = std::sqrt(weight);
    for (size_t i = 0; i < n; ++i) block[i] *= scale;
  };
  float* block = out;
  const auto put = [&](const auto& embedder, const auto& what, float weight) {
    embedder.embed(what, block);
    weigh(block, embedder.width(), weight);
    block += embedder.width();
  };
  put(key_, request.key, key_weight_);
  put(system_, request.system, system_weight_);
  put(state_, request.state, state_weight_);
  put(context_, request.context, context_weight_);
  put(delta_, request.delta, delta_weight_);
  embed::normalise(out, width());
}

void Featuriser::serialise(Bytes& out) const {
  for (const float weight : {key_weight_, system_weight_, state_weight_, context_weight_, delta_weight_})
    put_u32(out, std::bit_cast<uint32_t>(weight));
  key_.serialise(out);
  state_.serialise(out);
  for (const auto* embedder : {&system_, &context_, &delta_}) {
    out.push_back(embedder->width() > 0 ? 1 : 0);
    if (embedder->width() > 0) embedder->serialise(out);
  }
}

Result<Featuriser> Featuriser::parse(ByteSpan in, size_t& pos) {
  const auto damaged = [] { return fail(ErrorCode::kBadInput, "a task map is damaged: its features end early"); };
  Featuriser out;
  for (float* weight :
       {&out.key_weight_, &out.system_weight_, &out.state_weight_, &out.context_weight_, &out.delta_weight_}) {
    if (pos > in.size() || in.size() - pos < 4) return damaged();
    *weight = std::bit_cast<float>(get_u32(in.data() + pos));
    if (!(*weight >= 0 && *weight <= 1)) return damaged();
    pos += 4;
  }
  SLM_TRY(out.key_, TokenTable::parse(in, pos));
  SLM_TRY(out.state_, TokenTable::parse(in, pos));
  for (auto* embedder : {&out.system_, &out.context_, &out.delta_}) {
    if (pos >= in.size()) return damaged();
    if (in[pos++] == 0) continue;
    SLM_TRY(*embedder, embed::TextEmbedder::parse(in, pos));
  }
  return out;
}

}  // namespace slm::cluster
