#include "evaluate/looks.h"

#include <gtest/gtest.h>

namespace slm::evaluate {
namespace {

TaskEvaluation tested(int look, std::string candidate, std::string tested_in, std::string barrier = "") {
  TaskEvaluation out;
  out.look = look;
  out.candidate = std::move(candidate);
  out.tested_in = std::move(tested_in);
  out.barrier = std::move(barrier);
  return out;
}

TEST(Looks, TheFirstIsFree) {
  const LookPlan plan = plan_look(nullptr, "a", "");
  EXPECT_EQ(plan.look, 1);
  EXPECT_EQ(plan.barrier, "");
  EXPECT_FALSE(plan.changed);
}

TEST(Looks, TheUnchangedCandidateMayLookAgainAtTheSameSessions) {
  const TaskEvaluation before = tested(1, "a", "e1");
  const LookPlan plan = plan_look(&before, "a", "");
  EXPECT_EQ(plan.look, 2);
  EXPECT_EQ(plan.barrier, "");
}

TEST(Looks, AnotherCandidateSeesOnlyLaterSessions) {
  const TaskEvaluation before = tested(1, "a", "e1");
  const LookPlan plan = plan_look(&before, "b", "");
  EXPECT_EQ(plan.look, 2) << "looks are counted over candidates";
  EXPECT_EQ(plan.barrier, "e1");
  EXPECT_TRUE(plan.changed);
}

TEST(Looks, TheBarrierStaysWithItsCandidate) {
  const TaskEvaluation second = tested(2, "b", "e2", "e1");
  EXPECT_EQ(plan_look(&second, "b", "").barrier, "e1") << "its own sessions since e1 may be used again";
  EXPECT_EQ(plan_look(&second, "c", "").barrier, "e2");
  EXPECT_EQ(plan_look(&second, "a", "").barrier, "e2") << "an old candidate that comes back is another one";
}

TEST(Looks, ATaskFoundAfterALookSeesOnlyLaterSessions) {
  const LookPlan plan = plan_look(nullptr, "a", "e3");
  EXPECT_EQ(plan.look, 1);
  EXPECT_EQ(plan.barrier, "e3");
}

TEST(Looks, SeenGroupsReadBack) {
  Bytes bytes;
  put_u64(bytes, group_hash("g1"));
  put_u64(bytes, group_hash("g2"));
  const auto groups = parse_seen(bytes);
  ASSERT_TRUE(groups);
  EXPECT_TRUE(groups->contains(group_hash("g1")));
  EXPECT_FALSE(groups->contains(group_hash("g3")));
  bytes.pop_back();
  EXPECT_EQ(parse_seen(bytes).error().code, ErrorCode::kBadInput);
}

}  // namespace
}  // namespace slm::evaluate
