// Dialects whose records are whole conversations: messages and tau_bench.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/file.h"
#include "dialect_log.h"

namespace slm::dialects {
namespace {

using testing::ElementsAre;

class Messages : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& line : lines_of("tests/data/call/messages.jsonl")) ASSERT_EQ(read(line, kept_), "") << line;
    ASSERT_EQ(kept_.calls.size(), 7U);
  }
  const Call& call(size_t i) const { return kept_.calls[i].call; }
  Kept kept_;
};

TEST_F(Messages, EveryAssistantTurnIsACallWithWhatCameBefore) {
  std::vector<size_t> n_before;
  std::vector<int64_t> seq;
  for (const auto& logged : kept_.calls) {
    n_before.push_back(logged.call.body.messages.size());
    seq.push_back(logged.call.meta.seq);
  }
  EXPECT_THAT(n_before, ElementsAre(2, 4, 6, 3, 1, 3, 1));
  EXPECT_THAT(seq, ElementsAre(0, 1, 2, 1, 0, 1, 0));
  EXPECT_EQ(first_tool(*answer_of(call(1).body)), "find_booking");
  EXPECT_EQ(call(0).body.tools.size(), 1U);
  EXPECT_EQ(json::serialize(call(0).body.params), R"({"parallel_tool_calls":false})");
}

TEST_F(Messages, WeightZeroIsLeftOutAndCounted) {
  EXPECT_THAT(kept_.skipped, ElementsAre("weight_0"));
  EXPECT_EQ(content_text(*answer_of(call(3).body)), "praise");
  EXPECT_FALSE(call(3).body.messages[1].as_object().contains("weight"));
}

TEST_F(Messages, SessionsAreNamedOrDigested) {
  EXPECT_EQ(call(0).meta.session, call(2).meta.session);
  EXPECT_EQ(call(0).meta.session.size(), 32U);
  EXPECT_NE(call(0).meta.session, call(3).meta.session);
  EXPECT_EQ(call(4).meta.session, "sum-1");
}

TEST_F(Messages, LegacyFunctionMessagesAreJoinedToTheirCall) {
  EXPECT_EQ(
      json::serialize(call(5).body.messages),
      R"([{"role":"user","content":"Add 2 and 3."},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1",)"
      R"("type":"function","function":{"name":"add","arguments":"{\"a\":2,\"b\":3}"}}]},)"
      R"({"role":"tool","name":"add","content":"5","tool_call_id":"call_1"}])");
}

TEST_F(Messages, TruthBelongsToTheLastTurn) {
  EXPECT_FALSE(call(4).meta.has_truth);
  EXPECT_TRUE(call(5).meta.has_truth);
  EXPECT_EQ(call(4).meta.success, true);
}

TEST_F(Messages, OnlyConversationsSpeakToHumans) {
  std::vector<bool> hci;
  for (const auto& logged : kept_.calls) hci.push_back(logged.call.meta.flags.hci);
  // A dialogue's text turns do; its tool call, few-shot examples, a tool loop of one request and a single task don't.
  EXPECT_THAT(hci, ElementsAre(true, false, true, false, false, false, false));
}

TEST(MessagesBad, SaysWhy) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"({"messages":[{"role":"user","content":"x"}]})", "no_answer"},
      {R"({"messages":[{"role":"user","content":"x"},{"role":"alien","content":"y"}]})", "bad_message"},
      {R"({"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}],"tools":1})", "bad_tools"},
      {R"([{"role":"user","content":"x"},5])", "bad_message"},
      {R"({"messages":[]})", "unknown_format"},
      {R"({"text":"x"})", "unknown_format"},
      {"3", "unknown_format"},
      {"[]", "unknown_format"},
  };
  for (const auto& [text, reason] : kCases) {
    Kept kept;
    EXPECT_EQ(read(text, kept), reason) << text;
    EXPECT_TRUE(kept.calls.empty());
  }
}

TEST(MessagesBad, StopsWhenNoMoreAreWanted) {
  Kept kept;
  kept.want = 1;
  EXPECT_EQ(
      read(R"([{"role":"user","content":"x"},{"role":"assistant","content":"y"},{"role":"assistant","content":"z"}])",
           kept),
      "");
  EXPECT_EQ(kept.calls.size(), 1U);
}

TEST(MessagesBad, RefusesWhatWouldUnfoldWithoutBound) {
  json::array messages;
  messages.push_back(json::object{{"role", "user"}, {"content", std::string(1 << 20, 'x')}});
  for (int i = 0; i < 1100; ++i) messages.push_back(json::object{{"role", "assistant"}, {"content", "y"}});
  json::value record{{"messages", messages}};
  Kept kept;
  EXPECT_EQ(parse_messages(record, kept), "conversation_too_long");
  EXPECT_TRUE(kept.calls.empty());
}

TEST(TauBench, RewardsTrialsAndHumanTurns) {
  const auto text = read_file(std::string(SLM_SOURCE_DIR) + "/tests/data/call/tau_bench.json");
  ASSERT_TRUE(text.has_value());
  json::value log = json_of(*text);
  Kept kept;
  for (auto& record : log.as_array()) {
    ASSERT_EQ(recognise(record), by_name("tau_bench"));
    EXPECT_EQ(parse_tau_bench(record, kept), "");
  }
  ASSERT_EQ(kept.calls.size(), 4U);
  const auto& meta = [&](size_t i) -> const CallMeta& { return kept.calls[i].call.meta; };
  EXPECT_EQ(meta(0).group, meta(3).group) << "trials of one task belong together";
  EXPECT_NE(meta(0).session, meta(3).session);
  EXPECT_EQ(meta(0).session, meta(2).session);
  EXPECT_EQ(meta(0).success, true);
  EXPECT_EQ(meta(3).success, false);
  EXPECT_TRUE(meta(3).flags.bad_session);
  EXPECT_TRUE(meta(0).flags.hci);
  EXPECT_FALSE(meta(1).flags.hci);
  EXPECT_EQ(meta(2).seq, 2);
  for (const auto& logged : kept.calls)
    EXPECT_EQ(json::serialize(to_json(logged.call.body)).find("Jonas"), std::string::npos);
}

TEST(TauBench, GroupsOfTwoDomainsStayApart) {
  const auto group = [](std::string_view policy) {
    json::value record{
        {"task_id", 3},
        {"trial", 0},
        {"reward", 1},
        {"traj", {{{"role", "system"}, {"content", policy}}, {{"role", "assistant"}, {"content", "hi"}}}}};
    Kept kept;
    EXPECT_EQ(parse_tau_bench(record, kept), "");
    return kept.calls.at(0).call.meta.group;
  };
  EXPECT_EQ(group("airline"), group("airline"));
  EXPECT_NE(group("airline"), group("retail"));
}

TEST(TauBench, RealTrajectories) {
  const std::filesystem::path path =
      std::filesystem::path(SLM_SOURCE_DIR) / "../shared/data/agent-logs/tau-bench-airline-gpt4o.json";
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) GTEST_SKIP() << "no " << path;
  auto log = read_json_file(path);
  ASSERT_TRUE(log.has_value());
  int64_t n_calls = 0, n_hci = 0, n_failed = 0, n_bad_sessions = 0;
  std::set<std::string> groups, sessions;
  for (auto& record : log->as_array()) {
    Kept kept;
    ASSERT_EQ(recognise(record)->name, "tau_bench");
    ASSERT_EQ(parse_tau_bench(record, kept), "");
    for (const auto& logged : kept.calls) {
      n_calls += 1;
      n_hci += logged.call.meta.flags.hci;
      n_failed += logged.call.meta.flags.failed;
      groups.insert(logged.call.meta.group);
      sessions.insert(logged.call.meta.session);
    }
    n_bad_sessions += kept.calls.at(0).call.meta.flags.bad_session;
  }
  // Counted by the data's README and by a Python script over the same file.
  EXPECT_EQ(n_calls, 2454);
  EXPECT_EQ(n_hci, 1290);
  EXPECT_EQ(n_failed, 0);
  EXPECT_EQ(n_bad_sessions, 116);
  EXPECT_EQ(sessions.size(), 200U);
  EXPECT_EQ(groups.size(), 50U);
}

}  // namespace
}  // namespace slm::dialects
