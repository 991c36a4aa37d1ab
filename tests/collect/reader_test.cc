#include "collect/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "core/random.h"
#include "schema/json.h"

namespace slm::collect {
namespace {

using testing::ElementsAre;

// Hands out at most `step` bytes at a time.
class SlowSource final : public ByteSource {
 public:
  SlowSource(std::string text, size_t step) : text_(std::move(text)), step_(step) {}
  Result<size_t> read(char* out, size_t n) override {
    n = std::min({n, step_, text_.size() - at_});
    text_.copy(out, n, at_);
    at_ += n;
    return n;
  }

 private:
  std::string text_;
  size_t step_, at_ = 0;
};

// "line:text" or "line:!reason" of every record.
std::vector<std::string> records_of(const std::string& text, size_t step = SIZE_MAX,
                                    uint64_t limit = kDefaultMaxRecordBytes) {
  SlowSource source(text, step);
  RecordReader reader(source, limit);
  RecordReader::Record record;
  std::vector<std::string> out;
  for (;;) {
    const auto more = reader.next(record);
    EXPECT_TRUE(more.has_value());
    if (!more || !*more) break;
    out.push_back(std::to_string(record.line) + ":" +
                  (record.bad.empty() ? std::string(record.text) : "!" + std::string(record.bad)));
  }
  EXPECT_EQ(reader.n_bytes_read(), text.size());
  return out;
}

TEST(Reader, Lines) {
  for (const size_t step : {size_t{1}, size_t{3}, size_t{1000}}) {
    EXPECT_THAT(records_of("{\"a\":1}\n{\"b\":2}\n", step), ElementsAre("1:{\"a\":1}", "2:{\"b\":2}"));
    EXPECT_THAT(records_of("\xef\xbb\xbf\n\n {\"a\":1}\r\n\n\t\n{\"b\":2}", step),
                ElementsAre("3:{\"a\":1}", "6:{\"b\":2}"));
    EXPECT_THAT(records_of("{\"a\":\n{\"b\":2}\nrubbish\n{}", step),
                ElementsAre("1:{\"a\":", "2:{\"b\":2}", "3:rubbish", "4:{}"));
    EXPECT_THAT(records_of("", step), ElementsAre());
    EXPECT_THAT(records_of(" \n\n", step), ElementsAre());
  }
}

TEST(Reader, ArrayElements) {
  for (const size_t step : {size_t{1}, size_t{4}, size_t{1000}}) {
    EXPECT_THAT(records_of("[\n {\"a\":\"}]\\\"\"},\n\n [1,[2]],3,\"x,\"\n]\n", step),
                ElementsAre("2:{\"a\":\"}]\\\"\"}", "4:[1,[2]]", "4:3", "4:\"x,\""));
    EXPECT_THAT(records_of("[]", step), ElementsAre());
    EXPECT_THAT(records_of("[{\"a\":1}][{\"b\":1}]", step), ElementsAre("1:{\"a\":1}", "1:{\"b\":1}"));
    EXPECT_THAT(records_of("[{\"a\":1},\n{\"b\":[", step), ElementsAre("1:{\"a\":1}", "2:!cut_off"));
  }
}

TEST(Reader, LinesThatAreLists) {
  for (const size_t step : {size_t{1}, size_t{4}, size_t{1000}}) {
    EXPECT_THAT(records_of("[{\"a\":\"]\"}]\n\n[2,3]\n{}\n", step),
                ElementsAre("1:[{\"a\":\"]\"}]", "3:[2,3]", "4:{}"));
    EXPECT_THAT(records_of("\n[]\r\n[1]", step), ElementsAre("2:[]", "3:[1]"));
    // One array, however it is written.
    EXPECT_THAT(records_of("[[1],[2]]\n\n \n", step), ElementsAre("1:[1]", "1:[2]"));
    EXPECT_THAT(records_of("[1]  ", step), ElementsAre("1:1"));
    EXPECT_THAT(records_of("[[1],\n[2]]\n[3]", step), ElementsAre("1:[1]", "2:[2]", "3:3"));
    EXPECT_THAT(records_of("[[1]] [[2]]\n[[3]]", step), ElementsAre("1:[1]", "1:[2]", "2:[3]"));
  }
  // Longer than a record may be, so it is a file of records.
  const std::string item = "\"" + std::string(3000, 'x') + "\"";
  EXPECT_THAT(records_of("[" + item + "," + item + "]\n[1]", 100, 5000), ElementsAre("1:" + item, "1:" + item, "2:1"));
  // A long first line is read no further than one record.
  const std::string big = "[\"" + std::string(1 << 20, 'x') + "\"]";
  EXPECT_THAT(records_of(big + "\n[1]"), ElementsAre("1:" + big, "2:[1]"));
}

TEST(Reader, ValuesOverSeveralLines) {
  for (const size_t step : {size_t{1}, size_t{1000}})
    EXPECT_THAT(records_of("{\n  \"a\": 1\n}\n{\n  \"b\": 2\n}\n", step),
                ElementsAre("1:{\n  \"a\": 1\n}", "4:{\n  \"b\": 2\n}"));
}

TEST(Reader, LongRecordsAreSkippedNotFatal) {
  const std::string big = "{\"a\":\"" + std::string(100000, 'x') + "\"}";
  for (const size_t step : {size_t{1000}, size_t{1} << 20}) {
    EXPECT_THAT(records_of("{}\n" + big + "\n{\"b\":2}\n" + big, step, 5000),
                ElementsAre("1:{}", "2:!too_long", "3:{\"b\":2}", "4:!too_long"));
    EXPECT_THAT(records_of("[{},\n" + big + ",\n{\"b\":2}]", step, 5000),
                ElementsAre("1:{}", "2:!too_long", "3:{\"b\":2}"));
  }
  const std::string exact(5000, '7');
  EXPECT_THAT(records_of(exact + "\n8", SIZE_MAX, 5000), ElementsAre("1:" + exact, "2:8"));
  EXPECT_THAT(records_of(exact + "7\n8", SIZE_MAX, 5000), ElementsAre("1:!too_long", "2:8"));
}

TEST(Reader, TenMegabyteLine) {
  const std::string big = "{\"a\":\"" + std::string(10 << 20, 'x') + "\"}";
  const auto records = records_of(big + "\n{}\n");
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].size(), big.size() + 2);
}

TEST(Reader, StrayBracketsAndRubbishEnd) {
  for (const std::string text : {"]]]", "[}}", "[,,,]", "{\n  }}}\n", "[1 2 3", "[:::", "[\"open", "}"})
    for (const size_t step : {size_t{1}, size_t{1000}}) EXPECT_LE(records_of(text, step).size(), text.size()) << text;
}

// Cutting the input differently never changes what is read.
TEST(Reader, RandomDocumentsInRandomPieces) {
  Prng prng(5);
  const std::string_view alphabet = "{}[]\",\\: \n1ax";
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (uint64_t n = prng.below(60); n > 0; --n) text += alphabet[prng.below(alphabet.size())];
    const auto whole = records_of(text, SIZE_MAX, 20);
    EXPECT_EQ(records_of(text, 1 + prng.below(7), 20), whole);
  }
}

TEST(Reader, MissingFileAndFolder) {
  EXPECT_EQ(open_file_source("/nowhere/at/all").error().code, ErrorCode::kIo);
  EXPECT_EQ(open_file_source("/tmp").error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace slm::collect
