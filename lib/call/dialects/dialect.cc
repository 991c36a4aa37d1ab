#include "call/dialects/dialect.h"

namespace slm::dialects {

namespace {
constexpr Dialect kDialects[] = {
    // Before openai_chat, which takes any request with messages.
    {"transcript", "requests with the raw text of streamed answers (OpenAI chat and responses, Anthropic)",
     sniff_transcript, parse_transcript},
    {"anthropic", "Anthropic messages, one request and response a record", sniff_anthropic, parse_anthropic_file},
    {"openai_responses", "OpenAI responses, one request and response a record", sniff_openai_responses,
     parse_openai_responses_file},
    {"openai_chat", "OpenAI chat completions, one request and response a record", sniff_openai_chat, parse_openai_chat},
    {"tau_bench", "tau-bench trajectories with their reward", sniff_tau_bench, parse_tau_bench},
    {"otlp", "OpenTelemetry GenAI, OpenLLMetry and OpenInference spans and log records in OTLP's JSON", sniff_otlp,
     parse_otlp, join_otlp},
    {"litellm", "LiteLLM standard logging payloads", sniff_litellm, parse_litellm},
    {"langfuse", "Langfuse exports: observations, traces, ingestion events", sniff_langfuse, parse_langfuse,
     join_langfuse},
    {"openai_stored", "OpenAI stored completions and their messages", sniff_openai_stored, parse_openai_stored,
     join_openai_stored},
    {"sharegpt", "ShareGPT conversations", sniff_sharegpt, parse_sharegpt},
    {"messages", "conversations as lists of messages; OpenAI fine-tuning files", sniff_messages, parse_messages},
};
}  // namespace

std::span<const Dialect> all() { return kDialects; }

const Dialect* by_name(std::string_view name) {
  for (const auto& dialect : kDialects)
    if (dialect.name == name) return &dialect;
  return nullptr;
}

const Dialect* recognise(const json::value& record) {
  const Dialect* best = nullptr;
  int sureness = 0;
  for (const auto& dialect : kDialects)
    if (const int n = dialect.sniff(record); n > sureness) best = &dialect, sureness = n;
  return best;
}

}  // namespace slm::dialects
