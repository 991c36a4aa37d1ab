#include "core/time.h"

#include <gtest/gtest.h>

namespace slm {
namespace {

TEST(Time, ReadsRfc3339AndEpochNumbers) {
  // date -u -d 2026-11-22T16:25:54Z +%s
  EXPECT_EQ(*parse_time_ms("2026-11-22T16:25:54Z"), 1795364754000);
  EXPECT_EQ(*parse_time_ms("2026-11-22 16:25:54.5+01:00"), 1795361154500);
  EXPECT_EQ(*parse_time_ms("2000-02-29T00:00:00Z"), 951782400000);
  EXPECT_EQ(*parse_time_ms("1795364754"), 1795364754000);
  EXPECT_EQ(*parse_time_ms("1795364754000"), 1795364754000);
  EXPECT_EQ(*parse_time_ms("1795364754.25"), 1795364754250);
}

TEST(Time, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "yesterday", "2026-13-01T00:00:00Z", "2026-11-22", "2026-11-22T16:25:54Zjunk", "-5", "nan", "1e30"})
    EXPECT_FALSE(parse_time_ms(text)) << text;
}

TEST(Time, PrintsUtc) {
  EXPECT_EQ(format_utc(1795364754001), "2026-11-22T16:25:54.001Z");
  EXPECT_EQ(format_utc(-1), "1969-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace slm
