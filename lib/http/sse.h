// Server-sent events out of a stream of bytes, as they come.
//
// Requires: nothing of the bytes. An event whose data or name is longer than the bound ends the reading.
// Errors: overflow(); what was read before it was handed over.
// Threads: one.
// Source: WHATWG HTML, "Server-sent events", 9.2.6 Interpreting an event stream.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace slm::http {

struct SseEvent {
  std::string_view name;  // "" when none was given
  std::string_view data;
  uint64_t end = 0;  // bytes of the stream up to the end of the event
};

class SseParser {
 public:
  explicit SseParser(size_t max_event_bytes = size_t{16} << 20) : max_event_bytes_(max_event_bytes) {}
  // Hands over each event that ends in `bytes`. An event that the stream's end cuts off is none.
  void feed(std::string_view bytes, const std::function<void(const SseEvent&)>& visit);
  bool overflow() const { return overflow_; }

 private:
  void end_line(const std::function<void(const SseEvent&)>& visit);

  const size_t max_event_bytes_;
  std::string line_, name_, data_;
  uint64_t n_read_ = 0;
  bool after_cr_ = false, has_data_ = false, started_ = false, overflow_ = false;
};

}  // namespace slm::http
