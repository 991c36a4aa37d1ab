#include "collect/compressed.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>

namespace slm::collect {

namespace {

constexpr size_t kChunkBytes = 128 << 10;
constexpr int kMaxWindowLog = 27;

constexpr std::string_view kGzip = "gzip", kZstd = "zstd";

// The bytes of a source with a look ahead.
class Feed {
 public:
  explicit Feed(std::unique_ptr<ByteSource> source) : source_(std::move(source)), buffer_(kChunkBytes, '\0') {}
  std::string_view rest() const { return {buffer_.data() + begin_, end_ - begin_}; }
  void consume(size_t n) { begin_ += n; }
  uint64_t n_bytes_in() const { return n_in_; }
  // Reads on; what isn't consumed stays in front. False at the end.
  Result<bool> fill() {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (end_ == buffer_.size()) return true;
    SLM_TRY(const size_t n, source_->read(buffer_.data() + end_, buffer_.size() - end_));
    end_ += n;
    n_in_ += n;
    return n > 0;
  }

 private:
  std::unique_ptr<ByteSource> source_;
  std::string buffer_;
  size_t begin_ = 0, end_ = 0;
  uint64_t n_in_ = 0;
};

class PlainSource final : public DecodedSource {
 public:
  explicit PlainSource(Feed feed) : feed_(std::move(feed)) {}
  Result<size_t> read(char* out, size_t n) override {
    if (feed_.rest().empty()) SLM_CHECK(feed_.fill());
    const auto text = feed_.rest().substr(0, n);
    std::memcpy(out, text.data(), text.size());
    feed_.consume(text.size());
    return text.size();
  }
  uint64_t n_bytes_in() const override { return feed_.n_bytes_in(); }

 private:
  Feed feed_;
};

tl::unexpected<Error> cut(const std::string& name, std::string_view what) {
  return fail(ErrorCode::kBadInput, fmt::format("{}: the {} data is truncated: it ends in the middle", name, what),
              "get the whole file and give the same command again: what is stored is passed over");
}

tl::unexpected<Error> damaged(const std::string& name, std::string_view what, std::string_view how) {
  return fail(ErrorCode::kBadInput, fmt::format("{}: the {} data is damaged: {}", name, what, how));
}

class GzipSource final : public DecodedSource {
 public:
  GzipSource(Feed feed, std::string name) : feed_(std::move(feed)), name_(std::move(name)) {
    ready_ = inflateInit2(&stream_, 16 + MAX_WBITS) == Z_OK;
  }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;
  ~GzipSource() override { inflateEnd(&stream_); }

  Result<size_t> read(char* out, size_t n) override {
    if (!ready_) return fail(ErrorCode::kUnexpected, "zlib can't be initialised");
    for (;;) {
      if (between_) {
        SLM_TRY(const bool more, next_member());
        if (!more) return 0;
      }
      if (feed_.rest().empty()) {
        SLM_TRY(const bool more, feed_.fill());
        if (!more) return cut(name_, kGzip);
      }
      const auto in = feed_.rest();
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
      stream_.avail_in = static_cast<uInt>(in.size());
      stream_.next_out = reinterpret_cast<Bytef*>(out);
      stream_.avail_out = static_cast<uInt>(n);
      const int rc = inflate(&stream_, Z_NO_FLUSH);
      feed_.consume(in.size() - stream_.avail_in);
      if (rc == Z_STREAM_END) {
        between_ = true;
      } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
        return damaged(name_, kGzip, stream_.msg != nullptr ? stream_.msg : "unreadable");
      }
      if (const size_t got = n - stream_.avail_out; got > 0) return got;
    }
  }
  uint64_t n_bytes_in() const override { return feed_.n_bytes_in(); }

 private:
  // Behind a member: another one, or padding up to the end.
  Result<bool> next_member() {
    while (feed_.rest().size() < 2) {
      SLM_TRY(const bool more, feed_.fill());
      if (!more) break;
    }
    if (compression_of(feed_.rest()) != nullptr && feed_.rest().front() == '\x1f') {
      inflateReset(&stream_);
      between_ = false;
      return true;
    }
    for (;;) {
      const auto text = feed_.rest();
      if (std::any_of(text.begin(), text.end(), [](char c) { return c != '\0'; }))
        return damaged(name_, kGzip, "other bytes follow it");
      feed_.consume(text.size());
      SLM_TRY(const bool more, feed_.fill());
      if (!more) return false;
    }
  }

  Feed feed_;
  std::string name_;
  z_stream stream_{};
  bool ready_ = false, between_ = false;
};

class ZstdSource final : public DecodedSource {
 public:
  ZstdSource(Feed feed, std::string name)
      : feed_(std::move(feed)), name_(std::move(name)), stream_(ZSTD_createDStream(), ZSTD_freeDStream) {
    if (stream_ != nullptr) ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
  }
  Result<size_t> read(char* out, size_t n) override {
    if (stream_ == nullptr) return fail(ErrorCode::kOutOfMemory, "zstd can't be initialised");
    for (;;) {
      if (feed_.rest().empty() && !flushing_) {
        SLM_TRY(const bool more, feed_.fill());
        if (!more && in_frame_) return cut(name_, kZstd);
        if (!more) return 0;
      }
      const auto text = feed_.rest();
      ZSTD_inBuffer in{text.data(), text.size(), 0};
      ZSTD_outBuffer to{out, n, 0};
      const size_t rc = ZSTD_decompressStream(stream_.get(), &to, &in);
      feed_.consume(in.pos);
      if (ZSTD_isError(rc) != 0) return damaged(name_, kZstd, ZSTD_getErrorName(rc));
      in_frame_ = rc != 0;
      flushing_ = to.pos == n && in_frame_;  // more may be waiting inside
      if (to.pos > 0) return to.pos;
    }
  }
  uint64_t n_bytes_in() const override { return feed_.n_bytes_in(); }

 private:
  Feed feed_;
  std::string name_;
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream_;
  bool in_frame_ = false, flushing_ = false;
};

}  // namespace

const Compression* compression_of(std::string_view first_bytes) {
  struct Row {
    std::string_view magic;
    Compression compression;
  };
  static constexpr Row kRows[] = {{"\x1f\x8b", {kGzip, "gzip -dc", true}},
                                  {"\x28\xb5\x2f\xfd", {kZstd, "zstd -dc", true}},
                                  {"BZh", {"bzip2", "bzip2 -dc", false}},
                                  {"\xfd\x37zXZ", {"xz", "xz -dc", false}}};
  for (const Row& row : kRows)
    if (first_bytes.starts_with(row.magic)) return &row.compression;
  return nullptr;
}

Result<std::unique_ptr<DecodedSource>> decode_source(std::unique_ptr<ByteSource> source, std::string name,
                                                     const std::string& path) {
  Feed feed(std::move(source));
  while (feed.rest().size() < 8) {
    SLM_TRY(const bool more, feed.fill());
    if (!more) break;
  }
  std::unique_ptr<DecodedSource> out;
  const Compression* const compression = compression_of(feed.rest());
  if (compression == nullptr) {
    out = std::make_unique<PlainSource>(std::move(feed));
  } else if (!compression->readable) {
    return fail(ErrorCode::kBadInput, fmt::format("{} is {}-compressed; decompress it first", name, compression->name),
                fmt::format("{}{}{} | slmconv collect -", compression->command, path.empty() ? "" : " ", path));
  } else if (compression->name == kGzip) {
    out = std::make_unique<GzipSource>(std::move(feed), std::move(name));
  } else {
    out = std::make_unique<ZstdSource>(std::move(feed), std::move(name));
  }
  return out;
}

}  // namespace slm::collect
