#include "http/coding.h"

#include <brotli/decode.h>
#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <memory>
#include <vector>

#include "http/message.h"

namespace slm::http {

namespace {

constexpr size_t kStep = 64 << 10;

tl::unexpected<Error> too_long(const DecodeOptions& options) {
  return fail(ErrorCode::kBadInput, fmt::format("a body of more than {} bytes after decoding", options.max_bytes));
}
tl::unexpected<Error> damaged(std::string_view coding) {
  return fail(ErrorCode::kBadInput, fmt::format("a body that isn't well-formed {}", coding));
}

// window_bits: zlib's: 15 + 32 finds gzip or zlib by itself, -15 is bare deflate.
Result<std::string> inflate_all(std::string_view data, int window_bits, const DecodeOptions& options) {
  z_stream z{};
  if (inflateInit2(&z, window_bits) != Z_OK) return fail(ErrorCode::kOutOfMemory, "no memory to decode a body");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, inflateEnd);
  std::string out;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  z.avail_in = static_cast<uInt>(data.size());
  for (;;) {
    const size_t before = out.size();
    out.resize(before + kStep);
    z.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    z.avail_out = kStep;
    const int rc = inflate(&z, Z_NO_FLUSH);
    out.resize(before + kStep - z.avail_out);
    if (out.size() > options.max_bytes) return too_long(options);
    if (rc == Z_STREAM_END) {
      // gzip may have several members, one after another.
      if (z.avail_in == 0 || window_bits < 0) return out;
      if (inflateReset(&z) != Z_OK) return damaged("deflate");
      continue;
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR) return damaged(window_bits < 0 ? "deflate" : "gzip or deflate");
    if (z.avail_in == 0 && z.avail_out != 0) {
      if (options.partial) return out;
      return damaged("gzip or deflate");
    }
  }
}

Result<std::string> decode_brotli(std::string_view data, const DecodeOptions& options) {
  const std::unique_ptr<BrotliDecoderState, void (*)(BrotliDecoderState*)> state(
      BrotliDecoderCreateInstance(nullptr, nullptr, nullptr), BrotliDecoderDestroyInstance);
  if (state == nullptr) return fail(ErrorCode::kOutOfMemory, "no memory to decode a body");
  std::string out;
  const auto* next_in = reinterpret_cast<const uint8_t*>(data.data());
  size_t left = data.size();
  for (;;) {
    const size_t before = out.size();
    out.resize(before + kStep);
    auto* next_out = reinterpret_cast<uint8_t*>(out.data() + before);
    size_t room = kStep;
    const auto rc = BrotliDecoderDecompressStream(state.get(), &left, &next_in, &room, &next_out, nullptr);
    out.resize(before + kStep - room);
    if (out.size() > options.max_bytes) return too_long(options);
    if (rc == BROTLI_DECODER_RESULT_SUCCESS) {
      if (left > 0) return damaged("br");
      return out;
    }
    if (rc == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT && options.partial) return out;
    if (rc != BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) return damaged("br");
  }
}

Result<std::string> decode_zstd(std::string_view data, const DecodeOptions& options) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (context == nullptr) return fail(ErrorCode::kOutOfMemory, "no memory to decode a body");
  // RFC 8878 section 3.1.1.1.2 asks decoders for windows of 8 MB; what needs more is refused.
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 23);
  std::string out;
  ZSTD_inBuffer in{data.data(), data.size(), 0};
  for (;;) {
    const size_t before = out.size();
    out.resize(before + kStep);
    ZSTD_outBuffer room{out.data() + before, kStep, 0};
    const size_t rc = ZSTD_decompressStream(context.get(), &room, &in);
    out.resize(before + room.pos);
    if (out.size() > options.max_bytes) return too_long(options);
    if (ZSTD_isError(rc) != 0) return damaged("zstd");
    if (in.pos == in.size && room.pos < kStep) {
      if (rc != 0 && !options.partial) return damaged("zstd");
      return out;
    }
  }
}

Result<std::string> decode_one(std::string_view coding, std::string_view data, const DecodeOptions& options) {
  if (data.empty() && options.partial) return std::string();
  if (same_name(coding, "gzip") || same_name(coding, "x-gzip")) return inflate_all(data, 15 + 32, options);
  if (same_name(coding, "deflate")) {
    auto wrapped = inflate_all(data, 15, options);
    return wrapped ? std::move(wrapped) : inflate_all(data, -15, options);
  }
  if (same_name(coding, "br")) return decode_brotli(data, options);
  if (same_name(coding, "zstd")) return decode_zstd(data, options);
  return fail(ErrorCode::kBadInput, "a content coding that isn't known");
}

}  // namespace

Result<std::string> decode(std::string_view codings, std::string_view data, const DecodeOptions& options) {
  std::vector<std::string_view> list;
  for (size_t at = 0; at <= codings.size();) {
    const size_t comma = std::min(codings.find(',', at), codings.size());
    std::string_view token = codings.substr(at, comma - at);
    while (!token.empty() && (token.front() == ' ' || token.front() == '\t')) token.remove_prefix(1);
    while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) token.remove_suffix(1);
    if (!token.empty() && !same_name(token, "identity")) list.push_back(token);
    at = comma + 1;
  }
  constexpr size_t kMostCodings = 4;
  if (list.size() > kMostCodings) return fail(ErrorCode::kBadInput, "too many content codings");
  if (data.size() > options.max_bytes) return too_long(options);
  std::string out(data);
  for (auto coding = list.rbegin(); coding != list.rend(); ++coding) {
    SLM_TRY(out, decode_one(*coding, out, options));
  }
  return out;
}

Result<std::string> gzip(std::string_view data) {
  z_stream z{};
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return fail(ErrorCode::kOutOfMemory, "no memory to compress a body");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, deflateEnd);
  std::string out(deflateBound(&z, data.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  z.avail_in = static_cast<uInt>(data.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  if (deflate(&z, Z_FINISH) != Z_STREAM_END) return fail(ErrorCode::kUnexpected, "a body can't be compressed");
  out.resize(z.total_out);
  return out;
}

}  // namespace slm::http
