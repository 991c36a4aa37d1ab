// One logged call in canonical form: OpenAI chat. Every dialect maps into it without loss of text.
//
// `CallBody` is what is sealed in the body partition, `CallMeta` in the meta partition. Both go to and from JSON here;
// nobody else knows their keys.
// Units: times in ms since the epoch (UTC); durations in ms; tokens as the provider counted them.
// Errors: kBadInput, naming the key; never the text.
// Source: OpenAI chat completions API (openai-python `types/chat`), schemas/call/call.schema.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/ids.h"
#include "schema/json.h"

namespace slm {

struct Usage {
  std::optional<int64_t> n_in, n_out, n_cached;  // tokens as billed
};

struct Flags {
  bool hci = false;  // the answer speaks to the human
  bool streamed = false, partial = false, truncated = false, vision = false, needs_parent = false, undecoded = false;
  bool failed = false;       // error, refusal, empty or cut answer
  bool bad_session = false;  // its session's outcome was a failure
};

// What became of it, where the log knows.
struct Outcome {
  std::optional<bool> success;  // of the session (workflow)
  std::optional<double> score;  // of the session
  json::value truth;            // right answer of this very call: an assistant message; null if not known
};

struct CallMeta {
  CallId id;
  std::string session;  // pseudonym or hash of the log's session id; "" = a session of its own
  std::string group;    // sessions that are trials of one case share it; "" = the session
  int64_t seq = 0;      // position in the session, from 0
  std::string site;     // call-site label (workload_id) or ""
  std::optional<int64_t> time_ms;
  std::optional<double> latency_ms, ttft_ms;
  std::string provider, model, operation = "chat", finish_reason;
  Usage usage;
  std::optional<bool> success;
  std::optional<double> score;
  bool has_truth = false;
  std::string source;  // pseudonym
  Flags flags;
  std::string split;      // curated only: "train", "validation", "test"
  std::string raw_group;  // curated only: hexadecimal name of the raw group it came from
};

struct CallBody {
  json::array messages;  // the request's
  json::array tools;     // definitions, may be empty
  json::array choices;   // [{"message": {...}, "finish_reason": "..."}], ≥ 1 unless the call failed
  json::object params;   // temperature, response_format, tool_choice, …: an allow-list
  json::object extra;    // allow-listed unknown fields of the dialect
  json::value truth;     // assistant message or null
  json::value error;     // the provider's error object, or null
};

struct Call {
  CallMeta meta;
  CallBody body;
};

json::object to_json(const CallMeta& meta);
json::object to_json(const CallBody& body);
// The text of to_json(body), without copying what it holds.
std::string body_text(const CallBody& body);
Result<CallMeta> call_meta_from_json(const json::value& value);
Result<CallBody> call_body_from_json(const json::value& value);

// The answer that the log holds: choices[0].message, or nullptr.
const json::object* answer_of(const CallBody& body);
// Text of a message: its content if a string, the text parts joined by newlines if a list.
std::string content_text(const json::object& message);
// Name of the tool the answer calls first; "" when it calls none.
std::string first_tool(const json::object& answer);
// What canonicalises a request and its response for deduplication (tag): canonical JSON of messages, tools, params,
// choices.
std::string canonical_text(const CallBody& body);

// The messages after the last assistant turn (what this call added to its conversation): for near-duplicates and
// clustering of agent loops. The first call of a conversation added all but its leading system messages (all if it has
// no others).
json::array last_input_delta(const json::array& messages);

// What a router sees of a call: everything but the answer.
struct Request {
  const json::array* messages = nullptr;
  const json::array* tools = nullptr;
  std::string_view site;
};
inline Request request_of(const Call& call) { return {&call.body.messages, &call.body.tools, call.meta.site}; }

// Digest of the system prompt with its variable parts masked (numbers, dates, quoted and long tokens), 16 hexadecimal
// digits: two calls of one call site share it. Tool signature: digest of the sorted tool names and parameter names.
// Without system prompt or tools: the digest of nothing, the same for all such calls.
std::string template_signature(const json::array& messages);
std::string tool_signature(const json::array& tools);

}  // namespace slm
