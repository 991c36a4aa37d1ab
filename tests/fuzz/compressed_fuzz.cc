// libFuzzer target: arbitrary bytes as a compressed log, through the decoders and the record reader.
#include <cstdint>
#include <sstream>
#include <string>

#include "collect/compressed.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t kMaxRecordBytes = 4096;
  constexpr uint64_t kMaxBytes = 16 << 20;  // a small input may hold much
  std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
  const auto source = slm::collect::decode_source(slm::collect::stream_source(in), "input", "");
  if (!source) return 0;
  slm::collect::RecordReader reader(**source, kMaxRecordBytes);
  slm::collect::RecordReader::Record record;
  for (auto more = reader.next(record); more && *more && reader.n_bytes_read() < kMaxBytes;
       more = reader.next(record)) {
  }
  return 0;
}
