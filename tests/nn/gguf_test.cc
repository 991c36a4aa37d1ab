#include "nn/gguf.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "core/file.h"

namespace slm::nn {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

Bytes reference_bytes() {
  const auto text = read_file(std::string(SLM_SOURCE_DIR) + "/tests/data/gguf/reference.gguf").value();
  return {text.begin(), text.end()};
}

template <class T>
T get(const GgufFile& file, const char* key) {
  return std::get<T>(file.metadata().at(key));
}

TEST(Gguf, ReadsWhatTheGgufPackageWrites) {
  const auto file = GgufFile::from_bytes(reference_bytes(), "reference");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(get<std::string>(*file, "general.architecture"), "llama");
  EXPECT_EQ(get<uint32_t>(*file, "a.uint8"), 200u);
  EXPECT_EQ(get<int32_t>(*file, "a.int8"), -100);
  EXPECT_EQ(get<uint32_t>(*file, "a.uint16"), 60000u);
  EXPECT_EQ(get<int32_t>(*file, "a.int16"), -30000);
  EXPECT_EQ(get<uint32_t>(*file, "a.uint32"), 4000000000u);
  EXPECT_EQ(get<int32_t>(*file, "a.int32"), -2000000000);
  EXPECT_EQ(get<float>(*file, "a.float32"), 1.5f);
  EXPECT_EQ(get<uint64_t>(*file, "a.uint64"), uint64_t{1} << 40);
  EXPECT_EQ(get<int64_t>(*file, "a.int64"), -(int64_t{1} << 40));
  EXPECT_EQ(get<double>(*file, "a.float64"), -2.25);
  EXPECT_EQ(get<bool>(*file, "a.bool"), true);
  EXPECT_EQ(get<std::string>(*file, "a.string"), "Grüße");
  EXPECT_EQ(get<std::vector<std::string>>(*file, "a.texts"), (std::vector<std::string>{"x", "", "東京"}));
  EXPECT_EQ(get<std::vector<int32_t>>(*file, "a.numbers"), (std::vector<int32_t>{1, -2, 3}));
  EXPECT_EQ(get<std::vector<float>>(*file, "a.reals"), (std::vector<float>{0.5, -1.5}));
  EXPECT_EQ(get<std::vector<uint8_t>>(*file, "a.truths"), (std::vector<uint8_t>{1, 0, 1}));
  EXPECT_EQ(file->tensors().at("f32").shape, (std::vector<int64_t>{12, 32}));
  EXPECT_EQ(file->tensors().at("q4_0").shape, (std::vector<int64_t>{12, 32}));
  EXPECT_EQ(file->tensors().at("q4_0").data.size(), 12u * 18);
  EXPECT_EQ(file->tensors().at("vector").shape, (std::vector<int64_t>{3}));
}

class GgufWrite : public testing::Test {
 protected:
  void TearDown() override { fs::remove(path_); }
  const fs::path path_ = fs::path(testing::TempDir()) / fmt::format("slm_gguf_{}.gguf", getpid());
};

TEST_F(GgufWrite, WhatIsWrittenIsRead) {
  const std::vector<GgufEntry> metadata{{"a.bool", false},
                                        {"a.u32", uint32_t{7}},
                                        {"a.i32", int32_t{-7}},
                                        {"a.u64", uint64_t{1} << 50},
                                        {"a.i64", -(int64_t{1} << 50)},
                                        {"a.f32", 0.25f},
                                        {"a.f64", 0.1},
                                        {"a.text", std::string("x\0y", 3)},
                                        {"a.truths", std::vector<uint8_t>{1, 0}},
                                        {"a.u32s", std::vector<uint32_t>{1, 2}},
                                        {"a.i32s", std::vector<int32_t>{-1, 2}},
                                        {"a.u64s", std::vector<uint64_t>{1}},
                                        {"a.i64s", std::vector<int64_t>{-1}},
                                        {"a.f32s", std::vector<float>{}},
                                        {"a.f64s", std::vector<double>{0.5}},
                                        {"a.texts", std::vector<std::string>{"", "b"}}};
  const std::vector<GgufTensorToWrite> tensors{{"m", GgmlType::kQ8_0, {3, 64}}, {"v", GgmlType::kF32, {5}}};
  const auto bytes_of = [&](size_t i) -> Result<Bytes> {
    Bytes out(static_cast<size_t>(*gguf_tensor_bytes(tensors[i].type, tensors[i].shape)));
    for (size_t k = 0; k < out.size(); ++k) out[k] = static_cast<uint8_t>(k * 7 + i);
    return out;
  };
  ASSERT_TRUE(write_gguf_file(path_, metadata, tensors, bytes_of));
  const auto file = GgufFile::open(path_);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->metadata().size(), metadata.size());
  for (const auto& entry : metadata) EXPECT_EQ(file->metadata().at(entry.key), entry.value) << entry.key;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& tensor = file->tensors().at(tensors[i].name);
    EXPECT_EQ(tensor.type, tensors[i].type);
    EXPECT_EQ(tensor.shape, tensors[i].shape);
    EXPECT_EQ(Bytes(tensor.data.begin(), tensor.data.end()), *bytes_of(i));
  }
}

TEST_F(GgufWrite, RefusesWhatNoFileCanHold) {
  const auto nothing = [](size_t) -> Result<Bytes> { return Bytes(); };
  EXPECT_FALSE(write_gguf_file(path_, {}, {{"m", GgmlType::kQ8_0, {2, 33}}}, nothing));
  EXPECT_FALSE(write_gguf_file(path_, {}, {{"m", GgmlType::kF32, {}}}, nothing));
  EXPECT_FALSE(write_gguf_file(path_, {}, {{"m", GgmlType::kF32, {1, 1, 1, 1, 1}}}, nothing));
  EXPECT_FALSE(write_gguf_file(path_, {}, {{std::string(64, 'n'), GgmlType::kF32, {1}}}, nothing));
  EXPECT_FALSE(write_gguf_file(path_, {}, {{"m", GgmlType::kF32, {1}}}, nothing));  // 0 bytes for 4
  EXPECT_EQ(write_gguf_file("/nonexistent/x.gguf", {}, {}, nothing).error().code, ErrorCode::kIo);
}

TEST(GgufBad, EveryTruncationIsNoticed) {
  const Bytes whole = reference_bytes();
  // Less than the padding after the last tensor is left out without loss: 3 floats, then 20 bytes.
  for (size_t n = 0; n + 20 < whole.size(); n += n < 900 ? 1 : 31) {
    const auto file = GgufFile::from_bytes(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n)), "cut");
    ASSERT_FALSE(file) << n;
    EXPECT_EQ(file.error().code, ErrorCode::kBadInput);
  }
}

// A file of one tensor description, to break.
struct Parts {
  uint32_t version = 3;
  uint64_t n_tensors = 1, n_entries = 0;
  Bytes entries, tensors;
  size_t n_data = 64;

  static void text(Bytes& out, std::string_view value) {
    put_u64(out, value.size());
    put_bytes(out, as_bytes(value));
  }
  static Bytes tensor(std::string_view name, std::vector<uint64_t> sizes, uint32_t type, uint64_t offset) {
    Bytes out;
    text(out, name);
    put_u32(out, static_cast<uint32_t>(sizes.size()));
    for (const uint64_t s : sizes) put_u64(out, s);
    put_u32(out, type);
    put_u64(out, offset);
    return out;
  }
  Result<GgufFile> read() const {
    Bytes out;
    put_bytes(out, as_bytes("GGUF"));
    put_u32(out, version);
    put_u64(out, n_tensors);
    put_u64(out, n_entries);
    put_bytes(out, entries);
    put_bytes(out, tensors);
    out.resize((out.size() + 31) / 32 * 32 + n_data);
    return GgufFile::from_bytes(out, "made");
  }
};

TEST(GgufBad, TensorsThatDontFit) {
  const auto read = [](Bytes tensors, uint64_t n = 1) {
    Parts parts;
    parts.tensors = std::move(tensors);
    parts.n_tensors = n;
    return parts.read();
  };
  EXPECT_TRUE(read(Parts::tensor("t", {16}, 0, 0)));
  EXPECT_TRUE(read(Parts::tensor("t", {4}, 0, 32)));
  const auto because = [&](Bytes tensors, const char* why, uint64_t n = 1) {
    const auto file = read(std::move(tensors), n);
    ASSERT_FALSE(file) << why;
    EXPECT_THAT(file.error().message, HasSubstr(why));
  };
  because(Parts::tensor("t", {17}, 0, 0), "truncated");
  because(Parts::tensor("t", {1}, 0, 96), "truncated");
  because(Parts::tensor("t", {1}, 0, uint64_t{1} << 63), "truncated");
  because(Parts::tensor("t", {4}, 0, 8), "no multiple of 32");
  because(Parts::tensor("t", {}, 0, 0), "0 dimensions");
  because(Parts::tensor("t", {1, 1, 1, 1, 1}, 0, 0), "5 dimensions");
  because(Parts::tensor("t", {33}, 8, 0), "isn't possible");
  because(Parts::tensor("t", {uint64_t{1} << 40, uint64_t{1} << 40}, 0, 0), "isn't possible");
  because(Parts::tensor("t", {uint64_t{1} << 63}, 0, 0), "bad shape");
  because(Parts::tensor("", {1}, 0, 0), "no good name");
  because(Parts::tensor("\xff", {1}, 0, 0), "no good name");
  because(Parts::tensor("t", {1}, 14, 0), "format 14");
  const auto twice = [](const char* a, uint64_t at_a, const char* b, uint64_t at_b) {
    Bytes out = Parts::tensor(a, {12}, 0, at_a);
    put_bytes(out, Parts::tensor(b, {4}, 0, at_b));
    return out;
  };
  because(twice("t", 0, "t", 32), "twice", 2);
  because(twice("t", 0, "u", 32), "inside another", 2);
  because(Parts::tensor("t", {1}, 0, 0), "good name", 2);
  because({}, "tensors announced", uint64_t{1} << 60);
}

TEST(GgufBad, Metadata) {
  const auto entry = [](std::string_view key, uint32_t kind, const Bytes& value) {
    Bytes out;
    Parts::text(out, key);
    put_u32(out, kind);
    put_bytes(out, value);
    return out;
  };
  const auto because = [](Bytes entries, const char* why, uint64_t n = 1) {
    Parts parts;
    parts.n_tensors = 0;
    parts.entries = std::move(entries);
    parts.n_entries = n;
    const auto file = parts.read();
    ASSERT_FALSE(file) << why;
    EXPECT_THAT(file.error().message, HasSubstr(why));
  };
  because(entry("k", 13, Bytes(16)), "the value of k");
  because(entry("k", 7, Bytes{2}), "the value of k");                                     // neither true nor false
  because(entry("k", 9, Bytes{9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), "of k");  // an array of arrays
  because(entry("k", 9, Bytes{4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64}), "of k");             // 2^62 numbers
  because(entry("k", 8, Bytes{255, 255, 255, 255, 255, 255, 255, 255, 'x'}), "of k");     // a text without an end
  because(entry("", 4, Bytes(4)), "no good key");
  because(entry("general.alignment", 4, Bytes{0, 0, 0, 0}), "general.alignment");
  because(entry("general.alignment", 4, Bytes{12, 0, 0, 0}), "general.alignment");
  Bytes twice = entry("k", 4, Bytes(4));
  put_bytes(twice, entry("k", 4, Bytes(4)));
  because(twice, "twice", 2);
  Parts parts;
  parts.version = 2;
  EXPECT_EQ(parts.read().error().code, ErrorCode::kFormatTooNew);
  EXPECT_FALSE(GgufFile::from_bytes({}, "empty"));
  Bytes other = reference_bytes();
  other[0] = 'g';
  EXPECT_THAT(GgufFile::from_bytes(other, "other").error().message, HasSubstr("not with \"GGUF\""));
  EXPECT_EQ(GgufFile::open("/nonexistent").error().code, ErrorCode::kIo);
  EXPECT_FALSE(GgufFile::open("/tmp"));
}

}  // namespace
}  // namespace slm::nn
