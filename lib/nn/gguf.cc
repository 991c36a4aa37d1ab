#include "nn/gguf.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <optional>

#include "core/file.h"
#include "core/utf8.h"
#include "nn/mapped_file.h"

namespace slm::nn {

namespace {

constexpr uint32_t kVersion = 3;
constexpr uint64_t kAlignment = 32;
constexpr size_t kMaxName = 63, kMaxKey = 65535;
constexpr uint32_t kMaxDimensions = 4;

// The types of metadata by their numbers.
enum Kind : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };
constexpr size_t kKindBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};  // of a string or an array at least

tl::unexpected<Error> bad(const std::string& file, std::string message) {
  return fail(ErrorCode::kBadInput, fmt::format("{}: {}", file, message));
}

uint64_t padded(uint64_t n, uint64_t alignment) { return (n + alignment - 1) / alignment * alignment; }

// Takes values off the front of the file; each returns nothing at the end of it.
class Cursor {
 public:
  explicit Cursor(ByteSpan bytes) : bytes_(bytes) {}
  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }
  std::optional<ByteSpan> take(uint64_t n) {
    if (n > left()) return std::nullopt;
    at_ += static_cast<size_t>(n);
    return bytes_.subspan(at_ - static_cast<size_t>(n), static_cast<size_t>(n));
  }
  std::optional<uint64_t> number(size_t n_bytes) {
    const auto bytes = take(n_bytes);
    if (!bytes) return std::nullopt;
    uint64_t out = 0;
    for (size_t i = 0; i < n_bytes; ++i) out |= uint64_t{(*bytes)[i]} << (8 * i);
    return out;
  }
  std::optional<std::string> text() {
    const auto n = number(8);
    if (!n) return std::nullopt;
    const auto bytes = take(*n);
    if (!bytes) return std::nullopt;
    return std::string(as_text(*bytes));
  }

 private:
  ByteSpan bytes_;
  size_t at_ = 0;
};

template <class T>
T from_bits(uint64_t bits) {
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<float>(static_cast<uint32_t>(bits));
  if constexpr (std::is_same_v<T, double>) return std::bit_cast<double>(bits);
  return static_cast<T>(bits);
}

// A value, or n of them, of a type that takes n_bytes in the file and is kept as Kept.
template <class Kept, class Stored>
std::optional<GgufValue> read_numbers(Cursor& cursor, std::optional<uint64_t> n) {
  const auto one = [&]() -> std::optional<Kept> {
    const auto bits = cursor.number(sizeof(Stored));
    if (!bits) return std::nullopt;
    return static_cast<Kept>(from_bits<Stored>(*bits));
  };
  if (!n) {
    const auto value = one();
    if (!value) return std::nullopt;
    return GgufValue(*value);
  }
  std::vector<Kept> out(static_cast<size_t>(*n));
  for (auto& x : out) {
    const auto value = one();
    if (!value) return std::nullopt;
    x = *value;
  }
  return GgufValue(std::move(out));
}

std::optional<GgufValue> read_bools(Cursor& cursor, std::optional<uint64_t> n) {
  const auto bytes = cursor.take(n.value_or(1));
  if (!bytes || std::any_of(bytes->begin(), bytes->end(), [](uint8_t b) { return b > 1; })) return std::nullopt;
  if (!n) return GgufValue((*bytes)[0] == 1);
  return GgufValue(std::vector<uint8_t>(bytes->begin(), bytes->end()));
}

std::optional<GgufValue> read_texts(Cursor& cursor, std::optional<uint64_t> n) {
  if (!n) {
    auto text = cursor.text();
    if (!text) return std::nullopt;
    return GgufValue(std::move(*text));
  }
  std::vector<std::string> out(static_cast<size_t>(*n));
  for (auto& x : out) {
    auto text = cursor.text();
    if (!text) return std::nullopt;
    x = std::move(*text);
  }
  return GgufValue(std::move(out));
}

// Nothing: cut short, or a type or value that isn't one. n: how many, where it is an array.
std::optional<GgufValue> read_value(Cursor& cursor, uint64_t kind, std::optional<uint64_t> n = {}) {
  switch (kind) {
    case kU8:
      return read_numbers<uint32_t, uint8_t>(cursor, n);
    case kI8:
      return read_numbers<int32_t, int8_t>(cursor, n);
    case kU16:
      return read_numbers<uint32_t, uint16_t>(cursor, n);
    case kI16:
      return read_numbers<int32_t, int16_t>(cursor, n);
    case kU32:
      return read_numbers<uint32_t, uint32_t>(cursor, n);
    case kI32:
      return read_numbers<int32_t, int32_t>(cursor, n);
    case kF32:
      return read_numbers<float, float>(cursor, n);
    case kU64:
      return read_numbers<uint64_t, uint64_t>(cursor, n);
    case kI64:
      return read_numbers<int64_t, int64_t>(cursor, n);
    case kF64:
      return read_numbers<double, double>(cursor, n);
    case kBool:
      return read_bools(cursor, n);
    case kString:
      return read_texts(cursor, n);
    case kArray: {
      if (n) return std::nullopt;  // no arrays in arrays
      const auto inner = cursor.number(4), count = cursor.number(8);
      // Before memory is taken for them: as many as the file can hold.
      if (!inner || !count || *inner > kF64 || *count > cursor.left() / kKindBytes[*inner]) return std::nullopt;
      return read_value(cursor, *inner, *count);
    }
    default:
      return std::nullopt;
  }
}

template <class T>
constexpr Kind kind_of() {
  if constexpr (std::is_same_v<T, bool>) return kBool;
  if constexpr (std::is_same_v<T, uint8_t>) return kBool;  // in an array
  if constexpr (std::is_same_v<T, uint32_t>) return kU32;
  if constexpr (std::is_same_v<T, int32_t>) return kI32;
  if constexpr (std::is_same_v<T, uint64_t>) return kU64;
  if constexpr (std::is_same_v<T, int64_t>) return kI64;
  if constexpr (std::is_same_v<T, float>) return kF32;
  if constexpr (std::is_same_v<T, double>) return kF64;
  return kString;
}

void put_text(Bytes& out, std::string_view text) {
  put_u64(out, text.size());
  put_bytes(out, as_bytes(text));
}

template <class T>
void put_plain(Bytes& out, const T& value) {
  if constexpr (std::is_same_v<T, std::string>)
    put_text(out, value);
  else if constexpr (std::is_same_v<T, float>)
    put_u32(out, std::bit_cast<uint32_t>(value));
  else if constexpr (std::is_same_v<T, double>)
    put_u64(out, std::bit_cast<uint64_t>(value));
  else
    for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i)));
}

template <class T>
void put_value(Bytes& out, const T& value) {
  put_u32(out, kind_of<T>());
  put_plain(out, value);
}
template <class T>
void put_value(Bytes& out, const std::vector<T>& values) {
  put_u32(out, kArray);
  put_u32(out, kind_of<T>());
  put_u64(out, values.size());
  for (const T& value : values) put_plain(out, value);
}

// Everything before the data, padding included.
Result<Bytes> header_of(const std::vector<GgufEntry>& metadata, const std::vector<GgufTensorToWrite>& tensors) {
  Bytes out;
  put_bytes(out, as_bytes("GGUF"));
  put_u32(out, kVersion);
  put_u64(out, tensors.size());
  put_u64(out, metadata.size());
  for (const auto& entry : metadata) {
    put_text(out, entry.key);
    std::visit([&](const auto& value) { put_value(out, value); }, entry.value);
  }
  uint64_t at = 0;
  for (const auto& tensor : tensors) {
    const auto bytes = gguf_tensor_bytes(tensor.type, tensor.shape);
    if (!bytes || tensor.shape.empty() || tensor.shape.size() > kMaxDimensions || tensor.name.size() > kMaxName)
      return fail(ErrorCode::kUnexpected, fmt::format("tensor {}: {} x {} isn't possible in a GGUF file", tensor.name,
                                                      ggml_format(tensor.type).name, fmt::join(tensor.shape, " x ")));
    put_text(out, tensor.name);
    put_u32(out, static_cast<uint32_t>(tensor.shape.size()));
    for (auto it = tensor.shape.rbegin(); it != tensor.shape.rend(); ++it) put_u64(out, static_cast<uint64_t>(*it));
    put_u32(out, static_cast<uint32_t>(tensor.type));
    put_u64(out, at);
    at = padded(at + *bytes, kAlignment);
  }
  out.resize(static_cast<size_t>(padded(out.size(), kAlignment)));
  return out;
}

}  // namespace

std::optional<uint64_t> gguf_tensor_bytes(GgmlType type, const std::vector<int64_t>& shape) {
  const auto& format = ggml_format(type);
  if (!shape.empty() && shape.back() % format.block != 0) return std::nullopt;
  int64_t n = 1;
  for (const int64_t s : shape)
    if (s < 0 || __builtin_mul_overflow(n, s, &n)) return std::nullopt;
  n /= format.block;
  if (__builtin_mul_overflow(n, format.block_bytes, &n)) return std::nullopt;
  return static_cast<uint64_t>(n);
}

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  SLM_TRY(auto map, map_file(path));
  GgufFile out;
  out.name_ = path.string();
  out.owner_ = std::move(map.owner);
  SLM_CHECK(out.index(map.bytes));
  return out;
}

Result<GgufFile> GgufFile::from_bytes(Bytes bytes, std::string name) {
  GgufFile out;
  out.name_ = std::move(name);
  auto held = std::make_shared<const Bytes>(std::move(bytes));
  SLM_CHECK(out.index(*held));
  out.owner_ = held;
  return out;
}

Status GgufFile::index(ByteSpan file) {
  Cursor cursor(file);
  const auto magic = cursor.number(4), version = cursor.number(4), n_tensors = cursor.number(8),
             n_entries = cursor.number(8);
  if (!n_entries) return bad(name_, fmt::format("truncated: {} bytes, a GGUF file has at least 24", file.size()));
  if (as_text(file.first(4)) != "GGUF")
    return bad(name_, fmt::format("begins with {:#010x}, not with \"GGUF\"", *magic));
  if (*version != kVersion)
    return fail(ErrorCode::kFormatTooNew,
                fmt::format("{}: GGUF version {}; this build knows {}", name_, *version, kVersion));
  // An entry takes at least 8 + 4 + 1 bytes, a tensor 8 + 4 + 8 + 4 + 8.
  if (*n_entries > cursor.left() / 13 || *n_tensors > cursor.left() / 32)
    return bad(name_,
               fmt::format("{} entries and {} tensors announced in {} bytes", *n_entries, *n_tensors, file.size()));
  uint64_t alignment = kAlignment;
  for (uint64_t i = 0; i < *n_entries; ++i) {
    auto key = cursor.text();
    const auto kind = key ? cursor.number(4) : std::nullopt;
    if (!kind || key->empty() || key->size() > kMaxKey || !is_utf8(*key))
      return bad(name_, fmt::format("entry {} of {} has no good key, or the file ends there", i, *n_entries));
    auto value = read_value(cursor, *kind);
    if (!value) return bad(name_, fmt::format("the value of {} (type {}) is cut short or isn't one", *key, *kind));
    if (*key == "general.alignment") {
      const auto* given = std::get_if<uint32_t>(&*value);
      if (given == nullptr || *given == 0 || *given % 8 != 0)
        return bad(name_, "general.alignment isn't a multiple of 8");
      alignment = *given;
    }
    if (!metadata_.emplace(*key, std::move(*value)).second)
      return bad(name_, fmt::format("the key {} appears twice", *key));
  }
  struct Place {
    uint64_t begin, bytes;
    GgufTensor* tensor;
    const std::string* name;
  };
  std::vector<Place> places;
  for (uint64_t i = 0; i < *n_tensors; ++i) {
    auto name = cursor.text();
    const auto n_dimensions = name ? cursor.number(4) : std::nullopt;
    if (!n_dimensions || name->empty() || name->size() > kMaxName || !is_utf8(*name))
      return bad(name_, fmt::format("tensor {} of {} has no good name, or the file ends there", i, *n_tensors));
    if (*n_dimensions == 0 || *n_dimensions > kMaxDimensions)
      return bad(name_, fmt::format("tensor {}: {} dimensions, 1 to {} allowed", *name, *n_dimensions, kMaxDimensions));
    GgufTensor tensor;
    for (uint64_t d = 0; d < *n_dimensions; ++d) {
      const auto size = cursor.number(8);
      if (!size || *size > INT64_MAX) return bad(name_, fmt::format("tensor {}: bad shape", *name));
      tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(*size));
    }
    const auto type = cursor.number(4), begin = cursor.number(8);
    if (!begin) return bad(name_, fmt::format("truncated in the description of tensor {}", *name));
    const auto* format = find_ggml_format(static_cast<uint32_t>(*type));
    if (format == nullptr)
      return fail(ErrorCode::kUnsupportedModel, fmt::format("{}: tensor {} is of format {}; known: 0 (f32), 1 (f16), 2 "
                                                            "(q4_0), 8 (q8_0), 30 (bf16)",
                                                            name_, *name, *type));
    tensor.type = format->type;
    const auto bytes = gguf_tensor_bytes(tensor.type, tensor.shape);
    if (!bytes)
      return bad(name_,
                 fmt::format("tensor {}: {} [{}] isn't possible", *name, format->name, fmt::join(tensor.shape, ", ")));
    if (*begin % alignment != 0)
      return bad(name_, fmt::format("tensor {} begins at data byte {}, no multiple of {}", *name, *begin, alignment));
    const auto [it, fresh] = tensors_.emplace(std::move(*name), std::move(tensor));
    if (!fresh) return bad(name_, fmt::format("tensor {} appears twice", it->first));
    places.push_back({*begin, *bytes, &it->second, &it->first});
  }
  const uint64_t data_begin = padded(cursor.at(), alignment);
  const ByteSpan data = data_begin > file.size() ? ByteSpan() : file.subspan(static_cast<size_t>(data_begin));
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return a.begin != b.begin ? a.begin < b.begin : a.bytes < b.bytes; });
  uint64_t end = 0;
  for (const auto& place : places) {
    if (place.begin < end)
      return bad(name_, fmt::format("tensor {} begins at data byte {}, inside another that ends at {}", *place.name,
                                    place.begin, end));
    if (place.begin > data.size() || place.bytes > data.size() - place.begin)
      return bad(name_, fmt::format("truncated: tensor {} takes {} data bytes from {} on, the file has {}", *place.name,
                                    place.bytes, place.begin, data.size()));
    place.tensor->data = data.subspan(static_cast<size_t>(place.begin), static_cast<size_t>(place.bytes));
    end = place.begin + place.bytes;
  }
  return {};
}

Status write_gguf_file(const std::filesystem::path& path, const std::vector<GgufEntry>& metadata,
                       const std::vector<GgufTensorToWrite>& tensors,
                       const std::function<Result<Bytes>(size_t)>& data) {
  SLM_TRY(const Bytes header, header_of(metadata, tensors));
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), &std::fclose);
  if (file == nullptr) return fail(errno_error(path, "creating"));
  const auto write = [&](const Bytes& bytes) -> Status {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size())
      return fail(errno_error(path, "writing"));
    return {};
  };
  SLM_CHECK(write(header));
  for (size_t i = 0; i < tensors.size(); ++i) {
    SLM_TRY(Bytes bytes, data(i));
    const uint64_t expected = *gguf_tensor_bytes(tensors[i].type, tensors[i].shape);
    if (bytes.size() != expected)
      return fail(ErrorCode::kUnexpected,
                  fmt::format("{} bytes for tensor {}, expected {}", bytes.size(), tensors[i].name, expected));
    bytes.resize(static_cast<size_t>(padded(expected, kAlignment)));
    SLM_CHECK(write(bytes));
  }
  if (std::fflush(file.get()) != 0 || ::fsync(::fileno(file.get())) != 0) return fail(errno_error(path, "writing"));
  return {};
}

}  // namespace slm::nn
