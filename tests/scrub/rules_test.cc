#include "scrub/rules.h"

#include <gtest/gtest.h>

namespace slm::scrub {
namespace {

std::string error_of(std::string_view toml) {
  const auto rules = parse_rules(toml, "r.toml");
  if (rules) return "accepted";
  EXPECT_EQ(rules.error().code, ErrorCode::kBadInput);
  return rules.error().message;
}

TEST(Rules, ReadsAll) {
  const auto rules = parse_rules(
      "[types]\nemail = 'mask'\n[[rule]]\nname = 'cn'\npattern = 'CN-\\d+'\naction = 'remove'\nignore_case = "
      "true\nkeywords = ['CN-']\n"
      "context = ['customer']\n[gate]\nrecall = 0.9\n[gate.person]\nfalse_positives = 0.2\n[gate.cn]\nrecall = 1.0\n",
      "r.toml");
  ASSERT_TRUE(rules) << rules.error().message;
  EXPECT_EQ(rules->action(kEmail), Action::kMask);
  EXPECT_EQ(rules->action(kPhone), Action::kSurrogate);
  EXPECT_EQ(rules->action(kNumBuiltinTypes), Action::kRemove);
  EXPECT_EQ(rules->type_name(kNumBuiltinTypes), "cn");
  EXPECT_DOUBLE_EQ(rules->gate_of.at("person").recall, 0.9);
  EXPECT_DOUBLE_EQ(rules->gate_of.at("person").false_positives, 0.2);
  EXPECT_DOUBLE_EQ(rules->gate_of.at("cn").recall, 1.0);
}

TEST(Rules, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(error_of("[type]\nemail='mask'"),
            "r.toml: unknown key 'type' in the file; known: types, rule, allow, gate");
  EXPECT_NE(error_of("[types]\nmail='mask'").find("unknown type 'mail'"), std::string::npos);
  EXPECT_NE(error_of("[types]\nemail='hash'").find("surrogate, mask, remove, none"), std::string::npos);
  EXPECT_NE(error_of("[types]\nemail=3").find("types.email"), std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nname='a'\npattern='b'\nregex='c'").find("unknown key 'regex' in rule 1"),
            std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nname='email'\npattern='b'").find("built-in"), std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nname='a'\npattern='b'\n[[rule]]\nname='a'\npattern='c'").find("two rules"),
            std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nname='a b'\npattern='b'").find("a-z, 0-9"), std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nname='a'").find("no pattern"), std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nname='a'\npattern='(b'").find("r.toml: rule 'a': bad pattern"), std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nname='a'\npattern='b'\nkeywords='x'").find("list of strings"), std::string::npos);
  EXPECT_NE(error_of("[gate]\nrecall = 2").find("from 0 to 1"), std::string::npos);
  EXPECT_NE(error_of("[gate.mail]\nrecall = 1").find("unknown key 'mail'"), std::string::npos);
  EXPECT_NE(error_of("[allow]\nvalue=['a']").find("unknown key 'value'"), std::string::npos);
  EXPECT_NE(error_of("types = 3").find("'types' must be a table"), std::string::npos);
  EXPECT_NE(error_of("[types\n").find("r.toml:1:"), std::string::npos);
}

TEST(Rules, ManifestNamesPatternsByDigest) {
  const auto a = parse_rules("[[rule]]\nname='a'\npattern='secret-\\d'", "r"),
             b = parse_rules("[[rule]]\nname='a'\npattern='secret-\\d+'", "r");
  EXPECT_EQ(json::serialize(a->to_json()).find("secret"), std::string::npos);
  EXPECT_NE(a->to_json(), b->to_json());
}

}  // namespace
}  // namespace slm::scrub
