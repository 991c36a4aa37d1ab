#include "call/dialects/dialect.h"

namespace slm::dialects {

namespace {
constexpr Dialect kDialects[] = {
    {"openai_chat", "OpenAI chat completions, one request and response a record", sniff_openai_chat, parse_openai_chat},
    {"tau_bench", "tau-bench trajectories with their reward", sniff_tau_bench, parse_tau_bench},
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
