// Oracles: numpy 2.4 linalg.svd (dense), scipy 1.x sparse.linalg.svds (CLINC150), both in double precision.
#include "embed/svd.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <filesystem>

#include "core/progress.h"
#include "core/random.h"
#include "embed/text_embedder.h"
#include "schema/json.h"

namespace slm::embed {
namespace {

TEST(Svd, SingularValuesAreNumpys) {
  const std::vector<std::string_view> documents = {"Where is my ORDER order?", "cancel my order now",
                                                   "Straße ÉCOLE a  b", "what's\tthe weather\u00a0in Málaga\n", "a"};
  const auto model = NgramTfIdf::fit(documents, {}).value();
  const auto svd = truncated_svd(model.transform(documents), {}).value();
  const double expected[] = {1.178405545, 1.072719795, 0.998991320, 0.921559678, 0.783183704};
  ASSERT_EQ(svd.singular_values.size(), 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(svd.singular_values[i], expected[i], 2e-6);
}

TEST(Svd, AnInterruptEndsIt) {
  const std::vector<std::string_view> documents = {"where is my order", "cancel my order now", "the weather"};
  const auto matrix = NgramTfIdf::fit(documents, {}).value().transform(documents);
  interrupt_flag() = true;
  const auto svd = truncated_svd(matrix, {});
  interrupt_flag() = false;
  ASSERT_FALSE(svd);
  EXPECT_EQ(svd.error().code, ErrorCode::kInterrupted);
  EXPECT_TRUE(truncated_svd(matrix, {}));
}

std::vector<std::string> clinc_texts() {
  const std::filesystem::path path = SLM_SOURCE_DIR "/../shared/data/intents/clinc150.json";
  std::vector<std::string> texts;
  if (!std::filesystem::exists(path)) return texts;
  const auto data = read_json_file(path).value();
  for (const auto& row : data.at("test").as_array()) texts.emplace_back(row.as_array()[0].as_string());
  return texts;
}

TEST(Svd, ClincSingularValuesAreScipys) {
  const auto texts = clinc_texts();
  if (texts.empty()) GTEST_SKIP() << "no ../shared/data/intents/clinc150.json: outside data isn't on this machine";
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const auto model = NgramTfIdf::fit(views, {}).value();
  const auto svd = truncated_svd(model.transform(views), {}).value();
  ASSERT_EQ(svd.singular_values.size(), 200u);
  EXPECT_NEAR(svd.singular_values[0], 11.68709695, 1e-4);
  EXPECT_NEAR(svd.singular_values[9], 5.50480945, 1e-4);
  EXPECT_NEAR(svd.singular_values[99], 3.06142441, 3e-3);
  // The projection loses a little at the end; as much as scikit-learn's TruncatedSVD(200, n_iter=5), 2.18970777.
  EXPECT_NEAR(svd.singular_values[199], 2.18970777, 5e-3);
  EXPECT_LT(svd.singular_values[199], 2.27829944);
  // Components are orthonormal.
  for (const auto& [i, j] : {std::pair{0, 0}, {0, 1}, {199, 199}, {50, 120}, {100, 100}}) {
    double dot = 0;
    for (size_t row = 0; row < svd.components.n_rows; ++row)
      dot += static_cast<double>(svd.components.row(row)[i]) * svd.components.row(row)[j];
    EXPECT_NEAR(dot, i == j ? 1.0 : 0.0, 1e-4) << i << " " << j;
  }
}

TEST(Svd, EigenvaluesOfAKnownMatrix) {
  // Eigenvalues of the second-difference matrix of width n: 2 − 2 cos(kπ / (n + 1)).
  constexpr size_t kWidth = 40;
  std::vector<double> matrix(kWidth * kWidth, 0.0);
  for (size_t i = 0; i < kWidth; ++i) {
    matrix[i * kWidth + i] = 2;
    if (i + 1 < kWidth) matrix[i * kWidth + i + 1] = matrix[(i + 1) * kWidth + i] = -1;
  }
  const auto eigen = symmetric_eigen(matrix, kWidth);
  for (size_t k = 0; k < kWidth; ++k)
    EXPECT_NEAR(eigen.values[k], 2 - 2 * std::cos(M_PI * static_cast<double>(kWidth - k) / (kWidth + 1)), 1e-10);
  for (size_t i = 0; i < kWidth; ++i) {  // A v = λ v, for the first
    double product = 0;
    for (size_t j = 0; j < kWidth; ++j) product += matrix[i * kWidth + j] * eigen.vectors[j * kWidth];
    EXPECT_NEAR(product, eigen.values[0] * eigen.vectors[i * kWidth], 1e-10);
  }
}

TEST(Svd, DependentColumnsBecomeZero) {
  DenseMatrix y(50, 3);
  Prng prng(7);
  for (size_t i = 0; i < 50; ++i) {
    y.row(i)[0] = static_cast<float>(prng.normal());
    y.row(i)[1] = 3 * y.row(i)[0];
    y.row(i)[2] = static_cast<float>(prng.normal());
  }
  orthonormalise(y);
  orthonormalise(y);
  double g[3][3] = {};
  for (size_t i = 0; i < 50; ++i)
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b) g[a][b] += static_cast<double>(y.row(i)[a]) * y.row(i)[b];
  EXPECT_NEAR(g[0][0], 1, 1e-5);
  EXPECT_NEAR(g[1][1], 0, 1e-5);
  EXPECT_NEAR(g[2][2], 1, 1e-5);
  EXPECT_NEAR(g[0][2], 0, 1e-5);
}

TEST(TextEmbedder, EqualBitsForAnyNumberOfThreads) {
  std::vector<std::string> texts;
  Prng prng(3);
  for (int i = 0; i < 800; ++i) {
    std::string text;
    for (int w = 0; w < 12; ++w) text += "word" + std::to_string(prng.below(300)) + ' ';
    texts.push_back(text);
  }
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  TextEmbedderOptions options;
  options.svd.rank = 50;
  Bytes one, two;
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  TextEmbedder::fit(views, options).value().serialise(one);
  omp_set_num_threads(3);
  TextEmbedder::fit(views, options).value().serialise(two);
  omp_set_num_threads(threads);
  EXPECT_EQ(one, two);
}

TEST(TextEmbedder, FewAndEmptyDocuments) {
  EXPECT_EQ(TextEmbedder::fit({}, {}).value().width(), 0u);
  EXPECT_EQ(TextEmbedder::fit({"", " "}, {}).value().width(), 0u);
  const auto same = TextEmbedder::fit({"hello there", "hello there", "hello there"}, {}).value();
  ASSERT_EQ(same.width(), 1u);
  float x = 0;
  EXPECT_TRUE(same.embed("hello", &x));
  EXPECT_NEAR(std::abs(x), 1, 1e-6);
  EXPECT_FALSE(same.embed("qqqq", &x));
  EXPECT_EQ(x, 0);
}

TEST(TextEmbedder, BytesComeBackAndDamageIsSeen) {
  const std::vector<std::string_view> documents = {"where is my order", "cancel my order", "what is the weather",
                                                   "rain today"};
  TextEmbedderOptions options;
  options.sigma_power = 0.5;
  const auto model = TextEmbedder::fit(documents, options).value();
  Bytes bytes;
  model.serialise(bytes);
  size_t pos = 0;
  const auto again = TextEmbedder::parse(bytes, pos).value();
  EXPECT_EQ(pos, bytes.size());
  EXPECT_EQ(again.embed(documents).values, model.embed(documents).values);
  for (size_t cut = 0; cut < bytes.size(); cut += 3) {
    size_t at = 0;
    EXPECT_FALSE(TextEmbedder::parse(ByteSpan(bytes).first(cut), at)) << cut;
  }
  Bytes newer = bytes;
  newer[4] = 2;
  pos = 0;
  EXPECT_EQ(TextEmbedder::parse(newer, pos).error().code, ErrorCode::kFormatTooNew);
  options.sigma_power = 3;
  EXPECT_EQ(TextEmbedder::fit(documents, options).error().code, ErrorCode::kBadInput);
}

}  // namespace
}  // namespace slm::embed
