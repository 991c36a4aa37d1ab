// libFuzzer target: a request and a response of arbitrary bytes as each recorded API, streamed and whole, cut and
// broken. What is made of them must be readable again as a stored call.
#include <cstdint>
#include <string>

#include "call/recording.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t line = std::min(text.find('\n'), text.size());
  static constexpr slm::Api kApis[] = {slm::Api::kChat, slm::Api::kResponses, slm::Api::kEmbeddings,
                                       slm::Api::kMessages};
  slm::Exchange x;
  x.api = kApis[data[0] % 4];
  x.request = text.substr(0, line);
  x.response = text.substr(std::min(line + 1, text.size()));
  x.event_stream = (data[0] & 4) != 0;
  x.broken = (data[0] & 8) != 0;
  x.response_cut = (data[0] & 16) != 0;
  x.status = (data[0] & 32) != 0 ? 500 : 200;
  x.session_field = "a.b";
  x.marks = {{data[1], 1.0}, {text.size(), 2.0}};
  const auto logged = slm::record_call(x);
  slm::canonical_text(logged.call.body);
  slm::template_signature(logged.call.body.messages);
  if (!slm::call_meta_from_json(slm::to_json(logged.call.meta)) ||
      !slm::call_body_from_json(slm::to_json(logged.call.body)))
    __builtin_trap();
  return 0;
}
