#include "scrub/gate.h"

#include <gtest/gtest.h>

#include "core/file.h"

namespace slm::scrub {
namespace {

class GateTest : public ::testing::Test {
 protected:
  Gate read(std::string_view lines) {
    EXPECT_TRUE(write_file_atomic(path_, lines));
    auto gate = Gate::read(path_);
    EXPECT_TRUE(gate) << gate.error().message;
    return std::move(*gate);
  }
  static const GateRow& row(const std::vector<GateRow>& rows, std::string_view type) {
    static const GateRow none;
    for (const GateRow& r : rows)
      if (r.type == type) return r;
    ADD_FAILURE() << "no row " << type;
    return none;
  }
  std::filesystem::path path_ = std::filesystem::path(testing::TempDir()) / "slm_gate_key.jsonl";
};

TEST_F(GateTest, CountsEachPlantedValueOncePerCall) {
  Gate gate = read(
      "{\"type\":\"email\",\"value\":\"A@x.org\",\"line\":1}\n\n{\"type\":\"email\",\"value\":\"b@x.org\"}\n{\"type\":"
      "\"decoy\",\"value\":\"1.2.3.4\"}\n");
  gate.before("mail a@X.org or a@x.org, b@x.org; version 1.2.3.4");
  gate.after("mail q@y.example or q@y.example, b@x.org; version 9.9.9.9");
  gate.found("email", "a@X.org");
  gate.found("email", "1.2.3.4");
  gate.end_call(true);
  gate.before("a@x.org");
  gate.after("a@x.org");
  gate.end_call(false);  // left out: not counted
  const auto rows = gate.rows({});
  EXPECT_EQ(row(rows, "email").n_planted, 2);
  EXPECT_EQ(row(rows, "email").n_left, 1);
  EXPECT_EQ(row(rows, "email").n_found, 2);
  EXPECT_EQ(row(rows, "email").n_false, 1);
  EXPECT_EQ(row(rows, "decoy").n_planted, 1);
  EXPECT_EQ(row(rows, "decoy").n_left, 1);
  EXPECT_NE(gate_failures(rows).find("email recall 0.500 (bound 0.950)"), std::string::npos) << gate_failures(rows);
  EXPECT_NE(gate_failures(rows).find("1 of 1 decoys changed"), std::string::npos);
}

TEST_F(GateTest, SeesThroughJsonAndDisguise) {
  Gate gate =
      read("{\"type\":\"card\",\"value\":\"4111 1111 1111 1111\"}\n{\"type\":\"email\",\"value\":\"jane@x.org\"}\n");
  gate.before("{\"a\":\"jane\\u0040x.org\"}");
  gate.before("４111 1111 1111 11\u200B11");
  gate.after("{\"a\":\"jane\\u0040x.org\"}");
  gate.after("4111 1111 1111 1111");
  gate.end_call(true);
  const auto rows = gate.rows({});
  EXPECT_EQ(row(rows, "card").n_left, 1);
  EXPECT_EQ(row(rows, "email").n_left, 1);
}

// Nothing is taken apart into fields: keys, and what no walk over values goes into, are seen as well.
TEST_F(GateTest, SeesKeysAndEveryLevelOfEscapes) {
  Gate gate =
      read("{\"type\":\"email\",\"value\":\"jane@x.org\"}\n{\"type\":\"person\",\"value\":\"Zoë \\\"Ann\\\" Wick\"}\n");
  std::string text = "{\"users\":{\"jane@x.org\":1},\"n\":\"line\nZo\u00eb \\\"Ann\\\" Wick\"}";
  for (int level = 0; level < 5; ++level) {
    gate.before(text);
    gate.after(text);
    gate.end_call(true);
    text = "{\"id\":" + json::serialize(json::string(text)) + "}";
  }
  const auto rows = gate.rows({});
  EXPECT_EQ(row(rows, "email").n_planted, 5);
  EXPECT_EQ(row(rows, "email").n_left, 5);
  EXPECT_EQ(row(rows, "person").n_planted, 5);
  EXPECT_EQ(row(rows, "person").n_left, 5);
}

TEST_F(GateTest, OddEscapesAreNoTrouble) {
  Gate gate = read("{\"type\":\"email\",\"value\":\"jane@x.org\"}\n");
  for (const char* text : {"\\", "a\\", "\\u", "\\u12", "\\uzzzz jane@x.org", "\\ud83d jane@x.org", "\\ud83d\\u0041",
                           "\\\\\\\\\\\\\\\\\\\\\\\\\\\\ jane@x.org", "\\é jane@x.org"})
    gate.before(text);
  gate.end_call(true);
  EXPECT_EQ(row(gate.rows({}), "email").n_planted, 1);
}

TEST_F(GateTest, WholeValuesOnlyAndCredentialsAlone) {
  Gate gate = read(
      "{\"type\":\"ip\",\"value\":\"192.0.2.23\"}\n{\"type\":\"url_credential\",\"value\":\"https://"
      "shop:pw12345@h.example/x\"}\n");
  gate.before("192.0.2.236 https://shop:pw12345@h.example/x");
  gate.after("192.0.2.236 https://other.example shop:pw12345");
  gate.end_call(true);
  const auto rows = gate.rows({});
  EXPECT_EQ(row(rows, "ip").n_planted, 0);
  EXPECT_EQ(row(rows, "url_credential").n_planted, 2);
  EXPECT_EQ(row(rows, "url_credential").n_left, 1);
}

TEST_F(GateTest, NothingMeasuredIsNotPassed) {
  Gate gate = read("{\"type\":\"email\",\"value\":\"a@x.org\"}\n");
  gate.before("nothing here");
  gate.after("nothing here");
  gate.end_call(true);
  EXPECT_NE(gate_failures(gate.rows({})), "");
}

TEST_F(GateTest, ValuesTooShortToMeasureAreCounted) {
  Gate gate = read(
      "{\"type\":\"person\",\"value\":\"Ann\"}\n{\"type\":\"decoy\",\"value\":\"12\"}\n{\"type\":\"person\",\"value\":"
      "\"Anna\"}"
      "\n");
  EXPECT_EQ(gate.n_unmeasured(), 2);
  gate.before("Ann and Anna");
  gate.end_call(true);
  EXPECT_EQ(row(gate.rows({}), "person").n_planted, 1);
}

TEST_F(GateTest, BoundsByType) {
  Gate gate = read("{\"type\":\"person\",\"value\":\"Orla Wick\"}\n{\"type\":\"person\",\"value\":\"Ann Bee\"}\n");
  gate.before("Orla Wick and Ann Bee");
  gate.after("Mara Quill and Ann Bee");
  gate.found("person", "Orla");
  gate.end_call(true);
  Rules rules;
  rules.gate_of["person"] = {.recall = 0.5, .false_positives = 0};
  EXPECT_EQ(gate_failures(gate.rows(rules)), "");
  rules.gate_of["person"].recall = 0.51;
  EXPECT_NE(gate_failures(gate.rows(rules)), "");
}

TEST_F(GateTest, BadKeyNamesTheLine) {
  ASSERT_TRUE(write_file_atomic(path_, "{\"type\":\"email\",\"value\":\"a@x.org\"}\n{\"type\":\"email\"}\n"));
  const auto gate = Gate::read(path_);
  ASSERT_FALSE(gate);
  EXPECT_EQ(gate.error().code, ErrorCode::kBadInput);
  EXPECT_NE(gate.error().message.find(":2:"), std::string::npos);
  EXPECT_EQ(Gate::read("/nonexistent/key.jsonl").error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace slm::scrub
