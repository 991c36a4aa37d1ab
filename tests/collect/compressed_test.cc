#include "collect/compressed.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>
#include <sstream>

#include "call/dialects/dialect.h"
#include "collect/importer.h"
#include "core/random.h"
#include "memory_store.h"

namespace slm::collect {
namespace {

using testing::HasSubstr;

std::string gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

struct Coding {
  const char* name;
  std::string (*pack)(std::string_view);
};
constexpr Coding kCodings[] = {{"gzip", gzip}, {"zstd", zstd}};

// Everything up to the end or the error, read in pieces of `piece` bytes.
std::string drain(const std::string& bytes, std::string& error, size_t piece = 1 << 16) {
  std::istringstream in(bytes);
  auto source = decode_source(stream_source(in), "the log", "");
  if (!source) {
    error = source.error().message;
    return {};
  }
  std::string out, buffer(piece, '\0');
  for (;;) {
    const auto n = (*source)->read(buffer.data(), buffer.size());
    if (!n) {
      error = n.error().message;
      return out;
    }
    if (*n == 0) return out;
    out.append(buffer, 0, *n);
  }
}

std::string sample(size_t n) {
  Prng prng(5);
  std::string out;
  while (out.size() < n) out += fmt::format("line {} of the log\n", prng.below(1000000));
  return out;
}

TEST(Compressed, ConcatenatedMembersAreOneContent) {
  const std::string a = sample(700'000), b = sample(3);
  for (const auto& coding : kCodings)
    for (const size_t piece : {size_t{1}, size_t{7000}, size_t{1} << 20}) {
      std::string error;
      const std::string small = b + b;
      EXPECT_EQ(drain(coding.pack(piece == 1 ? b : a) + coding.pack("") + coding.pack(b), error, piece),
                (piece == 1 ? b : a) + b);
      EXPECT_EQ(error, "") << coding.name;
    }
  std::string error;
  EXPECT_EQ(drain(gzip(b) + std::string(1000, '\0'), error), b) << "padding";
  EXPECT_EQ(error, "");
  EXPECT_EQ(drain(a, error), a) << "not compressed";
  EXPECT_EQ(drain("", error), "");
  EXPECT_EQ(drain("x", error), "x");
  EXPECT_EQ(error, "");
}

TEST(Compressed, EveryCutIsToldAndLosesNothingBefore) {
  const std::string text = sample(2000);
  for (const auto& coding : kCodings) {
    const std::string packed = coding.pack(text);
    for (size_t n = 5; n < packed.size(); ++n) {
      std::string error;
      const std::string got = drain(packed.substr(0, n), error);
      EXPECT_THAT(error, HasSubstr(fmt::format("the {} data is truncated", coding.name))) << n;
      EXPECT_TRUE(text.starts_with(got)) << n;
    }
  }
}

TEST(Compressed, DamageAndWhatFollowsAreTold) {
  const std::string text = sample(20000);
  for (const auto& coding : kCodings) {
    std::string packed = coding.pack(text), error;
    EXPECT_EQ(drain(packed + "more", error), text);
    EXPECT_THAT(error, HasSubstr("damaged")) << coding.name;
    for (size_t i = 0; i < packed.size(); i += packed.size() / 4) packed[i + 30 < packed.size() ? i + 30 : i] ^= 0x55;
    error.clear();
    drain(packed, error);
    EXPECT_NE(error, "") << coding.name;
  }
  std::string error;
  drain("BZh91AY", error);
  EXPECT_THAT(error, HasSubstr("bzip2-compressed"));
}

class Import : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / fmt::format("slmconv-compressed-{}", ::getpid());
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  Result<Report> import(const std::string& path) {
    SLM_TRY(const auto inputs, expand_inputs({path}));
    return import_logs(inputs, {}, {&store_, nullptr, nullptr});
  }
  std::string write(const std::string& name, std::string_view bytes) {
    std::ofstream(dir_ / name, std::ios::binary) << bytes;
    return (dir_ / name).string();
  }
  static std::string lines(int from, int to) {
    std::string out;
    for (int i = from; i < to; ++i)
      out += fmt::format(
          R"({{"messages":[{{"role":"user","content":"question {}"}},{{"role":"assistant","content":"yes"}}]}})"
          "\n",
          i);
    return out;
  }
  std::filesystem::path dir_;
  MemoryStore store_;
};

TEST_F(Import, FoldersAndStandardReportOfCompressedFiles) {
  write("a.jsonl.gz", gzip(lines(0, 500)) + gzip(lines(500, 600)));
  write("b.jsonl.zst", zstd(lines(600, 700)));
  write("c.jsonl", lines(700, 710));
  write("d.txt.gz", gzip("no log"));
  const auto report = import(dir_.string());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->n_files, 3);
  EXPECT_EQ(report->n_added, 710);
  uint64_t on_disk = 0;
  for (const auto* name : {"a.jsonl.gz", "b.jsonl.zst", "c.jsonl"}) on_disk += std::filesystem::file_size(dir_ / name);
  EXPECT_EQ(report->n_bytes, on_disk) << "as they lie on disk";
}

TEST_F(Import, ATruncatedArchiveKeepsWhatWasRead) {
  const std::string text = lines(0, 5000);
  for (const auto& coding : kCodings) {
    store_.calls.clear();
    store_.tags.clear();
    const std::string packed = coding.pack(text);
    const auto path = write("cut.gz", packed.substr(0, packed.size() / 2));
    const auto report = import(path);
    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code, ErrorCode::kBadInput);
    EXPECT_THAT(report.error().message, HasSubstr("truncated"));
    EXPECT_THAT(report.error().message,
                HasSubstr(fmt::format("{} calls read before were stored and stay", store_.calls.size())));
    EXPECT_GT(store_.calls.size(), 1000U) << coding.name;
    const size_t n_before = store_.calls.size();
    const auto whole = import(write("whole.jsonl.gz", packed));
    ASSERT_TRUE(whole.has_value());
    EXPECT_EQ(whole->dropped.at("already_stored"), static_cast<int64_t>(n_before));
    EXPECT_EQ(store_.calls.size(), 5000U);
  }
}

// Every fixture imported twice, plain and compressed, stores each of its calls once.
TEST_F(Import, EveryFixtureTwiceStoresOnce) {
  const auto folder = std::filesystem::path(SLM_SOURCE_DIR) / "tests/data/call";
  std::set<std::string> dialects_seen;
  int n_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    ++n_files;
    MemoryStore store;
    const auto read = [&](const std::string& path) {
      const auto inputs = expand_inputs({path});
      return import_logs(inputs.value(), {}, {&store, nullptr, nullptr});
    };
    const auto first = read(entry.path().string());
    ASSERT_TRUE(first.has_value()) << entry.path() << first.error().message;
    EXPECT_GT(first->n_added, 0) << entry.path();
    EXPECT_EQ(first->n_added, first->n_calls);
    for (const auto& [name, tally] : first->dialects) dialects_seen.insert(name);
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    for (const auto& path : {entry.path().string(), write("again.gz", gzip(text)), write("again.zst", zstd(text))}) {
      const auto again = read(path);
      ASSERT_TRUE(again.has_value());
      EXPECT_EQ(again->n_added, 0) << entry.path();
      EXPECT_EQ(again->dropped.at("already_stored"), first->n_added) << entry.path();
    }
    int64_t dropped = 0;
    for (const auto& [reason, n] : first->dropped) dropped += n;
    EXPECT_EQ(first->n_in(), first->n_added + dropped) << entry.path();
    for (const auto& call : store.calls)
      for (const auto* planted : {"orla.brandt", "nils.oberg", "sk-planted", "203.0.113.77", "node-17", "desk-session"})
        EXPECT_EQ((call.meta + call.body).find(planted), std::string::npos) << entry.path() << planted;
  }
  EXPECT_GT(n_files, 5);
  for (const auto& dialect : dialects::all())
    EXPECT_TRUE(dialects_seen.contains(std::string(dialect.name))) << dialect.name;
}

}  // namespace
}  // namespace slm::collect
