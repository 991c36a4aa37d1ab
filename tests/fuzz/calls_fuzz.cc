// libFuzzer target: tool calls read out of arbitrary text, in the form that the first byte chooses. What isn't read
// stays as it is; what is read, written again, reads the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "../model/call_templates.h"
#include "model/call_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace slm::model;
  static const auto formats = [] {
    std::vector<CallFormat> out{plain_calls()};
    for (const CallTemplate& row : kCallTemplates) {
      auto parsed = slm::text::ChatTemplate::parse(call_template(row.calls));
      auto found = probe(parsed.value(), {});
      if (!found->calls) abort();
      out.push_back(found->format);
    }
    return out;
  }();
  static const auto tools = call_tools();
  if (size == 0) return 0;
  const CallFormat& format = formats[data[0] % formats.size()];
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const ParsedAnswer parsed = parse_answer(text, format, tools);
  const auto* calls = slm::get_array(parsed.message, "tool_calls");
  if (calls == nullptr) {
    if (parsed.message.at("content") != slm::json::string(text)) abort();
    return 0;
  }
  for (const auto& call : *calls) {
    const auto& function = call.at("function").as_object();
    if (slm::get_string(function, "name").empty() || !slm::parse_json(slm::get_string(function, "arguments"))) abort();
  }
  if (format.pairs) return 0;
  const ParsedAnswer again = parse_answer(write_calls(format, *calls), format, tools);
  const auto* same = slm::get_array(again.message, "tool_calls");
  if (same == nullptr || same->size() != calls->size()) abort();
  for (size_t i = 0; i < calls->size(); ++i)
    if ((*same)[i].at("function").at("name") != (*calls)[i].at("function").at("name")) abort();
  return 0;
}
