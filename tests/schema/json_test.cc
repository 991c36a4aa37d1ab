#include "schema/json.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/random.h"

namespace slm {
namespace {

TEST(Json, ParsesOneDocumentAndRefusesTheRest) {
  EXPECT_TRUE(parse_json(" {\"a\": [1, 2.5, \"\\u00e9\"]} \n"));
  for (const char* text : {"", "{", "{} {}", "{\"a\":}", "nul", "\"\xff\"", "[1,]"}) {
    const auto value = parse_json(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, ErrorCode::kBadInput);
  }
  EXPECT_FALSE(parse_json(std::string(1000, '[') + std::string(1000, ']')));
}

TEST(Json, MessagesDoNotQuoteTheText) {
  const auto value = parse_json("{\"secret-canary\": tru}");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().message.find("canary"), std::string::npos);
}

TEST(Json, CanonicalTextIgnoresKeyOrder) {
  EXPECT_EQ(canonical_json(*parse_json("{\"b\": 1, \"a\": {\"y\": [1, {\"d\":1,\"c\":2}], \"x\": null}}")),
            "{\"a\":{\"x\":null,\"y\":[1,{\"c\":2,\"d\":1}]},\"b\":1}");
}

// Doubles come back bit for bit, whatever their digits: digests depend on it.
TEST(Json, DoublesRoundTripExactly) {
  Prng prng(5);
  for (int i = 0; i < 20000; ++i) {
    const double x = (prng.uniform() - 0.5) * std::pow(10.0, static_cast<double>(prng.below(40)) - 20);
    const auto back = parse_json(json::serialize(json::value(x)));
    ASSERT_TRUE(back);
    ASSERT_EQ(back->as_double(), x);
  }
}

TEST(Json, TypedAccess) {
  const auto value = *parse_json("{\"s\":\"x\",\"n\":3,\"f\":1.5,\"b\":true,\"o\":{},\"z\":null}");
  const auto& o = value.get_object();
  EXPECT_EQ(get_string(o, "s"), "x");
  EXPECT_EQ(get_string(o, "n", "other"), "other");
  EXPECT_EQ(get_int(o, "n"), 3);
  EXPECT_EQ(get_int(o, "f"), std::nullopt);
  EXPECT_EQ(get_number(o, "f"), 1.5);
  EXPECT_EQ(get_bool(o, "b"), true);
  EXPECT_EQ(get_bool(o, "z"), std::nullopt);
  EXPECT_NE(get_object(o, "o"), nullptr);
  EXPECT_EQ(want_string(o, "missing", "thing").error().message, "thing: \"missing\" is missing or not a string");
}

TEST(Json, SchemaViolationNamesThePlace) {
  const auto status = validate_json(*parse_json("{\"schema\": \"one\"}"), "schemas/manifest/manifest.schema.json");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kBadInput);
  EXPECT_EQ(validate_json(json::object{}, "schemas/none.json").error().code, ErrorCode::kUnexpected);
}

}  // namespace
}  // namespace slm
