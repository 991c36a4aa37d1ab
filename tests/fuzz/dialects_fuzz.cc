// libFuzzer target: a log file of arbitrary bytes through the record reader and every dialect. Whatever a dialect makes
// of it must be readable again as a stored call.
#include <cstdint>
#include <sstream>
#include <string>

#include "call/dialects/dialect.h"
#include "collect/reader.h"

namespace {

struct Checker final : slm::dialects::CallSink {
  bool call(const slm::dialects::LoggedCall& logged) override {
    const slm::CallBody& body = logged.call.body;
    slm::canonical_text(body);
    slm::template_signature(body.messages);
    slm::tool_signature(body.tools);
    slm::last_input_delta(body.messages);
    if (!slm::call_meta_from_json(slm::to_json(logged.call.meta)) || !slm::call_body_from_json(slm::to_json(body)))
      __builtin_trap();
    return true;
  }
  void skip(std::string_view) override {}
};

void read_as_all(std::string_view text) {
  const auto record = slm::parse_json(text);
  if (!record) return;
  for (const auto& dialect : slm::dialects::all()) {
    slm::json::value copy = *record;
    dialect.sniff(copy);
    Checker checker;
    dialect.parse(copy, checker);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t kMaxRecordBytes = 4096;  // small, so that long records are met too
  std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
  const auto source = slm::collect::stream_source(in);
  slm::collect::RecordReader reader(*source, kMaxRecordBytes);
  slm::collect::RecordReader::Record record;
  for (auto more = reader.next(record); more && *more; more = reader.next(record))
    if (record.bad.empty()) read_as_all(record.text);
  return 0;
}
