#include "nn/safetensors.h"

#include "nn/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>

#include "core/file.h"
#include "nn/mapped_file.h"
#include "schema/json.h"

namespace slm::nn {

namespace {

constexpr uint64_t kMaxHeader = 100'000'000;

struct DTypeRow {
  std::string_view name;
  int64_t bytes;
};
constexpr DTypeRow kDTypes[] = {{"F32", 4},  {"BF16", 2},    {"F16", 2},     {"F64", 8}, {"I64", 8}, {"I32", 4},
                                {"I16", 2},  {"I8", 1},      {"U8", 1},      {"U16", 2}, {"U32", 4}, {"U64", 8},
                                {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"C64", 8}};

tl::unexpected<Error> bad(const std::string& file, std::string message) {
  return fail(ErrorCode::kBadInput, fmt::format("{}: {}", file, message));
}

// nullopt on a negative size or overflow.
std::optional<int64_t> count_elements(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t s : shape)
    if (s < 0 || __builtin_mul_overflow(n, s, &n)) return std::nullopt;
  return n;
}

}  // namespace

int64_t TensorView::n_elements() const { return count_elements(shape).value_or(0); }

int64_t dtype_bytes(std::string_view dtype) {
  for (const auto& row : kDTypes)
    if (row.name == dtype) return row.bytes;
  return 0;
}

Result<SafeTensors> SafeTensors::open(const std::filesystem::path& path) {
  SLM_TRY(auto map, map_file(path));
  SafeTensors out;
  out.name_ = path.string();
  out.owner_ = std::move(map.owner);
  SLM_CHECK(out.index(map.bytes));
  return out;
}

Result<SafeTensors> SafeTensors::from_bytes(Bytes bytes, std::string name) {
  SafeTensors out;
  out.name_ = std::move(name);
  auto held = std::make_shared<const Bytes>(std::move(bytes));
  SLM_CHECK(out.index(*held));
  out.owner_ = held;
  return out;
}

Status SafeTensors::index(ByteSpan file) {
  if (file.size() < 10)
    return bad(name_, fmt::format("truncated: {} bytes, a safetensors file has at least 10", file.size()));
  const uint64_t n_header = get_u64(file.data());
  if (n_header > kMaxHeader)
    return bad(name_, fmt::format("header of {} bytes, at most {} allowed", n_header, kMaxHeader));
  if (n_header > file.size() - 8)
    return bad(name_, fmt::format("truncated header: {} bytes announced, {} in the file", n_header, file.size() - 8));
  const auto header = as_text(file.subspan(8, n_header));
  if (header.empty() || header[0] != '{') return bad(name_, "header doesn't begin with '{'");
  const ByteSpan data = file.subspan(8 + n_header);
  auto parsed = parse_json(header);
  if (!parsed) return bad(name_, "header: " + parsed.error().message);
  const auto* entries = parsed->if_object();
  if (entries == nullptr) return bad(name_, "header isn't a JSON object");

  struct Range {
    uint64_t begin, end;
    const std::string* name;
  };
  std::vector<Range> ranges;
  for (const auto& entry : *entries) {
    const std::string tensor(entry.key());
    const auto* fields = entry.value().if_object();
    if (fields == nullptr) return bad(name_, fmt::format("header entry {} isn't an object", tensor));
    if (tensor == "__metadata__") {
      for (const auto& item : *fields) {
        if (!item.value().is_string()) return bad(name_, "__metadata__ has a value that isn't text");
        metadata_.emplace(item.key(), item.value().as_string());
      }
      continue;
    }
    TensorView view;
    view.dtype = get_string(*fields, "dtype");
    const int64_t size = dtype_bytes(view.dtype);
    if (size == 0) return bad(name_, fmt::format("tensor {}: unknown dtype \"{}\"", tensor, view.dtype));
    const auto* shape = get_array(*fields, "shape");
    const auto* offsets = get_array(*fields, "data_offsets");
    if (shape == nullptr || offsets == nullptr || offsets->size() != 2)
      return bad(name_, fmt::format("tensor {}: shape or data_offsets missing", tensor));
    for (const auto& s : *shape) {
      if (!s.is_int64() || s.get_int64() < 0) return bad(name_, fmt::format("tensor {}: bad shape", tensor));
      view.shape.push_back(s.get_int64());
    }
    if (!(*offsets)[0].is_int64() || !(*offsets)[1].is_int64())
      return bad(name_, fmt::format("tensor {}: bad data_offsets", tensor));
    const int64_t begin = (*offsets)[0].get_int64(), end = (*offsets)[1].get_int64();
    if (begin < 0 || end < begin)
      return bad(name_, fmt::format("tensor {}: data_offsets [{}, {}]", tensor, begin, end));
    if (static_cast<uint64_t>(end) > data.size())
      return bad(name_,
                 fmt::format("truncated: tensor {} ends at data byte {}, the file has {}", tensor, end, data.size()));
    const auto n = count_elements(view.shape);
    int64_t expected = 0;
    if (!n || __builtin_mul_overflow(*n, size, &expected) || expected != end - begin)
      return bad(name_, fmt::format("tensor {}: {} [{}] needs {} bytes, data_offsets give {}", tensor, view.dtype,
                                    fmt::join(view.shape, ", "), n ? *n * size : -1, end - begin));
    view.data = data.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    const auto [it, fresh] = tensors_.emplace(tensor, std::move(view));
    if (!fresh) return bad(name_, fmt::format("tensor {} appears twice", tensor));
    ranges.push_back({static_cast<uint64_t>(begin), static_cast<uint64_t>(end), &it->first});
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  uint64_t at = 0;
  for (const auto& r : ranges) {
    if (r.begin != at)
      return bad(name_, fmt::format("tensor {} begins at data byte {}, expected {} ({})", *r.name, r.begin, at,
                                    r.begin < at ? "overlap" : "hole"));
    at = r.end;
  }
  if (at != data.size())
    return bad(name_, fmt::format("tensors cover {} data bytes, the file has {}", at, data.size()));
  return {};
}

WeightFiles WeightFiles::of(SafeTensors file) {
  WeightFiles out;
  for (const auto& [name, view] : file.tensors()) out.where_[name] = 0;
  out.files_.push_back(std::move(file));
  return out;
}

Result<WeightFiles> WeightFiles::open(const std::filesystem::path& dir) {
  namespace fs = std::filesystem;
  WeightFiles out;
  std::error_code ec;
  const fs::path single = dir / "model.safetensors", index = dir / "model.safetensors.index.json";
  if (fs::exists(single, ec)) {
    SLM_TRY(auto file, SafeTensors::open(single));
    return of(std::move(file));
  }
  if (!fs::exists(index, ec))
    return fail(ErrorCode::kBadInput,
                fmt::format("{}: no model.safetensors and no model.safetensors.index.json", dir.string()));
  SLM_TRY(const auto value, read_json_file(index));
  SLM_TRY(const auto* object, want_object(value, index.string()));
  const auto* map = get_object(*object, "weight_map");
  if (map == nullptr) return bad(index.string(), "weight_map is missing");
  std::map<std::string, size_t> opened;
  for (const auto& item : *map) {
    if (!item.value().is_string()) return bad(index.string(), "weight_map has a value that isn't text");
    const std::string file(item.value().as_string());
    if (file.empty() || file.find('/') != std::string::npos || file[0] == '.')
      return bad(index.string(), fmt::format("weight_map names \"{}\", which isn't a file of this folder", file));
    auto it = opened.find(file);
    if (it == opened.end()) {
      SLM_TRY(auto shard, SafeTensors::open(dir / file));
      out.files_.push_back(std::move(shard));
      it = opened.emplace(file, out.files_.size() - 1).first;
    }
    const std::string tensor(item.key());
    if (!out.files_[it->second].tensors().contains(tensor))
      return bad((dir / file).string(), fmt::format("tensor {} is missing, though the index places it here", tensor));
    out.where_[tensor] = it->second;
  }
  return out;
}

std::string WeightFiles::place() const {
  const std::filesystem::path first = files_.empty() ? "weights" : files_.front().name();
  return first.has_parent_path() ? first.parent_path().string() : first.string();
}

const TensorView* WeightFiles::find(const std::string& tensor) const {
  const auto it = where_.find(tensor);
  if (it == where_.end()) return nullptr;
  return &files_[it->second].tensors().at(tensor);
}

std::string WeightFiles::file_of(const std::string& tensor) const {
  const auto it = where_.find(tensor);
  return files_[it == where_.end() ? 0 : it->second].name();
}

std::vector<std::string> WeightFiles::names() const {
  std::vector<std::string> out;
  out.reserve(where_.size());
  for (const auto& [name, file] : where_) out.push_back(name);
  return out;
}

namespace {

// The length and the JSON that stand before the data; n_bytes(i): of the i-th tensor.
Bytes header_of(const std::vector<TensorToWrite>& tensors, const std::function<uint64_t(size_t)>& n_bytes) {
  json::object header;
  header["__metadata__"] = {{"format", "pt"}};
  uint64_t at = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    json::array shape;
    for (const int64_t s : tensors[i].shape) shape.push_back(s);
    const uint64_t end = at + n_bytes(i);
    header[tensors[i].name] = {{"dtype", tensors[i].dtype}, {"shape", std::move(shape)}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = json::serialize(header);
  while (text.size() % 8 != 0) text += ' ';
  Bytes out;
  put_u64(out, text.size());
  put_bytes(out, as_bytes(text));
  return out;
}

}  // namespace

Bytes write_safetensors(const std::vector<TensorToWrite>& tensors) {
  Bytes out = header_of(tensors, [&](size_t i) { return tensors[i].data.size(); });
  size_t size = out.size();
  for (const auto& t : tensors) size += t.data.size();
  out.reserve(size);
  for (const auto& t : tensors) put_bytes(out, t.data);
  return out;
}

Status write_safetensors_file(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                              const std::function<Result<Bytes>(size_t)>& data) {
  const auto size_of = [&](size_t i) {
    uint64_t out = static_cast<uint64_t>(dtype_bytes(tensors[i].dtype));
    for (const int64_t s : tensors[i].shape) out *= static_cast<uint64_t>(s);
    return out;
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), &std::fclose);
  if (file == nullptr) return fail(errno_error(path, "creating"));
  const auto write = [&](const Bytes& bytes) -> Status {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size())
      return fail(errno_error(path, "writing"));
    return {};
  };
  SLM_CHECK(write(header_of(tensors, size_of)));
  for (size_t i = 0; i < tensors.size(); ++i) {
    SLM_TRY(const Bytes bytes, data(i));
    if (bytes.size() != size_of(i))
      return fail(ErrorCode::kUnexpected,
                  fmt::format("{} bytes for tensor {}, expected {}", bytes.size(), tensors[i].name, size_of(i)));
    SLM_CHECK(write(bytes));
  }
  if (std::fflush(file.get()) != 0 || ::fsync(::fileno(file.get())) != 0) return fail(errno_error(path, "writing"));
  return {};
}

const TensorView* find_tensor(const WeightFiles& files, const ModelConfig& config, const std::string& name) {
  const TensorView* view = files.find(name);
  return view != nullptr ? view : files.find(other_name(config, name));
}

}  // namespace slm::nn
