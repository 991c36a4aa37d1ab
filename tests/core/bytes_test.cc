#include "core/bytes.h"

#include <gtest/gtest.h>

namespace slm {
namespace {

TEST(Bytes, HexRoundTripAndRefusals) {
  const Bytes bytes = {0x00, 0x7f, 0xff, 0x10};
  EXPECT_EQ(to_hex(bytes), "007fff10");
  EXPECT_EQ(*from_hex("007FfF10"), bytes);
  EXPECT_FALSE(from_hex("abc"));
  EXPECT_FALSE(from_hex("zz"));
}

TEST(Bytes, IntegersAreLittleEndian) {
  Bytes out;
  put_u16(out, 0x0102);
  put_u32(out, 0x03040506);
  put_u64(out, 0x0708090a0b0c0d0eULL);
  EXPECT_EQ(to_hex(out),
            "0201"
            "06050403"
            "0e0d0c0b0a090807");
  EXPECT_EQ(get_u32(out.data() + 2), 0x03040506u);
  EXPECT_EQ(get_u64(out.data() + 6), 0x0708090a0b0c0d0eULL);
}

TEST(Bytes, FieldsCannotRunIntoEachOther) {
  Bytes a, b;
  put_field(a, as_bytes("ab"));
  put_field(a, as_bytes("c"));
  put_field(b, as_bytes("a"));
  put_field(b, as_bytes("bc"));
  EXPECT_NE(a, b);
}

}  // namespace
}  // namespace slm
