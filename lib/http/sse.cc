#include "http/sse.h"

#include <algorithm>

namespace slm::http {

void SseParser::feed(std::string_view bytes, const std::function<void(const SseEvent&)>& visit) {
  const uint64_t before = n_read_;
  size_t at = 0;
  while (at < bytes.size() && !overflow_) {
    if (after_cr_ && bytes[at] == '\n') {
      after_cr_ = false;
      n_read_ = before + ++at;
      continue;
    }
    after_cr_ = false;
    const size_t end = std::min(bytes.find_first_of("\r\n", at), bytes.size());
    line_.append(bytes.substr(at, end - at));
    if (line_.size() + data_.size() > max_event_bytes_) {
      overflow_ = true;
      return;
    }
    at = end;
    if (at == bytes.size()) break;
    after_cr_ = bytes[at] == '\r';
    n_read_ = before + ++at;
    end_line(visit);
  }
  n_read_ = before + bytes.size();
}

void SseParser::end_line(const std::function<void(const SseEvent&)>& visit) {
  std::string_view line = line_;
  if (!started_ && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  started_ = true;
  if (line.empty()) {
    if (has_data_) visit({name_, data_, n_read_});
    name_.clear();
    data_.clear();
    has_data_ = false;
  } else if (line.front() != ':') {
    const size_t colon = line.find(':');
    const std::string_view field = line.substr(0, colon);
    std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (field == "data") {
      if (has_data_) data_ += '\n';
      data_ += value;
      has_data_ = true;
    } else if (field == "event") {
      name_ = value;
    }
  }
  line_.clear();
}

}  // namespace slm::http
