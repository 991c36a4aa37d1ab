#include "cluster/discover.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>
#include <map>
#include <set>

#include "cluster/logged_calls.h"
#include "core/random.h"
#include "support/agreement.h"

namespace slm::cluster {
namespace {

Call call_of(std::string_view system, std::string_view user, std::string_view answer, std::string_view site = "") {
  Call call;
  call.meta.site = site;
  if (!system.empty()) call.body.messages.push_back(json::object{{"role", "system"}, {"content", system}});
  call.body.messages.push_back(json::object{{"role", "user"}, {"content", user}});
  call.body.choices = {json::object{{"message", json::object{{"role", "assistant"}, {"content", answer}}}}};
  return call;
}

struct Found {
  Discovery discovery;
  std::vector<std::string> actions;
  std::vector<RequestText> requests;
};

Result<Found> find_tasks(const std::vector<Call>& calls, size_t k) {
  Found out;
  for (const auto& call : calls) {
    out.requests.push_back(read_request(request_of(call)));
    out.actions.push_back(action_of(call.body));
  }
  std::vector<const RequestText*> requests;
  for (const auto& request : out.requests) requests.push_back(&request);
  SLM_TRY(const auto features, Featuriser::fit(requests, {}));
  embed::DenseMatrix points(calls.size(), features.width());
  for (size_t i = 0; i < calls.size(); ++i) features.embed(out.requests[i], points.row(i));
  DiscoverOptions options;
  options.k = k;
  SLM_TRY(out.discovery, discover(requests, out.actions, points, options));
  return out;
}

size_t n_tasks(const Found& found) { return found.discovery.centroids.n_rows; }

const char* const kTopics[] = {"parcel", "refund", "kettle", "invoice", "garden", "weather", "camera", "guitar"};

// Calls of `n_sites` call sites, told apart by their system prompts; a third carry a label.
std::vector<Call> site_calls(size_t n_sites, size_t n, std::vector<uint32_t>& truth) {
  const char* const kPrompts[] = {"Route the customer's message to one of our queues now: {}",
                                  "Write the fields of the order as JSON, nothing else at all.",
                                  "Rewrite the note in the style of the house, in one line.",
                                  "Check the return against the rules and name the first that fits.",
                                  "Translate the sentence into plain English for the clerk to read.",
                                  "Sum up the claim in at most ten words for the file."};
  Prng prng(5);
  std::vector<Call> calls;
  truth.clear();
  for (size_t i = 0; i < n; ++i) {
    const auto site = static_cast<uint32_t>(prng.below(n_sites));
    std::string user = "about the";
    for (int w = 0; w < 8; ++w) (user += ' ') += kTopics[prng.below(8)] + std::to_string(prng.below(40));
    calls.push_back(call_of(kPrompts[site], user, "done", prng.below(3) == 0 ? "site-" + std::to_string(site) : ""));
    truth.push_back(site);
  }
  return calls;
}

TEST(Discover, AutoFindsEachCallSiteOnce) {
  std::vector<uint32_t> truth;
  const auto calls = site_calls(6, 900, truth);
  const auto found = find_tasks(calls, 0).value();
  EXPECT_EQ(n_tasks(found), 6u);
  EXPECT_DOUBLE_EQ(test::adjusted_rand_index(found.discovery.labels, truth), 1);
}

TEST(Discover, GivenTheNumberFindsTheSameSites) {
  std::vector<uint32_t> truth;
  const auto calls = site_calls(5, 600, truth);
  const auto found = find_tasks(calls, 5).value();
  EXPECT_EQ(n_tasks(found), 5u);
  EXPECT_DOUBLE_EQ(test::adjusted_rand_index(found.discovery.labels, truth), 1);
}

TEST(Discover, EveryOneOfKTasksHasACall) {
  std::vector<uint32_t> truth;
  const auto calls = site_calls(3, 300, truth);
  for (const size_t k : {1, 2, 7, 40, 250}) {
    const auto found = find_tasks(calls, k).value();
    EXPECT_EQ(std::set<uint32_t>(found.discovery.labels.begin(), found.discovery.labels.end()).size(), k);
  }
}

TEST(Discover, MoreTasksThanDistinctRequestsIsRefused) {
  std::vector<Call> calls;
  for (int i = 0; i < 40; ++i)
    calls.push_back(call_of("", i % 2 == 0 ? "where is my parcel" : "cancel the order", "ok"));
  const auto error = find_tasks(calls, 3).error();
  EXPECT_EQ(error.code, ErrorCode::kBadInput);
  EXPECT_NE(error.message.find("--k 3"), std::string::npos) << error.message;
  EXPECT_NE(error.message.find("2 of 40 calls"), std::string::npos) << error.message;
  EXPECT_EQ(n_tasks(find_tasks(calls, 2).value()), 2u);
}

TEST(Discover, AllRequestsAlikeAreOneTask) {
  const std::vector<Call> calls(30, call_of("Say hello.", "hello", "hello"));
  for (const size_t k : {0, 1}) {
    const auto found = find_tasks(calls, k).value();
    EXPECT_EQ(n_tasks(found), 1u);
    EXPECT_EQ(found.discovery.labels, std::vector<uint32_t>(30, 0));
  }
  EXPECT_EQ(find_tasks(calls, 2).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(find_tasks({}, 0).error().code, ErrorCode::kBadInput);
}

TEST(Discover, TemplatesInTheUserMessageAreTasks) {
  const char* const kTemplates[] = {"Name the sentiment of the following review in one word:",
                                    "List all products that the following mail mentions by name:",
                                    "Turn the following question into a search query for us:"};
  Prng prng(9);
  std::vector<Call> calls;
  std::vector<uint32_t> truth;
  for (int i = 0; i < 300; ++i) {
    const auto which = static_cast<uint32_t>(prng.below(3));
    std::string user = kTemplates[which];
    for (int w = 0; w < 6; ++w) (user += ' ') += kTopics[prng.below(8)];
    calls.push_back(call_of("You are a helpful assistant.", user, "fine"));
    truth.push_back(which);
  }
  const auto found = find_tasks(calls, 0).value();
  EXPECT_EQ(n_tasks(found), 3u);
  EXPECT_DOUBLE_EQ(test::adjusted_rand_index(found.discovery.labels, truth), 1);
}

// An agent loop of one system prompt: the request says by its state what comes next.
std::vector<Call> loop_calls(size_t n_sessions, std::vector<uint32_t>& truth) {
  Prng prng(3);
  std::vector<Call> calls;
  truth.clear();
  const char* const kTools[] = {"find_customer", "read_order", "refund_order"};
  for (size_t s = 0; s < n_sessions; ++s) {
    Call call = call_of("You work at the desk. Follow the rules of the house in every step.",
                        std::string("please look after my ") + kTopics[prng.below(8)] + " order", "");
    for (uint32_t step = 0; step < 3; ++step) {
      const auto id = "call_" + std::to_string(step);
      const json::object answer = {
          {"role", "assistant"},
          {"content", nullptr},
          {"tool_calls",
           json::array{json::object{{"id", id},
                                    {"type", "function"},
                                    {"function", json::object{{"name", kTools[step]}, {"arguments", "{}"}}}}}}};
      call.body.choices = {json::object{{"message", answer}}};
      calls.push_back(call);
      truth.push_back(step);
      call.body.messages.push_back(answer);
      call.body.messages.push_back(json::object{
          {"role", "tool"}, {"tool_call_id", id}, {"content", std::string("found ") + kTopics[prng.below(8)]}});
    }
  }
  return calls;
}

TEST(Discover, StepsOfAnAgentLoopAreTasks) {
  std::vector<uint32_t> truth;
  const auto calls = loop_calls(120, truth);
  const auto found = find_tasks(calls, 0).value();
  EXPECT_EQ(n_tasks(found), 3u);
  EXPECT_DOUBLE_EQ(test::adjusted_rand_index(found.discovery.labels, truth), 1);
}

TEST(Features, WhatARequestSays) {
  std::vector<uint32_t> truth;
  const auto calls = loop_calls(1, truth);
  const auto last = read_request(request_of(calls[2]));
  EXPECT_EQ(last.n_turns, 2);
  EXPECT_EQ(last.delta.substr(0, 5), "found");
  EXPECT_EQ(last.context, "\nread_order {}");
  EXPECT_TRUE(last.has_instruction);
  EXPECT_EQ(last.head, 0u);  // not an opening
  EXPECT_EQ(action_of(calls[2].body), "tool refund_order");

  const auto first = read_request(request_of(call_of("", "Order 4711 of 2024 came late again today", "x")));
  EXPECT_EQ(first.delta, "Order 0000 of 0000 came late again today");
  EXPECT_FALSE(first.has_instruction);
  EXPECT_NE(first.head, 0u);
  EXPECT_EQ(first.head, read_request(request_of(call_of("", "Order 1234 of 1999 came late as ever", "x"))).head);
  EXPECT_NE(first.head, read_request(request_of(call_of("", "Order 1234 of 1999 came early as ever", "x"))).head);
  EXPECT_EQ(action_of(call_of("", "x", " {\"a\": 1} ").body), "json");
  EXPECT_EQ(action_of(call_of("", "x", "{not json").body), "text");
  EXPECT_EQ(action_of(call_of("", "x", "  ").body), "");
  EXPECT_EQ(action_of(CallBody{}), "");
  EXPECT_EQ(read_request({}).delta, "");  // no messages at all
}

TEST(Features, BytesComeBackAndDamageIsSeen) {
  std::vector<uint32_t> truth;
  const auto calls = loop_calls(20, truth);
  std::vector<RequestText> requests;
  for (const auto& call : calls) requests.push_back(read_request(request_of(call)));
  std::vector<const RequestText*> pointers;
  for (const auto& request : requests) pointers.push_back(&request);
  const auto features = Featuriser::fit(pointers, {}).value();
  Bytes bytes;
  features.serialise(bytes);
  size_t pos = 0;
  const auto again = Featuriser::parse(bytes, pos).value();
  EXPECT_EQ(pos, bytes.size());
  std::vector<float> a(features.width()), b(features.width());
  for (const auto& request : requests) {
    features.embed(request, a.data());
    again.embed(request, b.data());
    EXPECT_EQ(a, b);
  }
  for (size_t cut = 0; cut < bytes.size(); cut += 1 + bytes.size() / 300) {
    size_t at = 0;
    EXPECT_FALSE(Featuriser::parse(ByteSpan(bytes).first(cut), at)) << cut;
  }
}

// The one real agent log: 50 airline-desk cases, four trials each. A task is told from the request alone; its majority
// tool must agree with the tool called far more often than the majority tool of all does, also on cases not counted.
TEST(TauBench, TasksAgreeWithTheToolCalled) {
  const std::filesystem::path path = SLM_SOURCE_DIR "/../shared/data/agent-logs/tau-bench-airline-gpt4o.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path << ": outside data isn't on this machine";
  auto calls = calls_of_array(path);
  EXPECT_EQ(calls.size(), 2454u);
  std::erase_if(calls, [](const Call& call) { return call.meta.flags.hci; });
  EXPECT_EQ(calls.size(), 1164u);  // the assistant turns that call a tool
  for (const size_t k : {0, 15}) {
    const auto found = find_tasks(calls, k).value();
    std::map<std::string, uint32_t> tools, cases;
    std::vector<uint32_t> labels, groups;
    for (size_t i = 0; i < calls.size(); ++i) {
      labels.push_back(tools.emplace(found.actions[i], tools.size()).first->second);
      groups.push_back(cases.emplace(calls[i].meta.group, cases.size()).first->second);
    }
    EXPECT_EQ(cases.size(), 50u);
    const auto agreement = test::majority_agreement(found.discovery.labels, labels, groups);
    std::cout << "tau-bench: " << n_tasks(found) << " tasks, agreement with the tool called " << agreement.by_task
              << " (held-out cases " << agreement.by_task_held_out << "), majority tool " << agreement.majority << "\n";
    EXPECT_NEAR(agreement.majority, 377.0 / 1164.0, 1e-9);
    EXPECT_GE(agreement.by_task_held_out, k == 0 ? 0.5 : 0.65);
    EXPECT_GE(n_tasks(found), 5u);
    EXPECT_LE(n_tasks(found), 15u);
  }
}

}  // namespace
}  // namespace slm::cluster
