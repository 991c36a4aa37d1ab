// What one connection of the proxy has read and not yet used, and bodies framed anew as chunks.
//
// Threads: its loop's.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace slm::collect {

// Bytes read and not yet used. Holds no memory while empty.
class Inbox {
 public:
  std::string_view view() const { return {data_.data() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  void take(size_t n) {
    begin_ += n;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // Room for one more read.
  std::span<char> room(size_t n) {
    if (begin_ > 0) {
      std::copy(data_.begin() + static_cast<ptrdiff_t>(begin_), data_.begin() + static_cast<ptrdiff_t>(end_),
                data_.begin());
      end_ -= begin_;
      begin_ = 0;
    }
    if (data_.size() < end_ + n) data_.resize(end_ + n);
    return {data_.data() + end_, n};
  }
  void added(size_t n) { end_ += n; }
  void shrink() {
    if (empty()) data_ = {};
  }

 private:
  std::vector<char> data_;
  size_t begin_ = 0, end_ = 0;
};

void append_chunk(std::string& out, std::string_view piece);
void append_last_chunk(std::string& out, const std::vector<http::Field>& trailers);

}  // namespace slm::collect
