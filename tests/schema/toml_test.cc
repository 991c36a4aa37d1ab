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

TEST(Toml, BrokenOffHeaders) {
  for (const char* text : {"[\n", "[a.\n", "a = 1\n[[\nb = 2\n", "[", "[[", "a.", "a = ["}) {
    const auto value = parse_toml(text, "f.toml");
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, ErrorCode::kBadInput);
  }
}

TEST(Toml, BytesThatTomlForbids) {
  for (const char* text : {"a = 1\n[\x1fx]\n", "a = 1\n# \x7f\n"}) {
    const auto value = parse_toml(text, "f.toml");
    ASSERT_FALSE(value);
    EXPECT_EQ(value.error().message.rfind("f.toml:2: a control character", 0), 0u) << value.error().message;
  }
  for (const char* text : {"\uFED0", "é", "a = 1 \u3001"}) EXPECT_FALSE(parse_toml(text, "f.toml")) << text;
  EXPECT_FALSE(parse_toml(std::string_view("a = \"\0\"", 7), "f.toml"));
  EXPECT_FALSE(parse_toml("a = \"\xff\"", "f.toml"));
  EXPECT_TRUE(parse_toml("a = 1\r\n\tb = \"é\"\r\n", "f.toml"));
}

}  // namespace
}  // namespace slm
