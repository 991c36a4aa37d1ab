#include "nn/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"

namespace slm::nn {
namespace {

using ::testing::HasSubstr;

Bytes file_of(std::string_view header, size_t n_data) {
  Bytes out;
  put_u64(out, header.size());
  put_bytes(out, as_bytes(header));
  out.resize(out.size() + n_data);
  return out;
}

void expect_refused(const Bytes& bytes, const std::string& what) {
  const auto file = SafeTensors::from_bytes(bytes, "x.safetensors");
  ASSERT_FALSE(file) << what;
  EXPECT_EQ(file.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(file.error().message, HasSubstr("x.safetensors"));
  EXPECT_THAT(file.error().message, HasSubstr(what));
}

TEST(SafeTensors, ReadsWhatItWrites) {
  const Bytes a{1, 2, 3, 4, 5, 6, 7, 8}, b{9, 10};
  const Bytes bytes = write_safetensors({{"a", "F32", {2, 1}, a}, {"b", "BF16", {}, b}, {"none", "F32", {0, 3}, {}}});
  EXPECT_EQ(get_u64(bytes.data()) % 8, 0u);
  const auto file = SafeTensors::from_bytes(bytes, "x").value();
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  const auto& view = file.tensors().at("a");
  EXPECT_EQ(view.dtype, "F32");
  EXPECT_EQ(view.shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(Bytes(view.data.begin(), view.data.end()), a);
  EXPECT_EQ(file.tensors().at("b").n_elements(), 1);
  EXPECT_EQ(file.tensors().at("none").data.size(), 0u);
}

TEST(SafeTensors, ReadsAFileMadeByTheReferenceImplementation) {
  const auto file =
      SafeTensors::open(std::string(SLM_SOURCE_DIR) + "/tests/data/families/llama-partial/model.safetensors");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensors().at("model.norm.weight").shape, (std::vector<int64_t>{42}));
}

TEST(SafeTensors, EveryTruncationIsRefused) {
  const Bytes data(24, 1);
  const Bytes whole = write_safetensors({{"a", "F32", {3, 2}, data}});
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_FALSE(SafeTensors::from_bytes(Bytes(whole.begin(), whole.begin() + static_cast<long>(n)), "x")) << n;
  const std::string path = ::testing::TempDir() + "/truncated.safetensors";
  ASSERT_TRUE(write_file_atomic(path, ByteSpan(whole).first(whole.size() - 1)));
  const auto file = SafeTensors::open(path);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(file.error().message, HasSubstr("tensor a ends at data byte 24, the file has 23"));
}

TEST(SafeTensors, BadHeadersAreRefused) {
  Bytes huge;
  put_u64(huge, uint64_t{1} << 60);
  huge.resize(64);
  expect_refused(huge, "header of 1152921504606846976 bytes, at most 100000000");
  expect_refused(file_of("[1]", 0), "doesn't begin with '{'");
  expect_refused(file_of("{\"a\":", 0), "header: JSON");
  expect_refused(file_of("{\"a\":\"\xff\"}", 0), "header: JSON");
  expect_refused(file_of(R"({"a":3})", 0), "isn't an object");
  expect_refused(file_of(R"({"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}})", 4), "unknown dtype \"Q4\"");
  expect_refused(file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
                 "needs 8 bytes, data_offsets give 4");
  expect_refused(file_of(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4), "bad shape");
  expect_refused(file_of(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}})", 4),
                 "needs -1 bytes");
  expect_refused(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4), "data_offsets [4, 0]");
  expect_refused(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", 4),
                 "ends at data byte 8, the file has 4");
  expect_refused(file_of(R"({"a":{"dtype":"F32","shape":[1]}})", 4), "data_offsets missing");
  expect_refused(
      file_of(
          R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
          6),
      "overlap");
  expect_refused(
      file_of(
          R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})",
          6),
      "hole");
  expect_refused(file_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 6),
                 "cover 2 data bytes, the file has 6");
  expect_refused(file_of(R"({"__metadata__":{"a":1}})", 0), "__metadata__");
}

TEST(WeightFiles, ReadsShardsThroughTheirIndex) {
  const std::string dir = ::testing::TempDir() + "/shards";
  ASSERT_TRUE(make_dirs(dir));
  const Bytes one(4, 1), two(8, 2);
  ASSERT_TRUE(write_file_atomic(dir + "/model-1.safetensors", write_safetensors({{"a", "F32", {1}, one}})));
  ASSERT_TRUE(write_file_atomic(dir + "/model-2.safetensors", write_safetensors({{"b", "F32", {2}, two}})));
  const auto index = dir + "/model.safetensors.index.json";
  ASSERT_TRUE(write_file_atomic(index, R"({"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})"));
  const auto files = WeightFiles::open(dir);
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(files->find("b")->data.size(), 8u);
  EXPECT_EQ(files->find("c"), nullptr);

  ASSERT_TRUE(write_file_atomic(index, R"({"weight_map":{"a":"model-1.safetensors","c":"model-2.safetensors"}})"));
  EXPECT_THAT(WeightFiles::open(dir).error().message, HasSubstr("tensor c is missing"));
  ASSERT_TRUE(write_file_atomic(index, R"({"weight_map":{"a":"../secret.safetensors"}})"));
  EXPECT_THAT(WeightFiles::open(dir).error().message, HasSubstr("isn't a file of this folder"));
  ASSERT_TRUE(write_file_atomic(index, R"({"weight_map":{"a":"model-3.safetensors"}})"));
  EXPECT_EQ(WeightFiles::open(dir).error().code, ErrorCode::kIo);
}

TEST(WeightFiles, AFolderWithoutWeightsIsNamed) {
  const std::string dir = ::testing::TempDir() + "/empty_model";
  ASSERT_TRUE(make_dirs(dir));
  const auto files = WeightFiles::open(dir);
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(files.error().message, HasSubstr("no model.safetensors"));
}

}  // namespace
}  // namespace slm::nn
