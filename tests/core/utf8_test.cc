#include "core/utf8.h"

#include <gtest/gtest.h>

namespace slm {
namespace {

TEST(Utf8, WellFormed) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("plain"));
  EXPECT_TRUE(is_utf8("aé漢😀"));
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xC3", "\xE6\xBC"})
    EXPECT_FALSE(is_utf8(bad));
}

TEST(Utf8, Ascii) {
  EXPECT_TRUE(is_ascii("a longer text of several words"));
  for (size_t at = 0; at < 20; ++at) {
    std::string text(20, 'a');
    text[at] = '\x80';
    EXPECT_FALSE(is_ascii(text)) << at;
  }
}

TEST(Utf8, Append) {
  std::string out;
  for (const char32_t c : {U'a', U'é', U'漢', U'😀'}) append_utf8(out, c);
  EXPECT_EQ(out, "aé漢😀");
  out.clear();
  for (const char32_t c : {char32_t{0xd800}, char32_t{0x110000}}) append_utf8(out, c);
  EXPECT_EQ(out, "\uFFFD\uFFFD");
}

}  // namespace
}  // namespace slm
