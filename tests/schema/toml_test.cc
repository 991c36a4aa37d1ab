#include "schema/toml.h"

#include <gtest/gtest.h>

namespace slm {
namespace {

TEST(Toml, BecomesJson) {
  const auto value = parse_toml("a = 1\n[t]\nb = [true, \"x\", 1.5]\nd = 2026-01-02\n", "f.toml");
  ASSERT_TRUE(value) << value.error().message;
  EXPECT_EQ(canonical_json(*value), "{\"a\":1,\"t\":{\"b\":[true,\"x\",1.5E0],\"d\":\"2026-01-02\"}}");
}

TEST(Toml, ErrorNamesFileLineAndColumn) {
  const auto value = parse_toml("a = 1\nb = = 2\n", "f.toml");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().code, ErrorCode::kBadInput);
  EXPECT_EQ(value.error().message.rfind("f.toml:2:", 0), 0u) << value.error().message;
}

}  // namespace
}  // namespace slm
