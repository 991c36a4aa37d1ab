// Oracle: scikit-learn 1.9.1, TfidfVectorizer(analyzer='char_wb', ngram_range=(3, 5), sublinear_tf=True) on the same
// texts; its numbers stand here as printed.
#include "embed/ngrams.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "schema/json.h"

namespace slm::embed {
namespace {

const std::vector<std::string_view> kDocuments = {"Where is my ORDER order?", "cancel my order now",
                                                  "Straße ÉCOLE a  b", "what's\tthe weather\u00a0in Málaga\n", "a"};

float weight(const NgramTfIdf& model, std::string_view document, std::string_view ngram) {
  const int64_t column = model.column(ngram);
  const auto row = model.transform(document);
  for (size_t i = 0; i < row.columns.size(); ++i)
    if (row.columns[i] == column) return row.values[i];
  return -1;
}

TEST(Ngrams, WeightsAreScikitLearns) {
  const auto model = NgramTfIdf::fit(kDocuments, {}).value();
  EXPECT_EQ(model.n_terms(), 139u);
  const size_t n_terms[] = {36, 36, 29, 56, 1};
  for (size_t i = 0; i < kDocuments.size(); ++i)
    EXPECT_EQ(model.transform(kDocuments[i]).columns.size(), n_terms[i]) << i;
  struct Case {
    size_t document;
    const char* ngram;
    double expected;
  };
  for (const Case& c : {Case{0, " or", 0.213861334},
                        {0, "order", 0.213861334},
                        {0, "r? ", 0.156557926},
                        {1, " or", 0.145940662},
                        {1, "now ", 0.180889689},
                        {2, " a ", 0.150727760},
                        {2, "éco", 0.186823173},
                        {2, "aße ", 0.186823173},
                        {3, "what'", 0.132900378},
                        {3, "lag", 0.132900378},
                        {4, " a ", 1.0}})
    EXPECT_NEAR(weight(model, kDocuments[c.document], c.ngram), c.expected, 1e-7) << c.document << " " << c.ngram;
}

TEST(Ngrams, MinimumDocumentsAndOtherLengths) {
  NgramOptions options;
  options.min_n = 2;
  options.max_n = 4;
  options.min_documents = 2;
  const auto model = NgramTfIdf::fit(kDocuments, options).value();
  EXPECT_EQ(model.n_terms(), 32u);
  EXPECT_NEAR(weight(model, kDocuments[0], "or"), 0.238672464, 1e-7);
  EXPECT_EQ(model.column("wea"), -1);
}

TEST(Ngrams, BoundKeepsTheTermsInMostDocuments) {
  NgramOptions options;
  options.max_terms = 3;
  const auto model = NgramTfIdf::fit({"abc abc abc", "xyz", "xyz q", "xyz q"}, options).value();
  EXPECT_EQ(model.n_terms(), 3u);
  EXPECT_GE(model.column("xyz"), 0);
  EXPECT_EQ(model.column("abc"), -1);
}

TEST(Ngrams, ClincHasScikitLearnsVocabulary) {
  const std::filesystem::path path = SLM_SOURCE_DIR "/../shared/data/intents/clinc150.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path << ": outside data isn't on this machine";
  const auto data = read_json_file(path).value();
  std::vector<std::string> texts;
  for (const auto& row : data.at("test").as_array()) texts.emplace_back(row.as_array()[0].as_string());
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const auto model = NgramTfIdf::fit(views, {}).value();
  const auto matrix = model.transform(views);
  EXPECT_EQ(model.n_terms(), 19804u);
  EXPECT_EQ(matrix.values.size(), 318675u);
  double sum = 0, cubes = 0;
  for (const double v : matrix.values) sum += v, cubes += v * v * v;
  EXPECT_NEAR(sum, 35271.1147331661, 1e-3);
  EXPECT_NEAR(cubes, 650.1876586224429, 1e-4);
}

TEST(Ngrams, WhiteSpaceAndIllFormedBytesAreHarmless) {
  const auto model = NgramTfIdf::fit({"", " \t\n", "\xff\xfe broken \xc3", "fine"}, {}).value();
  EXPECT_TRUE(model.transform("").columns.empty());
  EXPECT_TRUE(model.transform("zzzz").columns.empty());
  EXPECT_GE(model.column("fine"), 0);
}

TEST(Ngrams, OnlyTheFirstBytesCount) {
  NgramOptions options;
  options.max_bytes = 4;  // "abé" is four bytes; the cut never lands inside a code point
  const auto model = NgramTfIdf::fit({"abéxyz"}, options).value();
  EXPECT_GE(model.column("bé "), 0);
  EXPECT_EQ(model.column("xyz"), -1);
  options.max_bytes = 3;
  EXPECT_GE(NgramTfIdf::fit({"abéxyz"}, options).value().column("ab "), 0);
}

TEST(Ngrams, RefusesOptionsOutOfRange) {
  for (const auto& [low, high] : {std::pair{0, 3}, {4, 3}, {3, 9}}) {
    NgramOptions options;
    options.min_n = low;
    options.max_n = high;
    EXPECT_EQ(NgramTfIdf::fit({"a"}, options).error().code, ErrorCode::kBadInput);
  }
  NgramOptions none;
  none.max_terms = 0;
  EXPECT_EQ(NgramTfIdf::fit({"a"}, none).error().code, ErrorCode::kBadInput);
}

TEST(Ngrams, BytesComeBackAndDamageIsSeen) {
  const auto model = NgramTfIdf::fit(kDocuments, {}).value();
  Bytes bytes;
  model.serialise(bytes);
  size_t pos = 0;
  const auto again = NgramTfIdf::parse(bytes, pos).value();
  EXPECT_EQ(pos, bytes.size());
  EXPECT_EQ(again.transform(kDocuments[0]).values, model.transform(kDocuments[0]).values);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    size_t at = 0;
    EXPECT_FALSE(NgramTfIdf::parse(ByteSpan(bytes).first(cut), at)) << cut;
  }
  Bytes swapped = bytes;
  std::swap_ranges(swapped.begin() + 40, swapped.begin() + 48, swapped.begin() + 48);  // two terms out of order
  pos = 0;
  EXPECT_EQ(NgramTfIdf::parse(swapped, pos).error().code, ErrorCode::kBadInput);
}

}  // namespace
}  // namespace slm::embed
