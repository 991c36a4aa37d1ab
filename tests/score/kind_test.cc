#include "score/kind.h"

#include <gtest/gtest.h>

namespace slm::score {
namespace {

TEST(Kind, NamesComeBack) {
  for (const TaskKind kind : kTaskKinds) EXPECT_EQ(parse_kind(kind_name(kind)), kind);
  EXPECT_FALSE(parse_kind("Label"));
  EXPECT_FALSE(parse_kind(""));
}

TEST(Kind, TextIsMeasuredByTruthOnly) {
  for (const TaskKind kind : {TaskKind::kLabel, TaskKind::kJson, TaskKind::kToolCall})
    EXPECT_TRUE(is_measurable(kind, false)) << kind_name(kind);
  for (const TaskKind kind : {TaskKind::kShortText, TaskKind::kOpenText}) {
    EXPECT_FALSE(is_measurable(kind, false)) << kind_name(kind);
    EXPECT_TRUE(is_measurable(kind, true)) << kind_name(kind);
  }
}

}  // namespace
}  // namespace slm::score
