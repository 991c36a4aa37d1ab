// A call out of what passed between a client and a provider: the request's and the response's bytes, streamed or not.
//
//   kChat        OpenAI chat completions                        dialects/openai_chat
//   kResponses   OpenAI responses                               dialects/openai_responses
//   kEmbeddings  OpenAI embeddings: the input only              here
//   kMessages    Anthropic messages                             dialects/anthropic
//
// A stream is put together as the provider would have answered in one piece (stream_*.cc), then read like a file's
// record. What can't be read (a coding, JSON, a shape) is kept as it came, in base64 under `extra`, and flagged
// `undecoded`; what was cut by the recording's bound is flagged `truncated`, a stream that broke off `partial`.
// Units: ms.
// Requires: nothing of the bytes.
// Threads: pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "call/dialects/dialect.h"

namespace slm {

enum class Api { kNone, kChat, kResponses, kEmbeddings, kMessages };
std::string_view api_name(Api api);
// By the end of the path: "/v1/chat/completions", "/openai/deployments/x/chat/completions", "/v1/messages".
Api api_of(std::string_view method, std::string_view target);

// The response had `n_bytes` when `at_ms` had passed since the request.
struct Mark {
  uint64_t n_bytes = 0;
  double at_ms = 0;
};

struct Exchange {
  Api api = Api::kNone;
  std::string request, response;                   // bodies without transfer coding, with content coding
  std::string request_coding, response_coding;     // Content-Encoding
  bool request_cut = false, response_cut = false;  // more passed than was kept
  bool event_stream = false;
  bool broken = false;  // ended before the response's end
  int status = 0;       // 0: none came
  int64_t time_ms = 0;
  double latency_ms = 0;
  std::vector<Mark> marks;                      // ascending
  std::string session, site, source, provider;  // as configured; "" where the request itself says
  std::string session_field;                    // name of a field of the request, "a.b" of one inside another
};

inline constexpr uint64_t kMaxDecodedBytes = uint64_t{64} << 20;

// Takes `exchange` apart. Session and source are still the caller's own words (dialect.h).
dialects::LoggedCall record_call(Exchange exchange);

}  // namespace slm
