#include "scrub/replace/text_scrubber.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>

#include "schema/json.h"
#include "scrub/detect/validate.h"
#include "scrub/replace/json_text.h"

namespace slm::scrub {
namespace {

SurrogateKey test_key(std::string secret = "k") {
  return [secret](std::string_view input) -> Result<Digest> { return sha256(as_bytes(secret + std::string(input))); };
}

class TextScrubberTest : public ::testing::Test {
 protected:
  void use(std::string_view toml) {
    auto rules = parse_rules(toml, "test.toml");
    ASSERT_TRUE(rules) << rules.error().message;
    rules_ = *rules;
    detector_ = std::make_unique<Detector>(*Detector::create(rules_.user, std::vector<bool>(kNumBuiltinTypes, true)));
    ledger_ = std::make_unique<Ledger>();
    scrubber_ = std::make_unique<TextScrubber>(rules_, *detector_, test_key(), *ledger_);
  }
  void SetUp() override { use(""); }
  std::string scrub(std::string_view text, std::string_view session = "s1", const KnownValues* known = nullptr) {
    auto out = scrubber_->scrub(text, {}, {session, known}, {.typed = true});
    EXPECT_TRUE(out) << out.error().message;
    typed_ = out->typed;
    return out->text;
  }
  KnownValues learn(std::string_view text) {
    KnownList list;
    scrubber_->learn(text, {}, list);
    return scrubber_->known_values(list);
  }
  Rules rules_;
  std::unique_ptr<Detector> detector_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<TextScrubber> scrubber_;
  std::string typed_;
};

bool matches(const std::string& text, const char* pattern) { return std::regex_match(text, std::regex(pattern)); }

TEST_F(TextScrubberTest, SurrogatesKeepTheShape) {
  EXPECT_TRUE(matches(scrub("jane.doe7@acme.com"), "[a-z]+\\.[a-z]+[0-9]@[a-z]+\\.example"));
  EXPECT_TRUE(matches(scrub("+1 (212) 555-0147"), "\\+1 \\([2-9]\\d\\d\\) [2-9]\\d\\d-\\d{4}"));
  EXPECT_TRUE(matches(scrub("0113 496 0123"), "0\\d{3} \\d{3} \\d{4}"));
  EXPECT_TRUE(matches(scrub("203.0.113.9"), "(192\\.0\\.2|198\\.51\\.100|203\\.0\\.113)\\.\\d{1,3}"));
  EXPECT_TRUE(matches(scrub("2a00:1450:4001:81b::200e"), "2001:db8:[0-9a-f]+:[0-9a-f]+::[0-9a-f]+"));
  EXPECT_TRUE(matches(scrub("AKIAQ4XU7DPLMX2N5R3T"), "AKIA[A-Z0-9]{16}"));
  EXPECT_TRUE(matches(scrub("sk-proj-Ab3dEf6hIj9kLm2nOp5qRs8t"), "sk-proj-[A-Za-z0-9]{24}"));
  EXPECT_TRUE(matches(scrub("https://shop:pa55word@files.example.com/x"),
                      "https://[a-z]{4}:[a-z]{2}\\d\\d[a-z]{4}@files\\.example\\.com/x"));
  const std::string jwt = scrub("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl");
  EXPECT_TRUE(matches(jwt, "eyJ[A-Za-z0-9]{17}\\.eyJ[A-Za-z0-9]{12}\\.[A-Za-z0-9]{12}")) << jwt;
  const std::string pem = scrub("-----BEGIN PRIVATE KEY-----\nMIIab0\ncd==\n-----END PRIVATE KEY-----");
  EXPECT_TRUE(matches(pem, "-----BEGIN PRIVATE KEY-----\n[A-Z]{3}[a-z]{2}\\d\n[a-z]{2}==\n-----END PRIVATE KEY-----"))
      << pem;
  EXPECT_TRUE(matches(scrub("My name is Orla van der Wick-Smith."),
                      "My name is [A-Z][a-z]+ van der [A-Z][a-z]+-[A-Z][a-z]+\\."));
  EXPECT_TRUE(matches(scrub("Dear J. DOE,"), "Dear [A-Z]\\. [A-Z]+,"));
}

TEST_F(TextScrubberTest, CheckDigitsHold) {
  for (const char* card : {"4111 1111 1111 1111", "378282246310005", "6011-1111-1111-1117", "5555555555554444"}) {
    const std::string fresh = scrub(card);
    EXPECT_NE(fresh, card);
    EXPECT_TRUE(luhn_ok(digits_of(fresh))) << fresh;
    EXPECT_EQ(fresh.substr(0, 1), std::string(card).substr(0, 1));
    EXPECT_EQ(fresh.size(), std::string(card).size());
  }
  for (const char* iban : {"GB82 WEST 1234 5698 7654 32", "FR1420041010050500013M02606", "de89370400440532013000"}) {
    const std::string fresh = scrub(iban);
    EXPECT_NE(fresh, iban);
    std::string plain;
    for (const char c : fresh)
      if (c != ' ') plain.push_back(static_cast<char>(std::toupper(c)));
    EXPECT_EQ(iban_remainder(plain), 1) << fresh;
    EXPECT_EQ(plain.substr(0, 2),
              std::string({static_cast<char>(std::toupper(iban[0])), static_cast<char>(std::toupper(iban[1]))}));
    EXPECT_EQ(fresh.size(), std::string(iban).size());
  }
}

TEST_F(TextScrubberTest, ConsistentWithinASessionOnly) {
  const std::string a = scrub("jane@acme.com"), b = scrub("See JANE@acme.com now", "s1"),
                    c = scrub("jane@acme.com", "s2");
  EXPECT_EQ(b, "See " + a + " now");
  EXPECT_NE(a, c);
  // One number in two spellings.
  const std::string plain = scrub("Call me at 2125550147"), grouped = scrub("+1 (212) 555-0147");
  EXPECT_EQ("1" + digits_of(plain), digits_of(grouped));
}

TEST_F(TextScrubberTest, SameKeySameResultOtherKeyOther) {
  const std::string text = "jane@acme.com, 4111111111111111, Dear Orla Wick,";
  const std::string first = scrub(text);
  use("");
  EXPECT_EQ(scrub(text), first);
  Ledger ledger;
  TextScrubber other(rules_, *detector_, test_key("other"), ledger);
  EXPECT_NE(other.scrub(text, {}, {"s1"}, {})->text, first);
}

TEST_F(TextScrubberTest, ManyValuesOfASessionStayApart) {
  // 600 addresses into 762: without the ledger a quarter of them would collide.
  std::set<std::string> seen;
  for (int i = 0; i < 600; ++i)
    seen.insert(scrub("10." + std::to_string(i / 200) + ".7." + std::to_string(i % 200 + 1)));
  EXPECT_EQ(seen.size(), 600u);
}

TEST_F(TextScrubberTest, NamesLinkTheirParts) {
  const KnownValues known = learn("My name is Orla Thistlewick. Bye");
  const std::string full = scrub("Customer: Orla Thistlewick", "s1", &known);
  const std::string name = full.substr(10);
  const std::string given = name.substr(0, name.find(' ')), family = name.substr(name.find(' ') + 1);
  EXPECT_EQ(
      scrub("ask Orla, or THISTLEWICK", "s1", &known), "ask " + given + ", or " + [&] {
        std::string s = family;
        for (char& c : s) c = static_cast<char>(std::toupper(c));
        return s;
      }());
  EXPECT_EQ(scrub("orla.thistlewick@acme.com", "s1", &known).substr(0, given.size() + family.size() + 1), [&] {
    std::string s = given + "." + family;
    for (char& c : s) c = static_cast<char>(std::tolower(c));
    return s;
  }());
  EXPECT_EQ(scrub("ask Orla", "s1"), "ask Orla");        // nothing known, no context
  EXPECT_EQ(scrub("Orlando", "s1", &known), "Orlando");  // not inside a word
}

TEST_F(TextScrubberTest, NamesThatAreWordsStayWords) {
  const KnownValues known = learn("My name is Grace Page.");
  EXPECT_EQ(scrub("Grace period: see page 3", "s1", &known), "Grace period: see page 3");
  EXPECT_NE(scrub("I asked Grace about it", "s1", &known), "I asked Grace about it");
}

TEST_F(TextScrubberTest, KnownNumbersAreFoundWithoutContext) {
  const KnownValues known = learn("my phone is 664 1234567");
  EXPECT_EQ(scrub("664-123-4567", "s1"), "664-123-4567");
  EXPECT_EQ(digits_of(scrub("664-123-4567", "s1", &known)), digits_of(scrub("my phone is 664 1234567", "s1")));
  EXPECT_NE(scrub("{\"n\": 6641234567}", "s1", &known), "{\"n\": 6641234567}");
  EXPECT_EQ(scrub("{\"n\": 6641234567}", "s1"), "{\"n\": 6641234567}");
}

TEST_F(TextScrubberTest, JsonStaysJsonByteForByteAround) {
  const std::string text =
      "{ \"b\" : 1.50, \"a\":\"jane@acme.com\",\t\"big\": 12345678901234567890, \"z\":[true,null, \"x\\u0041\"] }";
  const std::string out = scrub(text);
  ASSERT_TRUE(parse_json(out)) << out;
  const size_t at = text.find("jane@"), end = out.find(".example\"");
  ASSERT_NE(end, std::string::npos);
  EXPECT_EQ(out.substr(0, at), text.substr(0, at));
  EXPECT_EQ(out.substr(end + 8), text.substr(at + 13));
}

TEST_F(TextScrubberTest, JsonInsideJsonAndEscapes) {
  const std::string inner = "{\"mail\":\"jane@acme.com\",\"note\":\"a \\\"b\\\"\"}";
  const std::string out = scrub("[" + json_escape(inner) + ",\"jane\\u0040acme.com\"]");
  const auto value = parse_json(out);
  ASSERT_TRUE(value) << out;
  const auto nested = parse_json(value->at(0).as_string());
  ASSERT_TRUE(nested) << out;
  EXPECT_EQ(nested->at("mail"), value->at(1));
  EXPECT_EQ(nested->at("note"), "a \"b\"");
  EXPECT_EQ(out.find("acme"), std::string::npos);
}

TEST_F(TextScrubberTest, KeysOfJson) {
  const std::string out =
      scrub(R"({"users":{"jane.doe@acme.com":{"balance":3},"ja\u006ee.doe@acme.com":4}, "t":"jane.doe@acme.com"})");
  const auto value = parse_json(out);
  ASSERT_TRUE(value) << out;
  const std::string fresh(value->at("t").as_string());
  EXPECT_EQ(out, fmt::format(R"({{"users":{{"{0}":{{"balance":3}},"{0}":4}}, "t":"{0}"}})", fresh));
  EXPECT_EQ(typed_, R"({"users":{"[EMAIL]":{"balance":3},"[EMAIL]":4}, "t":"[EMAIL]"})");
  // Inside JSON in a string.
  EXPECT_EQ(scrub(R"(["{\"jane.doe@acme.com\":1}"])"), fmt::format(R"(["{{\"{}\":1}}"])", fresh));
  use("[types]\nemail = 'remove'");
  EXPECT_EQ(scrub(R"({"a@x.org":1,"b@x.org":"b@x.org"})"), R"({"[EMAIL_1]":1,"[EMAIL_2]":""})") << "keys stay apart";
}

TEST_F(TextScrubberTest, NamesOfParametersStay) {
  const KnownValues known = learn("My name is Orla Thistlewick.");
  const std::function<bool(std::string_view)> is_code = [](std::string_view key) { return key == "orla"; };
  const std::string text = R"({"orla":"x","thistlewick":"Orla"})";
  const auto out = scrubber_->scrub(text, {}, {"s1", &known}, {.is_code = &is_code});
  ASSERT_TRUE(out);
  EXPECT_EQ(out->text.find(R"({"orla":"x",")"), 0u) << out->text;
  EXPECT_EQ(out->text.find("thistlewick"), std::string::npos) << out->text;
  EXPECT_EQ(out->text.find("Orla"), std::string::npos) << out->text;
}

TEST_F(TextScrubberTest, NumbersInJson) {
  const auto kept = parse_json(scrub("{\"phone\": 2125550147, \"qty\": 2125550147}"));
  ASSERT_TRUE(kept);
  EXPECT_TRUE(kept->at("phone").is_int64());
  EXPECT_NE(kept->at("phone").as_int64(), 2125550147);
  EXPECT_EQ(kept->at("qty").as_int64(), 2125550147);
  use("[types]\nphone = 'mask'");
  EXPECT_EQ(scrub("{\"phone\": 2125550147}"), "{\"phone\": \"[PHONE_1]\"}");
  use("[types]\nphone = 'remove'");
  EXPECT_EQ(scrub("{\"phone\": 2125550147}"), "{\"phone\": null}");
}

TEST_F(TextScrubberTest, ActionsOfTheRules) {
  use("[types]\nemail = 'mask'\nip = 'remove'\ncard = 'none'\n[[rule]]\nname = 'ticket'\npattern = 'T-\\d+'\naction = "
      "'mask'\n"
      "[allow]\nvalues = ['Help@Acme.com']");
  EXPECT_EQ(scrub("a@x.org b@x.org a@x.org 10.1.2.3 4111111111111111 T-12 help@acme.com"),
            "[EMAIL_1] [EMAIL_2] [EMAIL_1]  4111111111111111 [TICKET_1] help@acme.com");
  EXPECT_EQ(typed_, "[EMAIL] [EMAIL] [EMAIL] [IP] [CARD] [TICKET] help@acme.com");
  EXPECT_EQ(scrub("b@x.org", "s2"), "[EMAIL_1]");
  EXPECT_EQ(scrubber_->counts().by_type[kEmail], 4);
  EXPECT_EQ(scrubber_->counts().by_action[static_cast<size_t>(Action::kRemove)], 1);
}

TEST_F(TextScrubberTest, MaskedTextStaysAsItIs) {
  use("[types]\nemail = 'mask'\nphone = 'mask'\nperson = 'mask'");
  const std::string once = scrub("Dear Orla Wick, a@x.org or +44 113 496 0123");
  EXPECT_EQ(scrub(once), once);
}

TEST_F(TextScrubberTest, LongTextsAreRememberedNotMixedUp) {
  const std::string prefix(400, 'x');
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(scrub(prefix + " a@x.org").find("a@x.org"), std::string::npos);
    EXPECT_EQ(scrub(prefix + " a@x-org"), prefix + " a@x-org");
  }
}

}  // namespace
}  // namespace slm::scrub
