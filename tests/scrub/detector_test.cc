#include "scrub/detect/detector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "scrub/detect/keywords.h"
#include "scrub/detect/known.h"
#include "scrub/detect/normalise.h"

namespace slm::scrub {
namespace {

const Detector& detector() {
  static const Detector d = *Detector::create({}, std::vector<bool>(kNumBuiltinTypes, true));
  return d;
}

// "type:value" of each find, in order.
std::vector<std::string> finds(std::string_view text, std::string_view label = {}) {
  std::vector<std::string> out;
  for (const Found& f : detector().find(text, label))
    out.push_back(std::string(kTypeNames[f.type]) + ":" + std::string(text.substr(f.begin, f.end - f.begin)));
  return out;
}
using Expected = std::vector<std::string>;

struct Case {
  const char* text;
  Expected expected;
};

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(finds(c.text), c.expected) << c.text;
}

TEST(Detector, Email) {
  check({{"Write to jane.doe+shop@mail.example.co.uk, please.", {"email:jane.doe+shop@mail.example.co.uk"}},
         {"<a_b@x.org>", {"email:a_b@x.org"}},
         {"jürgen@müller.example", {"email:jürgen@müller.example"}},
         {"jane (at) example (dot) com", {"email:jane (at) example (dot) com"}},
         {"no-reply@example.com", {}},
         {"npm i @scope/pkg@1.2.3 and @decorator", {}},
         {"a@b", {}}});
}

TEST(Detector, Phone) {
  check({{"+1 (212) 555-0147 ext 12 now", {"phone:+1 (212) 555-0147 ext 12"}},
         {"+41 (0)96 471 07 95", {"phone:+41 (0)96 471 07 95"}},
         {"0113 496 0123", {"phone:0113 496 0123"}},
         {"905-674-3793", {"phone:905-674-3793"}},
         {"Call me at 5551234567.", {"phone:5551234567"}},
         {"my phone number is 664 1234", {"phone:664 1234"}},
         {"Call us about order 12345678", {}},
         {"I tried the phone first. GG5064825 does not move", {}},
         {"order 12345678 of 2025-10-12", {}},
         {"Call before 2025-10-12 please", {}},
         {"460-89-9847", {}},
         {"12345678901234567890", {}}});
}

TEST(Detector, CardNeedsLuhnAndIssuer) {
  check({{"4111 1111 1111 1111", {"card:4111 1111 1111 1111"}},
         {"pay 378282246310005 now", {"card:378282246310005"}},
         {"ids 12 4111-1111-1111-1111 7", {"card:4111-1111-1111-1111"}},
         {"4111 1111 1111 1112", {}},
         {"my card 3598899323053410", {"card:3598899323053410"}},
         {"parcel 3598899323053410", {}},
         {"0000 0000 0000 0000", {}},
         {"3.4111111111111111", {}}});
}

TEST(Detector, DigitsInDisguise) {
  check({{"\uFF14\uFF11\uFF11\uFF11 \uFF11\uFF11\uFF11\uFF11 1111 1111",
          {"card:\uFF14\uFF11\uFF11\uFF11 \uFF11\uFF11\uFF11\uFF11 1111 1111"}},
         {"41\u200B11\u200B1111\u200D11111111", {"card:41\u200B11\u200B1111\u200D11111111"}},
         {"4111\u20111111\u20131111\u22121111", {"card:4111\u20111111\u20131111\u22121111"}},
         {"+٤٤ ١١٣ ٤٩٦ ٠١٢٣", {"phone:+٤٤ ١١٣ ٤٩٦ ٠١٢٣"}},
         {"jane\uFF20example\uFF0Ecom", {"email:jane\uFF20example\uFF0Ecom"}}});
}

TEST(Detector, Iban) {
  check({{"IBAN GB82 WEST 1234 5698 7654 32 please", {"iban:GB82 WEST 1234 5698 7654 32"}},
         {"de89370400440532013000", {"iban:de89370400440532013000"}},
         {"GB82WEST12345698765433", {}},
         {"GB82WEST12345698765432X", {}}});
}

TEST(Detector, Ip) {
  check({{"from 203.0.113.9, port 80", {"ip:203.0.113.9"}},
         {"2001:db8::8a2e:370:7334 is up.", {"ip:2001:db8::8a2e:370:7334"}},
         {"fe80::1", {"ip:fe80::1"}},
         {"version 1.2.3.4", {}},
         {"127.0.0.1 0.0.0.0 255.255.255.0 ::1", {}},
         {"1.2.3.4.5 and 300.1.1.1", {}},
         {"at 12:30:45 std::vector a::b", {}}});
}

TEST(Detector, UrlCredentials) {
  check({{"https://shop:pa55word@files.example.com/x", {"url_credential:shop:pa55word"}},
         {"GET /v1?api_key=abcd1234efgh&x=1", {"url_credential:abcd1234efgh"}},
         {"https://h.example/cb?access_token=abc.def-1#top", {"url_credential:abc.def-1"}},
         {"key=value in a text", {}},
         {"https://h.example/a?page=2", {}}});
}

TEST(Detector, SecretsAndKeys) {
  const std::string pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\ndef==\n-----END RSA PRIVATE KEY-----";
  EXPECT_EQ(finds("key:\n" + pem + "\nend"), Expected{"private_key:" + pem});
  EXPECT_EQ(finds("-----BEGIN CERTIFICATE-----\nMIIabc\n-----END CERTIFICATE-----"), Expected{});
  const std::string jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
  EXPECT_EQ(finds("Bearer " + jwt), Expected{"jwt:" + jwt});
  check({{"AKIAQ4XU7DPLMX2N5R3T", {"cloud_key:AKIAQ4XU7DPLMX2N5R3T"}},
         {"AIzaSyB3x9Kd0QpLm5Rt7Vw1Zc4Nf6Hj8Ug2Ei0", {"cloud_key:AIzaSyB3x9Kd0QpLm5Rt7Vw1Zc4Nf6Hj8Ug2Ei0"}},
         {"ghp_16C7e42F292c6912E7710c838347Ae178B4a", {"cloud_key:ghp_16C7e42F292c6912E7710c838347Ae178B4a"}},
         {"sk-proj-Ab3dEf6hIj9kLm2nOp5qRs8t", {"model_key:sk-proj-Ab3dEf6hIj9kLm2nOp5qRs8t"}},
         {"hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345", {"model_key:hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"}},
         {"sk-xxxxxxxxxxxxxxxxxxxxxxxx", {}},
         {"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKe",
          {"cloud_key:wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKe"}}});
}

TEST(Detector, NamesAfterContextWords) {
  check({{"My name is Orla Thistlewick.", {"person:Orla Thistlewick"}},
         {"my name is orla thistlewick and i wait", {"person:orla thistlewick"}},
         {"Kind regards,\nOrla Thistlewick", {"person:Orla Thistlewick"}},
         {"Dear Ms. O'Thistle-Wick,", {"person:O'Thistle-Wick"}},
         {"Hi Orla I need help", {"person:Orla"}},
         {"Customer: Orla van der Wick", {"person:Orla van der Wick"}},
         {"Orla Wick <orla@example.org>", {"person:Orla Wick", "email:orla@example.org"}},
         {"I spoke to Orla Wick's agent", {"person:Orla Wick"}},
         {"Dear Customer, Dear Sir, Hello Team", {}},
         {"My name is spelled wrong on the bill", {}},
         {"Thanks, Great service", {}},
         {"hello Tracking for the parcel has stopped", {}},
         {"Hello, Start a return please", {}},
         {"Best regards, Brindlewick Garden Supply", {}},
         {"Kind regards,\nThe Support Team", {}},
         {"file name: Quarterly Report", {}},
         {"120 ms Latency, MS Excel", {}}});
}

TEST(Detector, LabelsOfFields) {
  EXPECT_EQ(finds("Orla Wick", "customer name"), Expected{"person:Orla Wick"});
  EXPECT_EQ(finds("Orla Wick", "full name"), Expected{"person:Orla Wick"});
  EXPECT_EQ(finds("Blue Kettle", "product name"), Expected{});
  EXPECT_EQ(finds("664 1234567", "phone number"), Expected{"phone:664 1234567"});
  EXPECT_EQ(finds("664 1234567", "order number"), Expected{});
}

TEST(Detector, OverlapsGoToTheMoreCertain) {
  EXPECT_EQ(finds("https://orla:pw@host.example/"), Expected{"url_credential:orla:pw"});
  EXPECT_EQ(finds("Call me at 4111 1111 1111 1111"), Expected{"card:4111 1111 1111 1111"});
}

TEST(Detector, OwnRulesComeFirstAndAskForTheirWords) {
  UserRule rule{.name = "customer_number", .pattern = R"(\bCN-(\d{6})\b)", .keywords = {"cn-"}};
  UserRule near{.name = "badge", .pattern = R"(\b\d{4}\b)", .context = {"Badge"}};
  const Detector d = *Detector::create({rule, near}, std::vector<bool>(kNumBuiltinTypes, true));
  const std::string_view text = "CN-123456, badge no 4711, room 4712 of Cn-123456";
  const auto found = d.find(text);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(text.substr(found[0].begin, 6), "123456");
  EXPECT_EQ(found[0].type, kNumBuiltinTypes);
  EXPECT_EQ(text.substr(found[1].begin, 4), "4711");
  EXPECT_TRUE(found[1].by_context);
  EXPECT_EQ(text.substr(found[2].begin, 4), "4712");  // "badge" stands within 60 bytes before
}

TEST(Detector, BadPatternSaysWhere) {
  const auto d = Detector::create({{.name = "x", .pattern = "a(b"}}, std::vector<bool>(kNumBuiltinTypes, false));
  ASSERT_FALSE(d);
  EXPECT_EQ(d.error().code, ErrorCode::kBadInput);
  EXPECT_NE(d.error().message.find("rule 'x'"), std::string::npos);
  EXPECT_NE(d.error().message.find("character 3 of 3"), std::string::npos);
}

TEST(Detector, CostlyPatternIsGivenUpAndCounted) {
  const Detector d =
      *Detector::create({{.name = "x", .pattern = "(?:(?:a+)+)+$"}}, std::vector<bool>(kNumBuiltinTypes, false));
  EXPECT_TRUE(d.find(std::string(64, 'a') + "!").empty());
  EXPECT_GT(d.n_over_limit(), 0);
}

TEST(Detector, HostileTextsEnd) {
  KnownValues known;
  known.add(kPerson, "Aa Bb");
  known.add(kPhone, "111 111 1111");
  for (const char* unit : {"1 ", "a@", "1.1.", "Aa ", "GB82 ", "::", "+1", "my name is ", "eyJ.", "(", "a@b.co ",
                           "1.2.3.9 ", "Dear Aa, ", "-----BEGIN PRIVATE KEY-----", "://a:", "call 1 "}) {
    std::string text;
    while (text.size() < 200'000) text += unit;
    (void)detector().find(text);
    std::vector<Found> again;
    known.find(text, again);
  }
  EXPECT_EQ(detector().n_over_limit(), 0);
}

TEST(KnownValues, WholeWordsOfEveryKind) {
  KnownValues known;
  known.add(kPerson, "Zoë O'Neil-Brandt");
  known.add(kCloudKey, "ab/cd+ef==");
  known.add(kCloudKey, "==x");
  const auto values = [&](std::string_view text) {
    std::vector<Found> found;
    known.find(text, found);
    std::sort(found.begin(), found.end(),
              [](const Found& a, const Found& b) { return a.begin != b.begin ? a.begin < b.begin : a.end > b.end; });
    std::vector<std::string> out;
    for (const Found& f : found) out.emplace_back(text.substr(f.begin, f.end - f.begin));
    return out;
  };
  EXPECT_EQ(values("to Zoë O'Neil-Brandt."), (Expected{"Zoë O'Neil-Brandt", "Zoë", "O'Neil-Brandt"}));
  EXPECT_EQ(values("“Zoë”—O'NEIL-BRANDT"), (Expected{"Zoë", "O'NEIL-BRANDT"}));
  EXPECT_EQ(values("Zoëlle, xZoë"), Expected{});
  EXPECT_EQ(values("key ab/cd+ef== and ==x"), (Expected{"ab/cd+ef==", "==x"}));
  EXPECT_EQ(known.size(), 3u);
}

TEST(Keywords, FindsAllAndOverlapping) {
  const Keywords k({"he", "she", "hers", "HIS", ""}, true);
  std::vector<std::pair<uint32_t, size_t>> hits;
  k.each("uSHErs his", [&](uint32_t w, size_t end) { hits.emplace_back(w, end); });
  std::sort(hits.begin(), hits.end());
  EXPECT_EQ(hits, (std::vector<std::pair<uint32_t, size_t>>{{0, 4}, {1, 4}, {2, 6}, {3, 10}}));
  Keywords().each("anything", [](uint32_t, size_t) { ADD_FAILURE() << "no words"; });
}

TEST(Normalise, KeepsTheWayBack) {
  const std::string text = "a\u200B\uFF11é\u20112";
  const Normalised n(text);
  EXPECT_EQ(n.text(), "a1é-2");
  EXPECT_EQ(n.begin_in_original(1), 4u);
  EXPECT_EQ(n.end_in_original(1), 1u);  // the invisible character stays outside
  EXPECT_EQ(n.end_in_original(2), 7u);
  EXPECT_EQ(n.end_in_original(n.text().size()), text.size());
}

}  // namespace
}  // namespace slm::scrub
