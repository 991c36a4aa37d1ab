// Names, kinds, lineage and tasks.toml: the parts that say something about tasks once they are found.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>

#include "cluster/lineage.h"
#include "cluster/names.h"
#include "cluster/profile.h"
#include "cluster/tasks_file.h"
#include "core/file.h"
#include "core/hash.h"

namespace slm::cluster {
namespace {

using score::TaskKind;

TEST(Names, OnlyWordsOfManySessions) {
  NameMaker maker(2);
  for (uint64_t session = 0; session < kLeastSessions; ++session) {
    maker.add(0, session, "find the invoice of the customer 4711", "");
    // A word in one session less than needed; a person's name said a thousand times in one session.
    maker.add(1, session, session + 1 < kLeastSessions ? "secretword parcel" : "parcel", "");
  }
  for (int i = 0; i < 1000; ++i) maker.add(1, 3, "johannsen", "");
  const auto names = maker.names();
  EXPECT_NE(names[0].find("invoice"), std::string::npos) << names[0];
  EXPECT_EQ(names[0].find("4711"), std::string::npos);
  EXPECT_EQ(names[1], "parcel");
}

TEST(Names, SharedLabelIsTheName) {
  NameMaker maker(3);
  for (uint64_t session = 0; session < 90; ++session) {
    maker.add(0, session, "some words here", session % 3 == 0 ? "Mail_Router/v2" : "");
    maker.add(1, session, "other words there", session % 2 == 0 ? "one" : "two");
    maker.add(2, session < 10 ? session : 0, "rare words", "rare-site");  // in ten sessions only
  }
  const auto names = maker.names();
  EXPECT_EQ(names[0], "mail-router-v2");
  EXPECT_EQ(names[1], "words");
  EXPECT_EQ(names[2], "words");
}

TEST(Names, ToolNamesStayWhole) {
  NameMaker maker(1);
  for (uint64_t session = 0; session < 30; ++session) maker.add(0, session, "get_reservation_details", "");
  EXPECT_EQ(maker.names()[0], "get-reservation-details");
  EXPECT_EQ(NameMaker(1).names()[0], "");
}

// Ten thousand tasks: what is held grows with the words that each has, not with words times tasks.
TEST(Names, ManyTasksAndWordsTakeLittleMemory) {
  const auto resident_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const long before = resident_kib();
  constexpr size_t kTasks = 10'000;
  NameMaker maker(kTasks);
  const auto word = [](size_t n) {
    std::string out = "w";
    for (int i = 0; i < 4; ++i, n /= 26) out += static_cast<char>('a' + n % 26);
    return out;
  };
  for (uint64_t session = 0; session < kLeastSessions; ++session)
    for (size_t task = 0; task < kTasks; ++task) maker.add(task, session, word(task) + " everywhere", "");
  const auto names = maker.names();
  EXPECT_EQ(names[0], word(0) + "-everywhere");
  EXPECT_EQ(names[kTasks - 1], word(kTasks - 1) + "-everywhere");
  EXPECT_LT(resident_kib() - before, 100 * 1024);  // a table of floats would be 400 MB
}

Call answered(std::string_view user, std::string_view answer, bool truth = false) {
  Call call;
  call.body.messages = {json::object{{"role", "user"}, {"content", user}}};
  call.body.choices = {json::object{{"message", json::object{{"role", "assistant"}, {"content", answer}}}}};
  if (truth) call.body.truth = json::object{{"role", "assistant"}, {"content", answer}};
  return call;
}

TaskKind kind_of(const std::vector<Call>& calls) {
  AnswerProfile profile;
  for (const auto& call : calls) profile.add(facts_of(call));
  return profile.kind();
}

TEST(Kinds, ToldFromTheAnswers) {
  std::vector<Call> labels, numbers, jsons, rewrites, letters, tools, mixed;
  for (int i = 0; i < 200; ++i) {
    const auto n = std::to_string(i * 7919 % 100003);
    labels.push_back(answered("route " + n, i % 3 == 0 ? "Billing " : "shipping"));
    numbers.push_back(answered("what is the total of order " + n, n + ".75", true));
    jsons.push_back(answered("fields of " + n, "{\"order\": \"" + n + "\"}"));
    rewrites.push_back(answered("pcs 4 kettle order " + n + " replace it", "REPLACE 4 kettle order " + n));
    std::string letter = "Dear";
    for (int w = 0; w < 60; ++w) letter += " word" + std::to_string((i * 31 + w * 17) % 997);
    letters.push_back(answered("thank customer " + n, letter));
    Call tool = answered("act " + n, "");
    tool.body.choices = {json::object{
        {"message",
         json::object{
             {"role", "assistant"},
             {"tool_calls", json::array{json::object{
                                {"id", "1"}, {"function", json::object{{"name", "act"}, {"arguments", "{}"}}}}}}}}}};
    tools.push_back(tool);
  }
  EXPECT_EQ(kind_of(labels), TaskKind::kLabel);
  EXPECT_EQ(kind_of(numbers), TaskKind::kShortText);  // all distinct, but the truth is kept
  EXPECT_EQ(kind_of(jsons), TaskKind::kJson);
  EXPECT_EQ(kind_of(rewrites), TaskKind::kShortText);
  EXPECT_EQ(kind_of(letters), TaskKind::kOpenText);
  EXPECT_EQ(kind_of(tools), TaskKind::kToolCall);
  EXPECT_EQ(kind_of({}), TaskKind::kOpenText);
  // Short answers that neither repeat nor follow from the request.
  for (int i = 0; i < 200; ++i) mixed.push_back(answered("say something", "thought number " + std::to_string(i)));
  EXPECT_EQ(kind_of(mixed), TaskKind::kOpenText);
}

TEST(Profile, TokensSessionsAndPercentiles) {
  TaskTotals totals;
  for (uint32_t i = 1; i <= 200; ++i) {
    AnswerFacts facts;
    facts.n_in = i;
    facts.n_out = 1;
    totals.add(facts, i % 7, i % 4 == 0 ? "small" : "large");
  }
  TaskInfo info;
  totals.fill(info);
  EXPECT_EQ(info.n_calls, 200);
  EXPECT_EQ(info.n_sessions, 7);
  EXPECT_EQ(info.n_in_tokens, 20100);
  EXPECT_EQ(info.n_out_tokens, 200);
  EXPECT_EQ(info.p50_tokens, 101);  // the 100th smallest of 2 … 201
  EXPECT_EQ(info.p99_tokens, 199);
  EXPECT_EQ(info.model, "large");
}

TEST(Profile, TokensAreEstimatedWhereTheLogHasNone) {
  Call call = answered("12345678901234567890123456789012", "12345678");  // 32 + 8 bytes of message, 8 of answer
  auto facts = facts_of(call);
  EXPECT_EQ(facts.n_in, 10u);
  EXPECT_EQ(facts.n_out, 2u);
  call.meta.usage.n_in = 77;
  call.meta.usage.n_out = 5;
  facts = facts_of(call);
  EXPECT_EQ(facts.n_in, 77u);
  EXPECT_EQ(facts.n_out, 5u);
}

TEST(Lineage, ContinuesSplitsMergesAndBirths) {
  // Old 0 → new 1 (all); old 1 splits into new 0 (larger) and new 2; old 2 and old 3 become new 3; old 4 is gone to new
  // 1 in part; new 4 has calls of everywhere.
  std::vector<uint32_t> before, after;
  const auto add = [&](uint32_t a, uint32_t b, int n) {
    for (int i = 0; i < n; ++i) before.push_back(a), after.push_back(b);
  };
  add(0, 1, 100);
  add(1, 0, 60);
  add(1, 2, 40);
  add(2, 3, 50);
  add(3, 3, 30);
  add(4, 4, 5);
  add(0, 4, 5);
  add(1, 4, 5);
  add(4, 1, 6);
  add(4, 0, 6);
  add(kNoOldTask, 4, 6);  // outliers of the old map
  const auto lineage = trace_lineage(before, 5, after, 5);
  EXPECT_EQ(lineage.origins[1].old_task, 0);
  EXPECT_EQ(lineage.origins[0].old_task, 1);
  EXPECT_EQ(lineage.origins[2].old_task, -1);
  EXPECT_EQ(lineage.origins[2].split_from, 1);
  EXPECT_EQ(lineage.origins[3].old_task, 2);
  EXPECT_EQ(lineage.fates[3].new_task, -1);
  EXPECT_EQ(lineage.fates[3].merged_into, 3);
  EXPECT_EQ(lineage.origins[4].old_task, -1);
  EXPECT_EQ(lineage.origins[4].split_from, -1);
  EXPECT_EQ(lineage.fates[4].new_task, -1);
  EXPECT_EQ(lineage.fates[4].merged_into, -1);
}

class TasksFile : public testing::Test {
 protected:
  Result<TaskRules> read(std::string_view text) {
    const auto path = std::filesystem::path(testing::TempDir()) / fmt::format("slm_tasks_{}.toml", getpid());
    EXPECT_TRUE(write_file_atomic(path, text));
    auto rules = read_task_rules(path);
    std::filesystem::remove(path);
    return rules;
  }
};

TEST_F(TasksFile, NamesMergesAndExclusions) {
  const auto rules = read("[t03]\nname = \"refund-lookup\"\nexclude = true\n[t05]\nmerge = \"t03\"\n").value();
  EXPECT_EQ(rules.at("t03").name, "refund-lookup");
  EXPECT_TRUE(rules.at("t03").exclude);
  EXPECT_EQ(rules.at("t05").merge, "t03");
}

TEST_F(TasksFile, RefusesWhatItDoesNotKnow) {
  for (const char* text : {"[t01]\nnmae = \"x\"\n", "[t01]\nname = 3\n", "[t01]\nname = \"Has Space\"\n", "t01 = 1\n",
                           "[t01]\nmerge = \"t01\"\n", "[t01]\nmerge = \"t02\"\n[t02]\nmerge = \"t03\"\n",
                           "[t01]\nexclude = \"yes\"\n", "[t01\n"})
    EXPECT_EQ(read(text).error().code, ErrorCode::kBadInput) << text;
  EXPECT_EQ(read_task_rules("/nowhere/tasks.toml").error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace slm::cluster
