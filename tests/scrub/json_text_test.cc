#include "scrub/replace/json_text.h"

#include <gtest/gtest.h>

namespace slm::scrub {
namespace {

// "label=token" of each scalar that is no key.
std::vector<std::string> scalars(std::string_view text) {
  std::vector<std::string> out;
  const auto found = json_scalars(text);
  if (!found) return {"not json"};
  for (const JsonScalar& s : *found)
    if (!s.is_key) out.push_back(s.label + "=" + std::string(text.substr(s.begin, s.end - s.begin)));
  return out;
}
using Expected = std::vector<std::string>;

TEST(JsonText, FindsScalarsWithLabels) {
  EXPECT_EQ(scalars(R"({"customerName": "A B", "n" : -1.50e3, "ok": true, "x": null})"),
            (Expected{R"(customer name="A B")", "n=-1.50e3"}));
  EXPECT_EQ(scalars(R"({"passengers":[{"first":"A"},{"last":"B"}]})"),
            (Expected{R"(first name="A")", R"(last name="B")"}));
  EXPECT_EQ(scalars(R"({"customer":{"name":"A B"}})"), Expected{R"(customer name="A B")"});
  EXPECT_EQ(scalars(R"({"product":{"name":"A B"}})"), Expected{R"(product name="A B")"});
}

TEST(JsonText, FindsKeysInTheirPlace) {
  const std::string text = R"({"a\"b" : [{"jane@x.org":{}}, "v"], "": {"c":1}})";
  std::vector<std::string> keys, all;
  const auto found = json_scalars(text);
  ASSERT_TRUE(found);
  for (const JsonScalar& s : *found) {
    all.push_back(text.substr(s.begin, s.end - s.begin));
    if (s.is_key) {
      EXPECT_TRUE(s.is_string && s.label.empty());
      keys.push_back(all.back());
    }
  }
  EXPECT_EQ(keys, (Expected{R"("a\"b")", R"("jane@x.org")", R"("")", R"("c")"}));
  EXPECT_EQ(all, (Expected{R"("a\"b")", R"("jane@x.org")", R"("v")", R"("")", R"("c")", "1"}));
}

TEST(JsonText, NameIsAPersonsWhereTheRecordIs) {
  EXPECT_EQ(scalars(R"({"name":"A B","email":"x"})"), (Expected{R"(full name="A B")", R"(email="x")"}));
  EXPECT_EQ(scalars(R"({"name":"A B","price":3})"), (Expected{R"(="A B")", "price=3"}));
  EXPECT_EQ(scalars(R"({"name":"A B"})"), Expected{R"(name="A B")"});
}

TEST(JsonText, RefusesWhatIsNoJson) {
  for (const char* text : {"", "1", "\"a\"", "{", "{}x", "{\"a\":}", "{\"a\" 1}", "[1,]", "[01]", "[1.]", "[\"\\x\"]",
                           "[\"\\u12g4\"]", "[\"a\nb\"]", "[tru]", "{a:1}", "[1 2]", "[-]"})
    EXPECT_FALSE(json_scalars(text)) << text;
  for (const char* text : {"{}", "[]", " [ 1 , -0.5E+2 ] ", "[\"\\u00e9\\n\\\\\"]", "[[[[]]]]"})
    EXPECT_TRUE(json_scalars(text)) << text;
  EXPECT_FALSE(json_scalars(std::string(100, '[') + std::string(100, ']')));  // deeper than we go
}

TEST(JsonText, EscapesThereAndBack) {
  EXPECT_EQ(json_unescape(R"("a\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00")"), "a\"\\/\b\f\n\r\tAé😀");
  EXPECT_EQ(json_unescape(R"("\ud83d")"), "\uFFFD");
  for (const std::string text : {"", "a\"b\\c\n\r\t\x01é😀"}) EXPECT_EQ(json_unescape(json_escape(text)), text);
}

TEST(JsonText, KeyWords) {
  EXPECT_EQ(key_words("customerName"), "customer name");
  EXPECT_EQ(key_words("customer_name"), "customer name");
  EXPECT_EQ(key_words("ID"), "id");
  EXPECT_EQ(key_words("_x-Y.z"), "x y z");
}

}  // namespace
}  // namespace slm::scrub
