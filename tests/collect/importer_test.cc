#include "collect/importer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "call/call.h"
#include "call/dialects/dialect.h"
#include "collect/occurrences.h"
#include "core/random.h"
#include "memory_store.h"

namespace slm::collect {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

class Notes final : public Progress {
 public:
  std::vector<std::string> warnings;
  uint64_t total = 0, done = 0;
  void start(std::string_view, uint64_t n) override { total = n; }
  void advance(uint64_t n, std::string_view) override { done = n; }
  void finish() override {}
  void note(std::string_view) override {}
  void warn(std::string_view line) override { warnings.emplace_back(line); }
};

class ImporterTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / fmt::format("slmconv-importer-{}", ::getpid());
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    interrupt_flag() = false;
  }
  void TearDown() override {
    interrupt_flag() = false;
    std::filesystem::remove_all(dir_);
  }
  std::string write(const std::string& name, std::string_view text) {
    const auto path = dir_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  Result<Report> import(const std::vector<std::string>& paths, const ImportOptions& options = {},
                        bool dry_run = false) {
    SLM_TRY(const auto inputs, expand_inputs(paths));
    return import_logs(inputs, options, {dry_run ? nullptr : &store_, &notes_, &in_});
  }
  static std::string record(std::string_view text, std::string_view more = "") {
    return fmt::format(
        R"({{"request":{{"model":"m","messages":[{{"role":"user","content":"{}"}}]}},"response":{{"choices":[{{"finish_reason":"stop","message":{{"role":"assistant","content":"yes"}}}}]}}{}}})",
        text, more);
  }
  static std::string data(const std::string& name) { return std::string(SLM_SOURCE_DIR) + "/tests/data/call/" + name; }
  static void expect_adds_up(const Report& report) {
    int64_t dropped = 0;
    for (const auto& [reason, n] : report.dropped) dropped += n;
    EXPECT_EQ(report.n_in(), report.n_added + dropped);
  }

  std::filesystem::path dir_;
  MemoryStore store_;
  Notes notes_;
  std::istringstream in_;
};

TEST_F(ImporterTest, StoresPseudonymsOnly) {
  const auto report = import({data("openai_chat.jsonl")});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->n_added, 11);
  ASSERT_EQ(store_.calls.size(), 11U);
  EXPECT_EQ(store_.calls[0].source, "desk-7") << "the store itself turns it into a pseudonym and an HMAC";
  const auto meta = call_meta_from_json(parse_json(store_.calls[0].meta).value());
  ASSERT_TRUE(meta.has_value());
  EXPECT_THAT(meta->source, testing::StartsWith("src_"));
  EXPECT_THAT(meta->session, testing::StartsWith("ses_"));
  EXPECT_EQ(meta->id, store_.calls[0].id);
  EXPECT_EQ(meta->site, "route_message");
  for (const auto& call : store_.calls)
    for (const auto& text : {call.meta, call.body})
      for (const auto* planted : {"desk-7", "s-100", "mara.lindqvist", "203.0.113.9", "hashed-9"})
        EXPECT_THAT(text, Not(HasSubstr(planted)));
  EXPECT_THAT(report->failed, ElementsAre(Pair("empty", 1), Pair("error", 1), Pair("length", 1), Pair("no_response", 1),
                                          Pair("refusal", 2)));
  EXPECT_EQ(report->n_hci, 1);
  EXPECT_EQ(report->n_truth, 1);
  EXPECT_EQ(report->n_vision, 1);
  EXPECT_EQ(report->sites.at("route_message").n_in, 20);
  EXPECT_EQ(report->models.at("big-1").n_calls, 9);
  EXPECT_EQ(report->first_ms, 1772438400000);
  EXPECT_EQ(report->last_ms, 1772438461250);
  expect_adds_up(*report);
}

TEST_F(ImporterTest, SecondImportAddsNone) {
  ASSERT_EQ(import({data("openai_chat.jsonl"), data("messages.jsonl"), data("tau_bench.json")})->n_added, 22);
  const auto again = import({data("messages.jsonl"), data("tau_bench.json"), data("openai_chat.jsonl")});
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->n_added, 0);
  EXPECT_EQ(again->dropped.at("already_stored"), 22);
  EXPECT_EQ(again->dropped.at("weight_0"), 1);
  EXPECT_EQ(store_.calls.size(), 22U);
  expect_adds_up(*again);
}

TEST_F(ImporterTest, CallsThatAnotherImportStoresMeanwhileAreKnown) {
  std::string log;
  for (int i = 0; i < 10; ++i) log += record(fmt::format("{}", i)) + "\n";
  const auto path = write("a.jsonl", log);
  MemoryStore other;
  const auto inputs = expand_inputs({path});
  ASSERT_TRUE(import_logs(*inputs, {}, {&other, nullptr, nullptr}).has_value());
  store_.meanwhile = {other.calls[1].tag, other.calls[2].tag, other.calls[9].tag};
  const auto report = import({path}, {.batch_calls = 4});
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->n_added, 7);
  EXPECT_EQ(report->dropped.at("already_stored"), 3);
  EXPECT_EQ(store_.calls.size(), 7U);
  expect_adds_up(*report);
}

// Whatever is imported can be read back: a stored body is deeper than its record, and its readers have a bound.
TEST_F(ImporterTest, TheDeepestRecordOfEveryDialectIsReadBack) {
  constexpr size_t kDeepest = 96;
  const std::string_view part = R"({"role":"user","content":[{"type":"text","text":"q","more":NEST}]})";
  const std::string turns = fmt::format(R"([{},{{"role":"assistant","content":"a"}}])", part);
  const std::map<std::string_view, std::vector<std::string>> places = {
      {"openai_chat",
       {fmt::format(
            R"({{"request":{{"model":"m","messages":[{}]}},"response":{{"choices":[{{"message":{{"role":"assistant","content":"a"}}}}]}}}})",
            part),
        R"({"request":{"model":"m","messages":[{"role":"user","content":"q"}],"tools":[{"name":"f","parameters":NEST}]},"response":{"choices":[{"message":{"role":"assistant","content":"a"}}]}})"}},
      {"messages",
       {turns, fmt::format(R"({{"messages":{}}})", turns),
        R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"tools":[{"name":"f","parameters":NEST}]})",
        R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"functions":[{"name":"f","parameters":NEST}]})"}},
      {"litellm",
       {R"({"call_type":"completion","startTime":1,"model_parameters":{"tools":[{"name":"f","parameters":NEST}]},"messages":[{"role":"user","content":"q"}],"response":"a"})"}},
      {"langfuse",
       {R"({"id":"o","traceId":"t","type":"GENERATION","startTime":"2026-03-02T08:00:00Z","input":{"messages":[{"role":"user","content":"q"}],"tools":[{"name":"f","parameters":NEST}]},"output":"a"})"}},
      {"openai_stored",
       {R"({"object":"chat.completion","id":"c","tools":[{"name":"f","parameters":NEST}],"messages":[{"role":"user","content":"q"}],"choices":[{"message":{"role":"assistant","content":"a"}}]})"}},
      {"sharegpt",
       {R"({"tools":[{"name":"f","parameters":NEST}],"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]})"}},
      {"tau_bench", {fmt::format(R"({{"task_id":1,"reward":1.0,"trial":0,"traj":{}}})", turns)}}};
  // OTLP's values are typed (call/otlp_test.cc); a request's text is bound where it is read (call/recording_test.cc).
  const std::set<std::string_view> elsewhere = {"otlp", "anthropic", "openai_responses", "transcript"};
  for (const auto& dialect : dialects::all())
    ASSERT_TRUE(places.contains(dialect.name) || elsewhere.contains(dialect.name)) << dialect.name;
  for (const auto& [dialect, records] : places)
    for (const auto& text : records) {
      const size_t at = text.find("NEST");
      const auto depth = std::count_if(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at),
                                       [](char c) { return c == '{' || c == '['; }) -
                         std::count_if(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at),
                                       [](char c) { return c == '}' || c == ']'; });
      const auto with_depth = [&](size_t n) {
        const size_t more = n - static_cast<size_t>(depth);
        std::string out = text;
        std::string nest = "1";
        for (size_t i = 0; i < more; ++i) nest = "[" + nest + "]";
        return out.replace(at, 4, nest) + "\n" + record("other") + "\n";
      };
      store_ = {};
      const auto deepest = import({write("deep.jsonl", with_depth(kDeepest))});
      ASSERT_TRUE(deepest.has_value()) << deepest.error().message;
      EXPECT_EQ(deepest->n_bad, 0) << text;
      EXPECT_EQ(deepest->dialects.at(std::string(dialect)).n_calls, dialect == "openai_chat" ? 2 : 1) << text;
      ASSERT_EQ(store_.calls.size(), 2U);
      EXPECT_TRUE(std::any_of(store_.calls.begin(), store_.calls.end(),
                              [](auto& call) { return call.body.find("[[[[1]]]]") != std::string::npos; }))
          << "it is kept: " << text;
      for (const auto& call : store_.calls) {
        const auto body = parse_json(call.body);
        ASSERT_TRUE(body.has_value()) << text << body.error().message;
        EXPECT_TRUE(call_body_from_json(*body).has_value());
      }
      const auto deeper = import({write("deeper.jsonl", with_depth(kDeepest + 1))});
      ASSERT_TRUE(deeper.has_value());
      EXPECT_EQ(deeper->dropped.at("not_json"), 1) << text;
    }
}

// A conversation a line, each a list of messages.
TEST_F(ImporterTest, LinesMayBeListsOfMessages) {
  const auto line = [](int i) {
    return fmt::format(R"([{{"role":"user","content":"q {0}"}},{{"role":"assistant","content":"a {0}"}}])", i) + "\n";
  };
  const auto report = import({write("lists.jsonl", line(1) + line(2) + line(3))});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->n_records, 3);
  EXPECT_EQ(report->dialects.at("messages").n_calls, 3);
  EXPECT_EQ(report->n_added, 3);
  expect_adds_up(*report);
}

// Pages of records, a list a line.
TEST_F(ImporterTest, LinesMayBeListsOfRecords) {
  const auto path =
      write("pages.jsonl", "[" + record("a") + "," + record("b") + "]\n[" + record("c") + ",{\"strange\":1}]\n[]\n");
  const auto report = import({path});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->n_records, 5);
  EXPECT_EQ(report->n_added, 3);
  EXPECT_THAT(report->dropped, ElementsAre(Pair("unknown_format", 2)));
  expect_adds_up(*report);
}

TEST_F(ImporterTest, EqualCallsOfOneFileStayTwo) {
  const auto path = write("a.jsonl", record("x") + "\n" + record("x") + "\n" + record("x") + "\n" + record("y") + "\n");
  EXPECT_EQ(import({path})->n_added, 4);
  EXPECT_EQ(import({path})->n_added, 0);
  const auto other = write("b.jsonl", record("x") + "\n");
  EXPECT_EQ(import({other})->n_added, 0) << "the first of its kind in its own file";
  std::set<CallId> ids;
  for (const auto& call : store_.calls) ids.insert(call.id);
  EXPECT_EQ(ids.size(), 4U);
}

TEST_F(ImporterTest, TimesTellEqualCallsApart) {
  const auto at = [](int s) { return record("x", fmt::format(",\"timestamp\":{}", 1772438400 + s)); };
  EXPECT_EQ(import({write("a.jsonl", at(0) + "\n" + at(1))})->n_added, 2);
  EXPECT_EQ(import({write("b.jsonl", at(1) + "\n" + at(2))})->n_added, 1);
}

TEST_F(ImporterTest, BadRecordsAreCountedNamedAndNeverFatal) {
  std::string log;
  for (int i = 0; i < 20; ++i) log += record(fmt::format("ok {}", i)) + "\n";
  log += "{\"request\": Wilhelmina Secret\n";                  // 21
  log += record("caf\xe9 Wilhelmina") + "\n";                  // 22
  log += "{\"strange\": \"Wilhelmina\"}\n";                    // 23
  log += "{\"request\":{\"messages\":[]},\"response\":{}}\n";  // 24
  log += record(std::string(3000, 'w')) + "\n";                // 25
  log += record("last").substr(0, 50);                         // 26, the file is cut
  const auto report = import({write("log.jsonl", log)}, {.max_record_bytes = 2000});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->n_added, 20);
  EXPECT_EQ(report->n_bad, 6);
  EXPECT_THAT(report->dropped, ElementsAre(Pair("invalid_utf8", 1), Pair("no_messages", 1), Pair("not_json", 2),
                                           Pair("too_long", 1), Pair("unknown_format", 1)));
  EXPECT_TRUE(report->too_many_skipped);
  ASSERT_EQ(notes_.warnings.size(), 6U);
  EXPECT_THAT(notes_.warnings[0], HasSubstr("log.jsonl:21: not_json"));
  EXPECT_THAT(notes_.warnings[1], HasSubstr("log.jsonl:22: invalid_utf8"));
  EXPECT_THAT(notes_.warnings[4], HasSubstr("log.jsonl:25: too_long"));
  EXPECT_THAT(notes_.warnings[5], HasSubstr("log.jsonl:26: not_json"));
  for (const auto& line : notes_.warnings) EXPECT_THAT(line, Not(HasSubstr("Wilhelmina")));
  expect_adds_up(*report);
}

TEST_F(ImporterTest, SkippedShareHasABound) {
  std::string log = "nothing\n";
  for (int i = 0; i < 99; ++i) log += record(fmt::format("{}", i)) + "\n";
  const auto path = write("log.jsonl", log);
  EXPECT_FALSE(import({path})->too_many_skipped) << "1 of 100 is no more than 1 %";
  EXPECT_TRUE(import({path}, {.max_skipped = 0.0})->too_many_skipped);
}

TEST_F(ImporterTest, WarningsHaveABound) {
  std::string log = record("good") + "\n";
  for (int i = 0; i < 50; ++i) log += "bad\n";
  ASSERT_TRUE(import({write("log.jsonl", log)}, {.n_warnings = 5}).has_value());
  ASSERT_EQ(notes_.warnings.size(), 6U);
  EXPECT_THAT(notes_.warnings[5], HasSubstr("45 further"));
}

TEST_F(ImporterTest, TenMegabyteLineIsRead) {
  const auto report = import({write("big.jsonl", record(std::string(10 << 20, 'x')) + "\n" + record("small") + "\n")});
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->n_added, 2);
  EXPECT_GT(store_.calls[0].body.size(), size_t{10} << 20);
}

TEST_F(ImporterTest, NothingToReadIsAnError) {
  const auto code = [&](const std::vector<std::string>& paths) { return import(paths).error().code; };
  EXPECT_EQ(code({write("empty.jsonl", "")}), ErrorCode::kBadInput);
  EXPECT_EQ(code({write("blank.jsonl", "\n \n")}), ErrorCode::kBadInput);
  EXPECT_EQ(code({write("none.json", "[]")}), ErrorCode::kBadInput);
  EXPECT_EQ(code({write("text.jsonl", "hello\nthere\n")}), ErrorCode::kBadInput);
  EXPECT_EQ(code({(dir_ / "missing.jsonl").string()}), ErrorCode::kUsage);
  EXPECT_EQ(code({(dir_ / "*.nothing").string()}), ErrorCode::kUsage);
  std::filesystem::create_directories(dir_ / "sub");
  EXPECT_EQ(code({(dir_ / "sub").string()}), ErrorCode::kBadInput);
  EXPECT_EQ(import({data("messages.jsonl")}, {.format = "klingon"}).error().code, ErrorCode::kUsage);
  EXPECT_TRUE(store_.calls.empty());
  const auto empty = import({write("empty.jsonl", "")});
  EXPECT_THAT(empty.error().message, HasSubstr("0 bytes"));
  EXPECT_FALSE(empty.error().hint.empty());
}

TEST_F(ImporterTest, CompressionsThatArentReadAreNamed) {
  const std::pair<const char*, std::string> kBegins[] = {{"bzip2", "BZh9"}, {"xz", std::string("\xfd\x37zXZ\0", 6)}};
  for (const auto& [name, begin] : kBegins) {
    const std::string path = write("log.jsonl", begin + record("a"));
    const auto file = import({path});
    ASSERT_FALSE(file.has_value());
    EXPECT_EQ(file.error().code, ErrorCode::kBadInput);
    EXPECT_EQ(file.error().message, path + " is " + name + "-compressed; decompress it first");
    EXPECT_EQ(file.error().hint, std::string(name) + " -dc " + path + " | slmconv collect -");
  }
  EXPECT_TRUE(store_.calls.empty());
}

TEST_F(ImporterTest, FoldersPatternsAndStandardInput) {
  write("logs/b.jsonl", record("b"));
  write("logs/deep/a.json", "[" + record("a") + "]");
  write("logs/notes.txt", "no log");
  const auto folder = (dir_ / "logs").string();
  const auto report = import({folder, folder + "/*.jsonl"});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->n_files, 2) << "a file named twice is read once";
  EXPECT_EQ(report->n_added, 2);
  EXPECT_EQ(notes_.total, record("b").size() + record("a").size() + 2);
  EXPECT_EQ(notes_.done, notes_.total);
  in_.str(record("c") + "\n" + record("d") + "\n");
  EXPECT_EQ(import({"-"})->n_added, 2);
}

TEST_F(ImporterTest, OneFileMayMixDialects) {
  const auto path =
      write("mixed.jsonl", record("x") + "\n" +
                               R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]})"
                               "\n");
  const auto report = import({path});
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->dialects.at("openai_chat").n_calls, 1);
  EXPECT_EQ(report->dialects.at("messages").n_calls, 1);
  EXPECT_EQ(import({path}, {.format = "messages"})->n_bad, 1);
}

TEST_F(ImporterTest, HumanFacingCallsCanBeLeftOut) {
  const auto report = import({data("tau_bench.json")}, {.no_hci = true});
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->n_hci, 3);
  EXPECT_EQ(report->dropped.at("human_facing"), 3);
  EXPECT_EQ(report->n_added, 1);
  expect_adds_up(*report);
}

TEST_F(ImporterTest, DryRunStoresNothing) {
  const auto report = import({data("tau_bench.json"), data("messages.jsonl")}, {}, true);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->n_calls, 11);
  EXPECT_TRUE(store_.calls.empty());
  expect_adds_up(*report);
}

TEST_F(ImporterTest, InterruptionKeepsWhatWasRead) {
  // Raises the flag while the third record is read, as a signal would.
  class Stopping final : public std::stringbuf {
   public:
    explicit Stopping(const std::string& text) : std::stringbuf(text) {}
    std::streamsize xsgetn(char* out, std::streamsize n) override {
      if (++n_reads_ == 3) interrupt_flag() = true;
      return std::stringbuf::xsgetn(out, n);
    }

   private:
    int n_reads_ = 0;
  };
  std::string log;
  for (int i = 0; i < 4000; ++i) log += record(fmt::format("{} {}", i, std::string(200, 'p'))) + "\n";
  Stopping buffer(log);
  std::istream in(&buffer);
  const auto report = import_logs({{"-", {}, 0}}, {}, {&store_, &notes_, &in});
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, ErrorCode::kInterrupted);
  EXPECT_THAT(report.error().message, HasSubstr(fmt::format("{} calls were stored", store_.calls.size())));
  EXPECT_GT(store_.calls.size(), 0U);
  EXPECT_LT(store_.calls.size(), 4000U);

  interrupt_flag() = false;
  const size_t n_before = store_.calls.size();
  const auto rest = import({write("log.jsonl", log)});
  ASSERT_TRUE(rest.has_value());
  EXPECT_EQ(rest->n_added + static_cast<int64_t>(n_before), 4000);
}

TEST_F(ImporterTest, ErrorsOfTheStoreEndTheImport) {
  store_.fail_adds = true;
  EXPECT_EQ(import({data("messages.jsonl")}).error().code, ErrorCode::kIo);
}

TEST_F(ImporterTest, SameLogSameBytes) {
  ASSERT_TRUE(import({data("messages.jsonl")}).has_value());
  MemoryStore second;
  const auto inputs = expand_inputs({data("messages.jsonl")});
  ASSERT_TRUE(import_logs(*inputs, {}, {&second, nullptr, nullptr}).has_value());
  ASSERT_EQ(store_.calls.size(), second.calls.size());
  for (size_t i = 0; i < second.calls.size(); ++i) {
    EXPECT_EQ(store_.calls[i].id, second.calls[i].id);
    EXPECT_EQ(store_.calls[i].meta, second.calls[i].meta);
    EXPECT_EQ(store_.calls[i].body, second.calls[i].body);
  }
}

TEST_F(ImporterTest, RealTrajectories) {
  const std::filesystem::path path =
      std::filesystem::path(SLM_SOURCE_DIR) / "../shared/data/agent-logs/tau-bench-airline-gpt4o.json";
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) GTEST_SKIP() << "no " << path;
  const auto report = import({path.string()});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->n_records, 200);
  EXPECT_EQ(report->n_added, 2454);
  EXPECT_EQ(report->n_hci, 1290);
  EXPECT_EQ(import({path.string()})->n_added, 0);
}

TEST(Occurrences, CountsLikeAMap) {
  Prng prng(3);
  Occurrences occurrences;
  std::map<uint64_t, uint64_t> expected;
  for (int i = 0; i < 50000; ++i) {
    const uint64_t key = 1 + prng.below(20000);
    EXPECT_EQ(occurrences.count(key), expected[key]++);
  }
  EXPECT_EQ(occurrences.count(1ULL << 60), 0U);
  occurrences.clear();
  EXPECT_EQ(occurrences.count(1), 0U);
}

}  // namespace
}  // namespace slm::collect
