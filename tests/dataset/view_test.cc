#include "dataset/view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "support/fake_store.h"
#include "support/scrub_calls.h"

namespace slm::dataset {
namespace {

using Space = store::Store::Space;

// Twelve calls: four sessions of three, sides by session, two tasks in turn.
class ViewTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int s = 0; s < 4; ++s) {
      for (int i = 0; i < 3; ++i) {
        Call call = test::make_call("ses_" + std::to_string(s), "q" + std::to_string(s * 3 + i), "a");
        call.meta.split = s < 2 ? "train" : s == 2 ? "validation" : "test";
        if (s == 1) call.meta.group = "grp";
        call.meta.seq = i;
        call.meta.usage = {.n_in = 10 + i, .n_out = 5};
        call.meta.flags.bad_session = s == 1;
        ids_.push_back(store_.add(call, Space::kCurated));
        task_of_[ids_.back()] = {.task = static_cast<uint32_t>(i % 2), .outlier = i == 2};
      }
    }
    task_of_.erase(ids_[0]);
  }
  View build() {
    auto view = View::build(store_, task_of_, "test");
    EXPECT_TRUE(view) << view.error().message;
    return *view;
  }
  test::FakeStore store_;
  std::vector<CallId> ids_;
  std::unordered_map<CallId, View::TaskOf> task_of_;
};

TEST_F(ViewTest, RowsAreTheStoresInItsOrder) {
  const View view = build();
  ASSERT_EQ(view.rows().size(), 11u);
  EXPECT_EQ(view.rows()[0].id, ids_[1]);
  EXPECT_EQ(view.rows()[10].id, ids_[11]);
  EXPECT_EQ(view.n_groups(), 4u);
  EXPECT_EQ(view.group_name(view.rows()[0].group), "ses_0");
  EXPECT_EQ(view.group_name(view.rows()[2].group), "grp");
  EXPECT_EQ(view.rows()[1].seq, 2u);
  EXPECT_EQ(view.rows()[1].n_in, 12u);
  EXPECT_EQ(view.rows()[1].n_out, 5u);
  EXPECT_TRUE(view.rows()[1].outlier);
  EXPECT_EQ(view.rows()[10].side, Side::kTest);
}

TEST_F(ViewTest, SelectsByTaskAndSide) {
  const View view = build();
  EXPECT_EQ(view.select({.task = 1, .side = Side::kTrain}), (std::vector<uint32_t>{0}));
  EXPECT_EQ(view.select({.task = 0, .side = Side::kTest}), (std::vector<uint32_t>{8, 10}));
  EXPECT_TRUE(view.select({.task = 7, .side = Side::kTest}).empty());
}

TEST_F(ViewTest, OneCallAGroup) {
  const View view = build();
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < view.rows().size(); ++i) all.push_back(i);
  const auto units = *view.one_per_group(store_, all);
  EXPECT_EQ(units.size(), 4u);
  EXPECT_TRUE(std::is_sorted(units.begin(), units.end()));
  std::set<uint32_t> groups;
  for (const uint32_t i : units) groups.insert(view.rows()[i].group);
  EXPECT_EQ(groups.size(), 4u);
  // The choice doesn't hang on which other groups are asked for, nor on the order.
  std::reverse(all.begin(), all.end());
  EXPECT_EQ(*view.one_per_group(store_, all), units);
  EXPECT_EQ(*view.one_per_group(store_, {units[2]}), std::vector<uint32_t>{units[2]});
}

TEST_F(ViewTest, DigestTellsSetsApart) {
  const View view = build();
  const std::string one = *view.digest(store_, {0, 1, 2});
  EXPECT_EQ(one, *build().digest(store_, {0, 1, 2}));
  EXPECT_NE(one, *view.digest(store_, {0, 1}));
  EXPECT_NE(one, *view.digest(store_, {2, 1, 0}));
}

TEST_F(ViewTest, LoadsBodiesInStoreOrderOnce) {
  const View view = build();
  std::vector<std::string> seen;
  ASSERT_TRUE(view.load(store_, {10, 0, 3, 0}, "test", [&](uint32_t row, Call& call) -> Status {
    EXPECT_EQ(view.rows()[row].id, call.meta.id);
    seen.push_back(content_text(call.body.messages[1].as_object()));
    return {};
  }));
  EXPECT_EQ(seen, (std::vector<std::string>{"q1", "q4", "q11"}));
  const auto stopped =
      view.load(store_, {0, 1}, "test", [](uint32_t, Call&) -> Status { return fail(ErrorCode::kInterrupted, "x"); });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
}

TEST_F(ViewTest, CallsThatAreGoneAreAnError) {
  const View view = build();
  store_.stored(Space::kCurated).pop_back();
  const auto status = view.load(store_, {0, 10}, "test", [](uint32_t, Call&) -> Status { return {}; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kManifestMismatch);
}

TEST_F(ViewTest, ACallWithoutASideIsAnError) {
  Call call = test::make_call("ses_9", "q", "a");
  const CallId id = store_.add(call, Space::kCurated);
  task_of_[id] = {};
  const auto view = View::build(store_, task_of_, "test");
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().code, ErrorCode::kBadInput);
}

TEST(Side, NamesThereAndBack) {
  for (const Side side : {Side::kTrain, Side::kValidation, Side::kTest}) EXPECT_EQ(parse_side(side_name(side)), side);
  EXPECT_FALSE(parse_side(""));
}

TEST(UnitsHaveTruth, AllUnitsOfTheTestSideOrNone) {
  test::FakeStore store;
  std::unordered_map<CallId, View::TaskOf> task_of;
  const auto add = [&](uint32_t task, const char* split, bool truth, bool outlier = false, bool failed = false) {
    Call call = test::make_call("ses_" + std::to_string(task_of.size()), "q", "a");
    call.meta.split = split;
    call.meta.has_truth = truth;
    call.meta.flags.failed = failed;
    task_of[store.add(call, Space::kCurated)] = {.task = task, .outlier = outlier};
  };
  for (int i = 0; i < 5; ++i) add(0, "test", true);
  add(0, "train", false);
  add(0, "test", false, true);
  add(0, "test", false, false, true);
  for (int i = 0; i < 5; ++i) add(1, "test", i != 2);
  add(2, "train", true);
  const View view = *View::build(store, task_of, "test");
  EXPECT_TRUE(*view.units_have_truth(store, 0));
  EXPECT_FALSE(*view.units_have_truth(store, 1));
  EXPECT_FALSE(*view.units_have_truth(store, 2)) << "no unit shows nothing";
}

}  // namespace
}  // namespace slm::dataset
