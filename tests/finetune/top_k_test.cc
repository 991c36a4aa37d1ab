#include "finetune/top_k.h"

#include <gmock/gmock.h>

#include <cmath>

namespace slm::finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

// 0 "a", 1 "b", 2 "ab", 3 " c", 4 half a euro sign, 5 its other half, 6 "a" again (0 is the byte), 7 special, 8 ends.
std::shared_ptr<const model::Vocabulary> vocabulary() {
  const std::vector<int32_t> end{8};
  return std::make_shared<model::Vocabulary>(
      std::vector<std::string>{"a", "b", "ab", " c", "\xe2\x82", "\xac", "a", std::string("\xff") + "<s>", "</s>"},
      end);
}

LoggedToken token(std::string bytes, double p, std::vector<std::pair<std::string, double>> top = {}) {
  for (auto& [other, q] : top) q = std::log(q);
  return {std::move(bytes), std::log(p), std::move(top)};
}
std::vector<int32_t> places(const std::vector<nn::LoggedTopK>& list) {
  std::vector<int32_t> out;
  for (const auto& one : list) out.push_back(one.at);
  return out;
}

TEST(TopK, TokensThatCoverTheSameBytesAreTheSame) {
  const TopK top_k(vocabulary());
  // The answer "ab c€", which the student reads as ab, " c", and two halves; then the turn ends. Two ids of prompt.
  const model::Example example{{7, 1, 2, 3, 4, 5, 8}, 2};
  const auto same =
      top_k.match(example, std::vector{token("ab", 0.5, {{"ab", 0.5}, {"a", 0.25}, {"zebra", 0.125}}),
                                       token(" c", 0.75, {{"b", 0.1}}), token("\xe2\x82", 0.9), token("\xac", 0.99)});
  EXPECT_THAT(places(same), ElementsAre(2, 3, 4, 5));
  // Another token of the student by its own bytes, the later of two; one that it lacks is not there.
  EXPECT_THAT(same[0].ids, ElementsAre(2, 6));
  EXPECT_THAT(same[0].probabilities, ElementsAre(FloatNear(0.5f, 1e-6f), FloatNear(0.25f, 1e-6f)));
  EXPECT_THAT(same[1].ids, ElementsAre(3, 1));  // what was logged, though its own list lacks it

  // Another tokeniser: only the border between "ab" and " c" is common, and the end.
  const auto other =
      top_k.match(example, std::vector{token("a", 0.5), token("b", 0.5), token(" c", 0.5), token("\xe2\x82\xac", 0.5)});
  EXPECT_THAT(places(other), ElementsAre(3));
}

TEST(TopK, TheAnswerIsFoundWhereTheTemplatePutsIt) {
  const TopK top_k(vocabulary());
  // The template wrote "b" and a special token first, and ends the turn with two.
  const model::Example example{{7, 1, 7, 6, 1, 8, 7}, 1};
  EXPECT_THAT(places(top_k.match(example, std::vector{token("a", 0.5), token("b", 0.5)})), ElementsAre(3, 4));
  // "ba" is in no answer: a special token lies between.
  EXPECT_TRUE(top_k.match(example, std::vector{token("b", 0.5), token("a", 0.5)}).empty());
  EXPECT_TRUE(top_k.match(example, {}).empty());
  EXPECT_TRUE(top_k.match({{7, 8}, 1}, std::vector{token("a", 0.5)}).empty());
}

}  // namespace
}  // namespace slm::finetune
