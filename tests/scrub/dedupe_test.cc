#include "scrub/dedupe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "core/random.h"

namespace slm::scrub {
namespace {

// Exact similarity by its definition, over sets of 5-byte strings: the oracle of the estimates.
double jaccard(const std::string& a, const std::string& b) {
  const auto set_of = [](const std::string& s) {
    std::set<std::string> out;
    for (size_t i = 0; i + 5 <= s.size(); ++i) out.insert(s.substr(i, 5));
    return out;
  };
  const auto x = set_of(a), y = set_of(b);
  size_t both = 0;
  for (const auto& s : x) both += y.contains(s);
  return static_cast<double>(both) / static_cast<double>(x.size() + y.size() - both);
}

std::string random_text(Prng& prng, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out.push_back(static_cast<char>('a' + prng.below(26)));
  return out;
}

TEST(Sketch, EstimatesJaccardWithinItsStatedError) {
  Prng prng(3);
  double squares_in = 0, squares_out = 0, bias = 0;
  const int n = 300;
  for (int i = 0; i < n; ++i) {
    const std::string a = random_text(prng, 400);
    std::string b = a;
    for (int k = 0; k < 4; ++k) b[prng.below(b.size())] = '#';
    const double truth = jaccard(a, b);
    const Sketch x = make_sketch("s", a, a), y = make_sketch("s", b, b);
    const double in = input_similarity(x, y) - truth, out = answer_similarity(x, y) - truth;
    squares_in += in * in;
    squares_out += out * out;
    bias += in;
  }
  EXPECT_LT(std::sqrt(squares_in / n), 0.022 * 1.25);
  EXPECT_LT(std::sqrt(squares_out / n), 0.031 * 1.25);
  EXPECT_LT(std::abs(bias / n), 0.005);
}

TEST(Sketch, FoldsCaseAndWhiteSpace) {
  const Sketch a = make_sketch("s", "Where is  my\nParcel?", "Here."),
               b = make_sketch("s", "where is my parcel? ", "HERE.");
  EXPECT_EQ(input_similarity(a, b), 1);
  EXPECT_EQ(answer_similarity(a, b), 1);
  EXPECT_EQ(a.bands, b.bands);
}

TEST(Sketch, UnlikeTextsAreUnlike) {
  EXPECT_LT(
      input_similarity(make_sketch("s", "where is my parcel", "x"), make_sketch("s", "I want my money back", "x")),
      0.2);
  EXPECT_NE(make_sketch("s", "abcdef", "x").bands, make_sketch("t", "abcdef", "x").bands);
}

class DedupeTest : public ::testing::Test {
 protected:
  Dedupe::Verdict add(std::string_view input, std::string_view answer, uint32_t session, uint32_t group) {
    const Sketch sketch = make_sketch("site", input, answer);
    return dedupe_.add({++exact_, &sketch, session, group});
  }
  Dedupe dedupe_;
  uint64_t exact_ = 0;
};
using Verdict = Dedupe::Verdict;
const std::string kMail =
    "Good morning, the parcel with my garden chairs has not come yet although you said Tuesday. Where is it?";

TEST_F(DedupeTest, NearDuplicatesOfOtherSessionsOnly) {
  EXPECT_EQ(add(kMail, "delivery", 0, 0), Verdict::kNew);
  EXPECT_EQ(add(kMail + "!", "delivery", 0, 0), Verdict::kNew);  // same session
  EXPECT_EQ(add(kMail + "!", "delivery", 1, 1), Verdict::kNear);
  EXPECT_EQ(add(kMail + "!", "complaint", 1, 1), Verdict::kNew);  // another answer
  EXPECT_EQ(add("My invoice shows the wrong amount.", "delivery", 1, 1), Verdict::kNew);
}

TEST_F(DedupeTest, ShortTextsThatDifferInAWordStay) {
  EXPECT_EQ(add("Where is my parcel?", "delivery", 0, 0), Verdict::kNew);
  EXPECT_EQ(add("Where is my order?", "delivery", 1, 1), Verdict::kNew);
  EXPECT_EQ(add("Order 48213 of chairs hasn't come, what now?", "delivery", 2, 2), Verdict::kNew);
  EXPECT_EQ(add("Order 77120 of chairs hasn't come, what now?", "delivery", 3, 3), Verdict::kNew);
}

TEST_F(DedupeTest, ExactOnesAnywhere) {
  const Sketch sketch = make_sketch("site", "a text that is long enough", "x");
  EXPECT_EQ(dedupe_.add({7, &sketch, 0, 0}), Verdict::kNew);
  EXPECT_EQ(dedupe_.add({7, &sketch, 0, 0}), Verdict::kExact);
  EXPECT_EQ(dedupe_.add({7, &sketch, 1, 1}), Verdict::kExact);
}

TEST_F(DedupeTest, SessionsThatMostlyRepeatJoin) {
  add(kMail, "delivery", 0, 0);
  add("The bench broke after two days, I want a new one.", "warranty", 0, 0);
  add(kMail + "!", "delivery", 1, 1);  // one of two calls: half
  add("Something quite different about paint and brushes.", "advice", 1, 1);
  add(kMail + "!!", "delivery", 2, 2);  // one of three
  add("Do you sell seeds for wild flowers in larger bags?", "stock", 2, 2);
  add("And may I pay by invoice, please, as last year?", "invoice", 2, 2);
  const auto merged = dedupe_.merge(std::vector<bool>(3, false));
  EXPECT_EQ(merged.group, (std::vector<uint32_t>{0, 0, 2}));
  EXPECT_TRUE(merged.late_links.empty());
}

TEST_F(DedupeTest, FixedGroupsStayAndAreNamed) {
  add(kMail, "delivery", 0, 0);
  add(kMail + "!", "delivery", 1, 1);
  EXPECT_EQ(dedupe_.merge({false, true}).group, (std::vector<uint32_t>{1, 1}));
  const auto merged = dedupe_.merge({true, true});
  EXPECT_EQ(merged.group, (std::vector<uint32_t>{0, 1}));
  ASSERT_EQ(merged.late_links.size(), 1u);
  EXPECT_EQ(std::minmax(merged.late_links[0].first, merged.late_links[0].second), std::minmax(0u, 1u));
}

TEST(Dedupe, FindsWhatItClaimsAmongManyTexts) {
  // 3000 texts and a copy of each at similarity about 0.95: nearly all copies are found, no text is taken for another.
  Prng prng(11);
  std::vector<std::string> texts;
  for (int i = 0; i < 3000; ++i) texts.push_back(random_text(prng, 300));
  Dedupe dedupe;
  uint64_t n = 0;
  const auto add = [&](const std::string& text) {
    const Sketch sketch = make_sketch("s", text, "yes");
    ++n;
    return dedupe.add({n, &sketch, static_cast<uint32_t>(n), static_cast<uint32_t>(n)});
  };
  for (const auto& text : texts) ASSERT_EQ(add(text), Dedupe::Verdict::kNew);
  int found = 0;
  for (std::string text : texts) {
    text[prng.below(text.size())] = '#';
    found += add(text) == Dedupe::Verdict::kNear;
  }
  EXPECT_GT(found, 2950);
}

}  // namespace
}  // namespace slm::scrub
