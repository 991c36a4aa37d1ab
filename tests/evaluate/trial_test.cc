#include "evaluate/trial.h"

#include <gtest/gtest.h>

#include "evaluate/fake_model.h"

namespace slm::evaluate {
namespace {

Unit unit(std::string_view user, std::string_view reference, std::string_view logged) {
  Unit out;
  out.prompt.messages = asks(user);
  out.reference = says(reference);
  out.logged = says(logged);
  return out;
}

TrainingAnswers training(std::initializer_list<std::pair<std::string, std::string>> pairs) {
  TrainingAnswers out;
  for (const auto& [request, answer] : pairs) {
    out.requests.push_back(request);
    out.answers.push_back(says(answer));
  }
  return out;
}

class Trial : public testing::Test {
 protected:
  Result<TrialResult> run(Say say, const std::vector<Unit>& units, const TrainingAnswers& train) {
    FakeModel model(std::move(say));
    TrialOptions options;
    options.label = "t", options.kind = score::TaskKind::kLabel, options.by_truth = true;
    auto result = run_trial({model, adapter_, units, train}, options, *clock_, null_progress());
    EXPECT_EQ(static_cast<FakeEngine&>(model.engine()).adapter, "") << "the base is left as it was";
    max_new_tokens_ = model.max_new_tokens;
    return result;
  }
  nn::AdapterFiles adapter_{"tuned", {}};
  std::unique_ptr<Clock> clock_ = fixed_clock(0, 1000);
  int max_new_tokens_ = 0;
};

TEST_F(Trial, CountsEveryPairOfRightAndWrong) {
  // Large model right or wrong, tuned right or wrong: 1, 2, 3 and 4 units of each.
  std::vector<Unit> units;
  for (int i = 0; i < 1; ++i) units.push_back(unit("ok", "yes", "yes"));
  for (int i = 0; i < 2; ++i) units.push_back(unit("miss", "yes", "yes"));
  for (int i = 0; i < 3; ++i) units.push_back(unit("ok", "yes", "no"));
  for (int i = 0; i < 4; ++i) units.push_back(unit("miss", "yes", "no"));
  const auto result =
      run([](const std::string& user,
             const std::string& adapter) { return adapter == "tuned" && user == "ok" ? "yes" : "base says no"; },
          units, training({{"ok", "yes"}, {"other", "no"}, {"others", "no"}}));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->b, 2);
  EXPECT_EQ(result->c, 3);
  EXPECT_DOUBLE_EQ(result->tuned.exact, 0.4);
  EXPECT_DOUBLE_EQ(result->base.exact, 0);
  EXPECT_DOUBLE_EQ(result->llm.exact, 0.3);
  EXPECT_DOUBLE_EQ(result->majority.exact, 0) << "the commonest training answer is no";
  EXPECT_DOUBLE_EQ(*result->latency_ms, 5);
  EXPECT_DOUBLE_EQ(*result->tokens_per_call, 12);
  EXPECT_GT(*result->tokens_per_s, 0);
  EXPECT_FALSE(result->llm_latency_ms);
  EXPECT_EQ(result->outcomes.size(), 10u);
}

TEST_F(Trial, NearestCopiesTheAnswerOfTheLikestRequest) {
  const auto result = run([](const std::string&, const std::string&) { return "x"; },
                          {unit("where is my parcel today", "shipping", "shipping"),
                           unit("please refund this invoice", "billing", "billing")},
                          training({{"refund my invoice please", "billing"},
                                    {"my parcel is late, where is it", "shipping"},
                                    {"close the account", "account"}}));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_DOUBLE_EQ(result->nearest.exact, 1);
}

TEST_F(Trial, APromptThatDoesNotFitIsWrong) {
  const auto result = run([](const std::string&, const std::string&) { return "too long"; }, {unit("u", "", "")}, {});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->n_unanswered, 1);
  EXPECT_EQ(result->b, 1) << "also where the right answer is empty";
  EXPECT_FALSE(result->has_training);
}

TEST_F(Trial, AnswersGetAsMuchRoomAsTrainingAnswersTake) {
  ASSERT_TRUE(run([](const std::string&, const std::string&) { return "x"; }, {unit("u", "a", "a")},
                  training({{"r", std::string(300, 'a')}})));
  EXPECT_EQ(max_new_tokens_, 308);
}

TEST(Baselines, MajorityByMeaningNotByBytes) {
  const std::vector<json::object> answers = {says("yes"), says("no"), says(" NO "), says("maybe")};
  EXPECT_EQ(content_text(majority_answer(score::TaskKind::kLabel, answers)), "no");
  EXPECT_TRUE(majority_answer(score::TaskKind::kLabel, {}).empty());
  const std::vector<json::object> tie = {says("b"), says("a")};
  EXPECT_EQ(content_text(majority_answer(score::TaskKind::kLabel, tie)), "a");
}

TEST(Baselines, RequestTextPutsTheNewestFirst) {
  json::array messages = {json::object{{"role", "system"}, {"content", std::string(100, 's')}}};
  messages.push_back(json::object{{"role", "user"}, {"content", "question"}});
  const std::string text = request_text(messages, 20);
  EXPECT_TRUE(text.starts_with("question\n"));
  EXPECT_EQ(text.size(), 20u);
}

}  // namespace
}  // namespace slm::evaluate
