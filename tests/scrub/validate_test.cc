#include "scrub/detect/validate.h"

#include <gtest/gtest.h>

#include <sstream>

namespace slm::scrub {
namespace {

TEST(Validate, LuhnDigitsAgreeWithPythonStdnum) {
  // python-stdnum 2.2, stdnum.luhn.calc_check_digit
  EXPECT_EQ(luhn_digit("7992739871"), '3');
  EXPECT_EQ(luhn_digit("411111111111111"), '1');
  EXPECT_EQ(luhn_digit("37828224631000"), '5');
  EXPECT_EQ(luhn_digit("0123456789"), '7');
  EXPECT_TRUE(luhn_ok("79927398713"));
  EXPECT_FALSE(luhn_ok("79927398710"));
  EXPECT_FALSE(luhn_ok(""));
}

TEST(Validate, IbanLengthsAreThoseOfTheRegistry) {
  // python-stdnum 2.2, from its table of the SWIFT registry (stdnum/iban.dat)
  std::istringstream rows(
      "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
      "ES24 FI18 "
      "FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 "
      "LI21 LT20 "
      "LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 "
      "RU33 SA24 "
      "SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30");
  std::string row;
  int n = 0;
  while (rows >> row) {
    EXPECT_EQ(iban_length(row.substr(0, 2)), std::stoi(row.substr(2))) << row;
    ++n;
  }
  EXPECT_EQ(n, 89);
  EXPECT_EQ(iban_length("US"), 0);
}

TEST(Validate, PublishedIbansHaveRemainderOne) {
  // Examples of the IBAN registry.
  for (const char* iban :
       {"GB82WEST12345698765432", "DE89370400440532013000", "FR1420041010050500013M02606", "NO9386011117947"})
    EXPECT_EQ(iban_remainder(iban), 1) << iban;
  EXPECT_NE(iban_remainder("GB82WEST12345698765433"), 1);
  EXPECT_EQ(iban_remainder("GB8"), 0);
}

TEST(Validate, EntropyOfKnownTexts) {
  EXPECT_DOUBLE_EQ(entropy_bits("aaaa"), 0);
  EXPECT_DOUBLE_EQ(entropy_bits("abab"), 1);
  EXPECT_DOUBLE_EQ(entropy_bits("abcdefgh"), 3);
}

}  // namespace
}  // namespace slm::scrub
