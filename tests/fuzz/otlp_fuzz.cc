// libFuzzer target: arbitrary bytes as OTLP protobuf, traces and logs, through the joiner. Whatever comes of it must be
// readable again as a stored call.
#include <cstdint>
#include <string_view>

#include "call/dialects/otlp.h"

namespace {

struct Checker final : slm::dialects::CallSink {
  bool call(const slm::dialects::LoggedCall& logged) override {
    const slm::CallBody& body = logged.call.body;
    slm::canonical_text(body);
    if (!slm::call_meta_from_json(slm::to_json(logged.call.meta)) || !slm::call_body_from_json(slm::to_json(body)))
      __builtin_trap();
    return true;
  }
  void skip(std::string_view) override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  slm::dialects::OtlpJoiner joiner;
  Checker checker;
  for (const auto read : {slm::otel::read_protobuf_traces, slm::otel::read_protobuf_logs}) {
    slm::otel::Batch batch;
    if (read(bytes, batch).empty()) joiner.add(std::move(batch), 1, checker);
  }
  joiner.finish(checker);
  return 0;
}
