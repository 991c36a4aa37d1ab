#include "scrub/scrub.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "call/logprobs.h"
#include "core/file.h"
#include "dataset/view.h"
#include "schema/artifacts.h"
#include "scrub/public_phrases.h"
#include "support/fake_store.h"
#include "support/scrub_calls.h"

namespace slm::scrub {
namespace {

using Space = store::Store::Space;

std::string user_text(const Call& call) { return content_text(call.body.messages[1].as_object()); }

class ScrubTest : public ::testing::Test {
 protected:
  ScrubTest()
      : dir_(std::filesystem::path(testing::TempDir()) / fmt::format("slm_scrub_{}", ::getpid())), store_(dir_) {
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    options_.clock = clock_.get();
  }
  ~ScrubTest() override { std::filesystem::remove_all(dir_); }

  ScrubResult run() {
    auto out = run_scrub(store_, options_);
    EXPECT_TRUE(out) << (out ? "" : out.error().message);
    return out ? std::move(*out) : ScrubResult{};
  }
  Error run_error() {
    auto out = run_scrub(store_, options_);
    EXPECT_FALSE(out);
    return out ? Error{} : out.error();
  }
  CallId add(std::string session, std::string_view user, std::string_view answer) {
    return store_.add(test::make_call(std::move(session), user, answer));
  }
  std::vector<Call> curated() { return store_.read(Space::kCurated); }

  std::filesystem::path dir_;
  test::FakeStore store_;
  std::unique_ptr<Clock> clock_ = fixed_clock(1'700'000'000'000, 10);
  ScrubOptions options_;
};

TEST_F(ScrubTest, ReplacesInEveryFieldAndKeepsTheRest) {
  Call call = test::make_call("s1", "My name is Orla Wick, write to orla@acme.com", "ok");
  call.body.messages.push_back(
      {{"role", "assistant"},
       {"content", nullptr},
       {"tool_calls",
        {{{"id", "c1"},
          {"type", "function"},
          {"function", {{"name", "find"}, {"arguments", "{\"mail\": \"orla@acme.com\", \"n\": 1.50}"}}}}}}});
  call.body.messages.push_back({{"role", "tool"}, {"tool_call_id", "c1"}, {"content", "{\"customer\":\"Orla Wick\"}"}});
  call.body.choices[0].at("message").as_object()["content"] = "Dear Ms Wick, it is done.";
  call.body.truth = {{"role", "assistant"}, {"content", "Dear Ms Wick, done."}};
  call.meta.has_truth = true;
  call.meta.time_ms = 1'700'000'000'000;
  store_.add(call);
  const ScrubResult result = run();
  EXPECT_EQ(result.n_added, 1);
  ASSERT_EQ(curated().size(), 1u);
  const std::string all = store_.stored(Space::kCurated)[0].body;
  for (const char* secret : {"Orla", "Wick", "orla", "acme"})
    EXPECT_EQ(all.find(secret), std::string::npos) << secret << all;
  const Call out = curated()[0];
  // The same person everywhere.
  const std::string record(out.body.messages[3].at("content").as_string());
  const std::string name = record.substr(13, record.size() - 15), family = name.substr(name.find(' ') + 1);
  EXPECT_EQ(user_text(out).substr(0, 12 + name.size()), "My name is " + name + ",");
  EXPECT_EQ(content_text(*answer_of(out.body)), "Dear Ms " + family + ", it is done.");
  EXPECT_EQ(content_text(out.body.truth.as_object()), "Dear Ms " + family + ", done.");
  const std::string arguments(out.body.messages[2].at("tool_calls").at(0).at("function").at("arguments").as_string());
  EXPECT_NE(arguments.find(", \"n\": 1.50}"), std::string::npos);
  EXPECT_EQ(out.meta.time_ms, call.meta.time_ms);
  EXPECT_EQ(out.meta.raw_group, store_.stored(Space::kRaw)[0].group);
  EXPECT_EQ(result.report.found.at("email"), 2);
}

TEST_F(ScrubTest, KeysAreScrubbedAndTheGateSeesThem) {
  Call call = test::make_call("s1", R"({"users":{"orla@acme.com":{"balance":3}}})", "ok");
  call.body.messages.push_back(
      {{"role", "assistant"},
       {"content", nullptr},
       {"tool_calls",
        {{{"id", "c1"},
          {"type", "function"},
          {"function", {{"name", "find"}, {"arguments", R"({"orla@acme.com":1,"mail":"orla@acme.com"})"}}}}}}});
  call.body.extra = {{"seen", {{"orla@acme.com", 2}}}};
  call.body.tools = {
      {{"type", "function"},
       {"function", {{"name", "find"}, {"parameters", {{"properties", {{"mail", {{"type", "string"}}}}}}}}}}};
  store_.add(call);
  const auto key = dir_ / "key.jsonl";
  ASSERT_TRUE(write_file_atomic(key, "{\"type\":\"email\",\"value\":\"orla@acme.com\"}\n"));
  options_.answer_key = key;
  const ScrubResult result = run();
  EXPECT_EQ(result.gate_failures, "");
  ASSERT_EQ(curated().size(), 1u);
  const std::string all = store_.stored(Space::kCurated)[0].body;
  EXPECT_EQ(all.find("orla"), std::string::npos) << all;
  const auto arguments =
      parse_json(curated()[0].body.messages[2].at("tool_calls").at(0).at("function").at("arguments").as_string());
  ASSERT_TRUE(arguments);
  const std::string mail(arguments->at("mail").as_string());
  EXPECT_TRUE(arguments->as_object().contains(mail));
  EXPECT_TRUE(curated()[0].body.extra.at("seen").as_object().contains(mail));
}

// A tool's name is left alone, so a value in it stays: the gate, which searches the whole body, says so.
TEST_F(ScrubTest, WhatTheWalkLeavesOutFailsTheGate) {
  Call call = test::make_call("s1", "a question", "ok");
  call.body.tools = {{{"type", "function"}, {"function", {{"name", "mail_orla@acme.com"}}}}};
  call.body.messages.push_back({{"role", "tool"}, {"tool_call_id", "orla@acme.com"}, {"content", "ok"}});
  store_.add(call);
  const auto key = dir_ / "key.jsonl";
  ASSERT_TRUE(write_file_atomic(key, "{\"type\":\"email\",\"value\":\"orla@acme.com\"}\n"));
  options_.answer_key = key;
  EXPECT_EQ(run().gate_failures, "email recall 0.000 (bound 0.950)");
}

TEST_F(ScrubTest, TextThatBeginsWithDataIsScrubbedAndFilesAreTakenOut) {
  Call call = test::make_call("s1", "data: my name is Orla Wick, orla@acme.com", "data:orla@acme.com");
  const std::string image = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB";
  call.body.messages.push_back(
      {{"role", "user"},
       {"content",
        {{{"type", "image_url"}, {"image_url", {{"url", image}}}},
         {{"type", "file"}, {"file", {{"file_data", "data:text/plain;base64,T3JsYSBXaWNrLCBvcmxhQGFjbWUuY29t"}}}}}}});
  store_.add(call);
  const ScrubResult result = run();
  EXPECT_EQ(result.report.n_files, 1);
  EXPECT_EQ(load_report(dir_)->n_files, 1);
  ASSERT_EQ(curated().size(), 1u);
  const std::string all = store_.stored(Space::kCurated)[0].body;
  for (const char* secret : {"Orla", "Wick", "acme", "T3JsYSBXaWNr"})
    EXPECT_EQ(all.find(secret), std::string::npos) << secret << all;
  const json::value parts = curated()[0].body.messages[2].at("content");
  EXPECT_EQ(parts.at(0).at("image_url").at("url"), json::value(image));
  EXPECT_EQ(parts.at(1).at("file").at("file_data"), "[FILE]");
}

// Logged probabilities stay with an answer that stays as it was, without the alternatives that are private; with one
// that is changed they go, and it is counted.
TEST_F(ScrubTest, LoggedProbabilitiesGoWithAChangedAnswer) {
  const auto logged = [](const std::string& answer, const std::string& other) {
    return to_json(std::vector<LoggedToken>{{answer, -0.1, {{answer, -0.1}, {other, -2.5}, {"\xe2\x82", -9}}}});
  };
  Call kept = test::make_call("s1", "My name is Orla Wick", "refund");
  kept.body.choices[0].as_object()["logprobs"] = logged("refund", "Wick");
  Call changed = test::make_call("s2", "who wrote?", "orla@acme.com");
  changed.body.choices[0].as_object()["logprobs"] = logged("orla@acme.com", "nobody");
  Call plain = test::make_call("s3", "and then?", "billing");
  plain.body.choices[0].as_object()["logprobs"] = logged("billing", "shipping");
  store_.add(kept), store_.add(changed), store_.add(plain);
  const ScrubResult result = run();
  EXPECT_EQ(result.report.n_logprobs_dropped, 1);
  EXPECT_EQ(load_report(dir_)->n_logprobs_dropped, 1);
  ASSERT_EQ(curated().size(), 3u);
  const auto first = logged_tokens(*logprobs_of(curated()[0].body));
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].top, (std::vector<std::pair<std::string, double>>{{"refund", -0.1}, {"\xe2\x82", -9}}));
  EXPECT_EQ(logprobs_of(curated()[1].body), nullptr);
  EXPECT_EQ(curated()[2].body.choices, plain.body.choices);
  for (const auto& stored : store_.stored(Space::kCurated))
    for (const char* secret : {"Wick", "orla@acme"})
      EXPECT_EQ(stored.body.find(secret), std::string::npos) << stored.body;
}

TEST_F(ScrubTest, NamesFoundLaterInASessionCountForAllOfIt) {
  add("s1", "Orla Wick was here", "ok");
  add("s2", "Orla Wick was here too", "ok");
  add("s1", "My name is Orla Wick", "fine");
  run();
  EXPECT_EQ(user_text(curated()[0]).find("Orla"), std::string::npos);
  EXPECT_EQ(user_text(curated()[1]), "Orla Wick was here too");
}

TEST_F(ScrubTest, TheDesksOwnNameStays) {
  const std::string prompt = "You write for Brindlewick.";
  const auto reply = [](int i) { return fmt::format("Item {} is back. Kind regards,\nBrindlewick", i * 7919); };
  for (int i = 0; i < 25; ++i)
    store_.add(test::make_call("s" + std::to_string(i), fmt::format("Draft {}", i * 104729), reply(i), prompt));
  // Few sessions share this one, so its name may be a customer's.
  for (int i = 0; i < 5; ++i)
    store_.add(test::make_call("t" + std::to_string(i), fmt::format("Draft {}", i * 15485863),
                               fmt::format("Item {}. Kind regards,\nOrla", i), "You write to Orla."));
  run();
  int own = 0, orla = 0;
  for (const Call& call : curated()) {
    const std::string answer = content_text(*answer_of(call.body));
    own += answer.find("\nBrindlewick") != std::string::npos;
    orla += answer.find("Orla") != std::string::npos ||
            content_text(call.body.messages[0].as_object()).find("Orla") != std::string::npos;
  }
  EXPECT_EQ(own, 25);
  EXPECT_EQ(orla, 0);
}

// Nothing but the desk's own name, as a whole and after greetings and signatures, is anybody's.
TEST_F(ScrubTest, NamesInExamplesOfSharedPromptsAreNobodysLicence) {
  const std::string prompt =
      "You write for Brindlewick. Example: Dear Mary Johnson, your order is here. Kind regards,\nBrindlewick";
  const auto add_call = [&](const std::string& session, std::string_view user, std::string_view answer) {
    store_.add(test::make_call(session, user, answer, prompt));
  };
  for (int i = 0; i < 25; ++i)
    add_call("s" + std::to_string(i), fmt::format("Draft {}", i * 104729),
             fmt::format("Dear Mary Johnson, item {} is back. Kind regards,\nBrindlewick", i * 7919));
  add_call("given", "My name is Mary Johnson and the lamp is broken",
           "Dear Mary Johnson, sorry. Regards,\nBrindlewick");
  add_call("label", "Refund it. Customer: Mary Johnson", "done, chairs and all");
  add_call("part", "Who wrote about the table?", "Dear Mary, it was nobody that we know. Cheers,\nJohnson");
  add_call("family", "Surname: Johnson. Where is my garden bench?", "Dear Mary Johnson, it is on its way.");
  run();
  int n_own = 0;
  for (const Call& call : curated()) {
    const std::string body = json::serialize(to_json(call.body));
    const bool names_one = call.meta.session[0] != 's';
    const std::string said = user_text(call) + "\n" + content_text(*answer_of(call.body));
    if (names_one) {
      EXPECT_EQ(said.find("Mary"), std::string::npos) << said;
      EXPECT_EQ(said.find("Johnson"), std::string::npos) << said;
    } else {
      EXPECT_NE(body.find("Dear Mary Johnson, item"), std::string::npos) << body;
    }
    if (call.meta.session != "part" && call.meta.session != "label" && call.meta.session != "family")
      n_own += said.ends_with("\nBrindlewick");
  }
  EXPECT_EQ(n_own, 26);
}

TEST(PublicPhrases, WholeRunsOfCapitalisedWords) {
  EXPECT_EQ(capitalised_runs(
                "You write for Brindlewick Garden Supply. Dear Mary Johnson, sign as \u201cOla van der Wick\u201d "
                "or Zo\u00eb's Bakery; 'Anna-Lena'\nTomas"),
            (std::vector<std::string>{"brindlewick garden supply", "mary johnson", "ola van der wick", "zo\u00eb",
                                      "bakery", "anna-lena", "tomas"}));
  EXPECT_EQ(capitalised_runs(""), std::vector<std::string>{});
}

// A text that a pattern gave up in may hold what nobody found, so the call is left out, and counted.
TEST_F(ScrubTest, CallsThatAPatternGaveUpInAreDropped) {
  options_.rules = *parse_rules("[[rule]]\nname = 'slow'\npattern = '(?:(?:a+)+)+$'\n", "r");
  const std::string hard = std::string(64, 'a') + "!";
  add("s1", hard + " and orla@acme.com", "ok");
  add("s1", "an easy question", "ok, " + hard);
  add("s2", hard + " and orla@acme.com", "ok");  // a copy is no better
  add("s3", "another easy question about lamps", "fine");
  add("s3", std::string(64, 'a'), "fine");
  const ScrubResult result = run();
  EXPECT_EQ(result.report.dropped, (std::map<std::string, int64_t>{{"not_scanned", 3}}));
  EXPECT_EQ(result.report.n_in, 5);
  EXPECT_EQ(result.report.n_out, 2);
  EXPECT_GT(result.report.n_over_limit, 0);
  for (const auto& stored : store_.stored(Space::kCurated)) EXPECT_EQ(stored.body.find("acme"), std::string::npos);
}

size_t heap_bytes() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Bytes of the heap at the end of the second pass, when everything that grows with the calls is held.
class HeapAfterSecondPass : public Progress {
 public:
  size_t bytes = 0;
  void start(std::string_view what, uint64_t) override { second_ = what == "scrub"; }
  void advance(uint64_t, std::string_view) override {}
  void finish() override {
    if (second_) bytes = heap_bytes();
  }
  void note(std::string_view) override {}
  void warn(std::string_view) override {}

 private:
  bool second_ = false;
};

TEST_F(ScrubTest, MemoryACallIsBounded) {
  const auto bytes_with = [&](int n, bool names, int calls_of_session) {
    test::FakeStore store(dir_ / fmt::format("m{}-{}-{}", n, names, calls_of_session));
    for (int i = 0; i < n; ++i)
      store.add(test::make_call(
          fmt::format("ses_{:032x}", i / calls_of_session),
          names ? fmt::format("I am Orla W{}, {:x}", std::string(1 + i % 9, 'x'), i * 0x9e3779b97f4a7c15ULL)
                : fmt::format("where is {:x}", i * 0x9e3779b97f4a7c15ULL),
          "ok"));
    HeapAfterSecondPass heap;
    options_.progress = &heap;
    const size_t before = heap_bytes();
    const auto result = run_scrub(store, options_);
    EXPECT_TRUE(result && result->n_added > n * 99 / 100);
    options_.progress = &null_progress();
    return static_cast<double>(heap.bytes) - static_cast<double>(before);
  };
  if (heap_bytes() < 100000) GTEST_SKIP() << "another allocator";
  struct Case {
    bool names;
    int calls_of_session;
    double most;
  };
  for (const Case& c : {Case{false, 1, 850}, Case{true, 1, 1000}, Case{false, 10, 600}}) {
    const double per_call =
        (bytes_with(12000, c.names, c.calls_of_session) - bytes_with(4000, c.names, c.calls_of_session)) / 8000;
    fmt::print("{:.0f} bytes a call, {} a session, {} names\n", per_call, c.calls_of_session,
               c.names ? "with" : "without");
    EXPECT_GT(per_call, 200);
    EXPECT_LT(per_call, c.most);
  }
}

TEST_F(ScrubTest, DropsByReasonAndAddsUp) {
  add("s1", "a first question about chairs", "good");
  add("s1", "a first question about chairs", "good");   // exact
  add("s2", "A first question  about chairs", "good");  // near
  Call call = test::make_call("s3", "x", "");
  store_.add(call);  // empty
  call = test::make_call("s3", "y", "half an ans");
  call.body.choices[0].as_object()["finish_reason"] = "length";
  store_.add(call);
  call = test::make_call("s3", "z", "I'm sorry, but I can't assist with that.");
  store_.add(call);
  call = test::make_call("s3", "w", "x");
  call.body.choices.clear();
  call.body.error = {{"message", "boom"}};
  store_.add(call);
  call = test::make_call("s4", "hello there, how are you", "Fine, and you?");
  call.meta.flags.hci = true;
  store_.add(call);
  call = test::make_call("s5", "a call of a session that failed", "wrong");
  call.meta.flags.bad_session = true;
  store_.add(call);
  options_.no_hci = true;
  const ScrubResult result = run();
  EXPECT_EQ(result.report.dropped, (std::map<std::string, int64_t>{{"exact_duplicate", 1},
                                                                   {"near_duplicate", 1},
                                                                   {"empty", 1},
                                                                   {"truncated", 1},
                                                                   {"refused", 1},
                                                                   {"error", 1},
                                                                   {"hci", 1}}));
  EXPECT_EQ(result.report.n_in, 9);
  EXPECT_EQ(result.report.n_out, 2);
  EXPECT_TRUE(curated()[1].meta.flags.bad_session);
  const auto manifest = read_current(dir_, kStep);
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->n_in, 9);
  EXPECT_EQ(manifest->outputs.at("curated"), *curated_digest(store_, "test"));
  EXPECT_EQ(load_report(dir_)->dropped, result.report.dropped);
}

TEST_F(ScrubTest, KeepDuplicatesKeepsThemOnOneSide) {
  const std::string mail =
      "Good morning, my name is {}, the parcel with my garden chairs has not come although you said Tuesday.";
  for (int i = 0; i < 20; ++i)
    add("s" + std::to_string(i), fmt::format(fmt::runtime(mail), i % 2 ? "Orla Wick" : "Tom Baxter"), "delivery");
  options_.keep_duplicates = true;
  run();
  ASSERT_EQ(curated().size(), 20u);
  std::set<std::string> sides;
  for (const Call& call : curated()) sides.insert(call.meta.split + "/" + dataset::group_of(call.meta));
  EXPECT_EQ(sides.size(), 1u);
}

TEST_F(ScrubTest, PlaceholdersMakeCopiesAlike) {
  add("s1", "Please call Orla Wick, customer Orla Wick, mail orla.wick@acme.com, card 4111 1111 1111 1111.", "ok");
  add("s2", "Please call Tom Baxter, customer Tom Baxter, mail tb77@other.org, card 5555 5555 5555 4444.", "ok");
  EXPECT_EQ(run().report.dropped.at("near_duplicate"), 1);
}

TEST_F(ScrubTest, SidesFollowTheKeyAndTheShares) {
  for (int i = 0; i < 2000; ++i) {
    Call call =
        test::make_call("ses" + std::to_string(i / 2), fmt::format("question {} number {}", i * 7919 % 10007, i),
                        fmt::format("answer {}", i * 31 % 997));
    if (i % 20 == 0) call.meta.group = "case" + std::to_string(i % 100);
    store_.add(call);
  }
  options_.validation = 0.10;
  options_.test = 0.45;
  const ScrubResult result = run();
  std::map<std::string, std::string> side_of;
  for (const Call& call : curated()) {
    const auto [it, is_new] = side_of.try_emplace(dataset::group_of(call.meta), call.meta.split);
    EXPECT_EQ(it->second, call.meta.split);
  }
  const double n = static_cast<double>(result.report.n_groups);
  EXPECT_EQ(side_of.size(), static_cast<size_t>(result.report.n_groups));
  EXPECT_NEAR(static_cast<double>(result.report.split_groups.at("test")) / n, 0.45, 0.05);
  EXPECT_NEAR(static_cast<double>(result.report.split_groups.at("validation")) / n, 0.10, 0.03);
}

TEST_F(ScrubTest, NothingNewChangesNothing) {
  add("s1", "one question", "one");
  const ScrubResult first = run();
  EXPECT_TRUE(first.changed);
  const auto before = store_.stored(Space::kCurated).size();
  const ScrubResult second = run();
  EXPECT_FALSE(second.changed);
  EXPECT_EQ(second.artifact, first.artifact);
  EXPECT_EQ(second.report.n_out, 1);
  EXPECT_EQ(store_.stored(Space::kCurated).size(), before);
}

TEST_F(ScrubTest, LaterCallsAreAppendedAndOldSidesStay) {
  for (int i = 0; i < 40; ++i)
    add("s" + std::to_string(i), fmt::format("question {} about thing {}", i * 37 % 41, i), "a");
  run();
  std::map<std::string, std::string> sides;
  for (const Call& call : curated()) sides[call.meta.session] = call.meta.split;
  const std::string first_bodies = [&] {
    std::string s;
    for (const auto& c : store_.stored(Space::kCurated)) s += c.body;
    return s;
  }();
  for (int i = 20; i < 60; ++i)
    add("s" + std::to_string(i), fmt::format("a later matter {} with part {}", i * 53 % 61, i), "b");
  options_.test = 0.6;  // other shares hold for new groups only
  const ScrubResult result = run();
  EXPECT_EQ(result.n_added, 40);
  EXPECT_EQ(result.n_other_rules, 40);
  EXPECT_EQ(result.report.n_in, 80);
  EXPECT_EQ(result.report.n_out, 80);
  for (const Call& call : curated())
    if (const auto it = sides.find(call.meta.session); it != sides.end()) {
      EXPECT_EQ(call.meta.split, it->second) << call.meta.session;
    }
  std::string bodies;
  for (size_t i = 0; i < 40; ++i) bodies += store_.stored(Space::kCurated)[i].body;
  EXPECT_EQ(bodies, first_bodies);
}

TEST_F(ScrubTest, ACopyThatComesLaterJoinsTheFirstOnesGroup) {
  const std::string mail =
      "Good morning, the parcel with my garden chairs has not come yet although you said it would be here on Tuesday.";
  for (int i = 0; i < 30; ++i)
    add("s" + std::to_string(i),
        mail + fmt::format(" Chair {} of set {} in colour {}.", i * 7919, i * 104729, i * 1299709), "delivery");
  run();
  std::map<std::string, std::string> side_of;
  for (const Call& call : curated()) side_of[call.meta.session] = call.meta.split;
  for (int i = 0; i < 30; ++i) {
    const std::string session = "later" + std::to_string(i);
    add(session, mail + fmt::format(" Chair {} of set {} in colour {}!", i * 7919, i * 104729, i * 1299709),
        "delivery");
    add(session, fmt::format("And another thing {}: do you have lamps of model {}?", i * 15485863, i * 32452843),
        "stock");
  }
  run();
  int joined = 0;
  for (const Call& call : curated()) {
    if (!call.meta.session.starts_with("later")) continue;
    const std::string original = "s" + call.meta.session.substr(5);
    if (dataset::group_of(call.meta) != original) continue;
    ++joined;
    EXPECT_EQ(call.meta.split, side_of[original]);
  }
  EXPECT_GE(joined, 25);
}

TEST_F(ScrubTest, LateLinksAcrossSidesLeaveTheTest) {
  const auto text = [](int i) {
    return fmt::format("Good morning, here is matter {} with part {} and colour {}, please help me.", i * 7919,
                       i * 104729, i * 1299709);
  };
  for (int i = 0; i < 40; ++i)
    for (int k = 0; k < 3; ++k) add("s" + std::to_string(i), text(i * 3 + k), "ok");
  run();
  std::string tested, trained;
  for (const Call& call : curated()) (call.meta.split == "test" ? tested : trained) = call.meta.session;
  ASSERT_FALSE(tested.empty());
  ASSERT_FALSE(trained.empty());
  // The tested session turns out to repeat the trained one: four of eight calls.
  const int other = std::stoi(trained.substr(1));
  for (int k = 0; k < 3; ++k) add(tested, text(other * 3 + k) + "!", "ok");
  add(tested, text(other * 3) + "!!", "ok");
  add(tested, "Something new about lamps and a chair, which nobody asked before.", "ok");
  const ScrubResult result = run();
  EXPECT_EQ(result.report.linked_groups, std::vector<std::string>{tested});
  EXPECT_EQ(result.report.dropped.at("linked_across_sides"), 1);
  EXPECT_EQ(result.report.n_out, 120);
}

TEST_F(ScrubTest, GateStopsBeforeAnythingIsWritten) {
  add("s1", "My name is Orla Wick, mail orla@acme.com", "ok");
  const auto key = dir_ / "key.jsonl";
  ASSERT_TRUE(write_file_atomic(
      key,
      "{\"type\":\"email\",\"value\":\"orla@acme.com\"}\n{\"type\":\"person\",\"value\":\"Orla Wick\"}\n"
      "{\"type\":\"person\",\"value\":\"Al\"}\n"));
  options_.answer_key = key;
  options_.rules = *parse_rules("[types]\nemail = 'none'", "r");
  const ScrubResult stopped = run();
  EXPECT_EQ(stopped.gate_failures, "email recall 0.000 (bound 0.950)");
  EXPECT_FALSE(stopped.changed);
  EXPECT_TRUE(store_.stored(Space::kCurated).empty());
  EXPECT_FALSE(current_artifact(dir_, kStep));
  options_.rules = {};
  const ScrubResult result = run();
  EXPECT_EQ(result.gate_failures, "");
  ASSERT_EQ(result.report.gate.size(), 2u);
  EXPECT_EQ(load_report(dir_)->n_unmeasured, 1);
  EXPECT_EQ(result.report.gate[0].n_planted, 1);
  EXPECT_EQ(result.report.gate[0].n_left, 0);
}

TEST_F(ScrubTest, AnswerKeyWithoutAMatchIsNotAPass) {
  add("s1", "nothing private", "ok");
  const auto key = dir_ / "key.jsonl";
  ASSERT_TRUE(write_file_atomic(key, "{\"type\":\"email\",\"value\":\"orla@acme.com\"}\n"));
  options_.answer_key = key;
  EXPECT_NE(run().gate_failures, "");
  EXPECT_TRUE(store_.stored(Space::kCurated).empty());
}

TEST_F(ScrubTest, EmptyStoreAndBadShares) {
  const ScrubResult nothing = run();
  EXPECT_FALSE(nothing.changed);
  EXPECT_EQ(nothing.artifact, "");
  options_.test = 0.95;
  EXPECT_EQ(run_error().code, ErrorCode::kUsage);
}

TEST_F(ScrubTest, InterruptLosesNothing) {
  for (int i = 0; i < 10; ++i) add("s" + std::to_string(i), fmt::format("question {}", i * 37), "a");
  interrupt_flag() = true;
  EXPECT_EQ(run_error().code, ErrorCode::kInterrupted);
  interrupt_flag() = false;
  EXPECT_EQ(run().report.n_in, 10);
}

TEST_F(ScrubTest, SameStoreSameBytes) {
  for (int i = 0; i < 30; ++i)
    add("s" + std::to_string(i % 7), fmt::format("I am Orla Wick, mail o{}@acme.com, item {}", i, i * 7919), "ok");
  test::FakeStore other(dir_ / "other");
  std::filesystem::create_directories(dir_ / "other");
  other.stored(Space::kRaw) = store_.stored(Space::kRaw);
  const ScrubResult a = run();
  const auto b = run_scrub(other, options_);
  ASSERT_TRUE(b);
  EXPECT_EQ(a.artifact, b->artifact);
  for (size_t i = 0; i < store_.stored(Space::kCurated).size(); ++i)
    EXPECT_EQ(store_.stored(Space::kCurated)[i].body, other.stored(Space::kCurated)[i].body);
}

TEST(Report, ThereAndBackAndRefusesDamage) {
  Report r;
  r.n_in = 5;
  r.n_out = 3;
  r.dropped = {{"empty", 2}};
  r.found = {{"email", 4}};
  r.linked_groups = {"ses_1"};
  r.gate = {{.type = "email",
             .n_planted = 4,
             .n_left = 1,
             .n_found = 5,
             .n_false = 1,
             .bound_recall = 0.7,
             .bound_false = 0.3}};
  const json::object value = to_json(r);
  const auto back = report_from_json(value);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(to_json(*back), value);
  json::object damaged = value;
  damaged["n_in"] = "five";
  EXPECT_FALSE(report_from_json(damaged));
}

// A call as a client sends it on: everything before, the answer, a new message.
Call next_turn(const Call& before, std::string_view user, std::string_view answer) {
  Call call = before;
  call.meta.id = {};
  call.body.messages.push_back(before.body.choices[0].at("message"));
  call.body.messages.back().as_object()["refusal"] = nullptr;  // as some libraries send answers back
  call.body.messages.push_back({{"role", "user"}, {"content", user}});
  call.body.choices = {{{"message", {{"role", "assistant"}, {"content", answer}}}, {"finish_reason", "stop"}}};
  return call;
}

TEST_F(ScrubTest, CallsWithoutASessionAreJoinedByTheirHistory) {
  options_.keep_duplicates = true;
  const auto word = [](int i) { return fmt::format("the {} parcel is late and nobody answers", i); };
  std::vector<Call> turns;
  for (int i = 0; i < 4; ++i) {
    turns.push_back(test::make_call("", word(i), fmt::format("Which number, please ({})?", i)));
    store_.add(turns.back());
  }
  turns[1].body.choices[0].at("message").as_object()["tool_calls"] = {
      {{"id", "c"}, {"type", "function"}, {"function", {{"name", "find"}, {"arguments", "{}"}}}}};
  std::vector<Call> later;
  for (int i : {0, 2}) later.push_back(next_turn(turns[static_cast<size_t>(i)], "Number 5.", "Thank you."));
  for (const Call& call : later) store_.add(call);
  store_.add(next_turn(later[0], "Anything else?", "No."));
  // None of these goes on with one of them.
  Call edited = next_turn(turns[3], "Number 5.", "Thank you.");
  edited.body.messages[2].as_object()["content"] = "Which name?";
  store_.add(edited);
  Call with_tool = next_turn(turns[1], "Number 5.", "Thank you.");  // what was stored had called no tool
  store_.add(with_tool);
  Call elsewhere = next_turn(turns[0], "Number 5.", "Thank you.");
  elsewhere.meta.source = "src_2";
  store_.add(elsewhere);
  run();
  const auto calls = curated();
  ASSERT_EQ(calls.size(), 10u);
  const auto session = [&](size_t i) { return calls[i].meta.session; };
  EXPECT_EQ(session(0), calls[0].meta.id.hex());
  EXPECT_EQ(session(4), session(0));
  EXPECT_EQ(session(6), session(0));
  EXPECT_EQ(session(2), calls[2].meta.id.hex());
  EXPECT_EQ(session(5), session(2));
  for (size_t i : {1u, 3u, 7u, 8u, 9u}) EXPECT_EQ(session(i), "") << i;
  EXPECT_EQ(calls[4].meta.split, calls[0].meta.split);
  EXPECT_EQ(calls[5].meta.split, calls[2].meta.split);

  // What comes later joins what an earlier run curated, on its side.
  store_.add(next_turn(later[1], "And now?", "Wait."));
  run();
  const auto more = curated();
  ASSERT_EQ(more.size(), 11u);
  EXPECT_EQ(more[10].meta.session, session(2));
  EXPECT_EQ(more[10].meta.split, calls[2].meta.split);
}

}  // namespace
}  // namespace slm::scrub
