// scrub as a curator uses it: the store's roles, exit codes, the summary, what must not be in any file afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "call/call.h"
#include "core/file.h"
#include "store/store.h"
#include "support/cli_run.h"

namespace slm::cli {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

constexpr const char* kLog =
    R"({"timestamp":"2026-03-02T08:00:00Z","workload_id":"router","client_id":"c1","session_id":"s1","request":{"model":"m","messages":[{"role":"system","content":"Route."},{"role":"user","content":"My name is Orla Thistlewick, mail orla.t@brook.example.com, call 0113 496 0123."}]},"response":{"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"account"},"finish_reason":"stop"}]}}
{"timestamp":"2026-03-02T08:00:05Z","workload_id":"router","client_id":"c1","session_id":"s1","request":{"model":"m","messages":[{"role":"system","content":"Route."},{"role":"user","content":"This is Orla again: is version 1.2.3.4 of the lamp in stock?"}]},"response":{"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"stock"},"finish_reason":"stop"}]}}
{"timestamp":"2026-03-02T08:01:00Z","workload_id":"router","client_id":"c2","session_id":"s2","request":{"model":"m","messages":[{"role":"system","content":"Route."},{"role":"user","content":"Where is the parcel?"}]},"response":{"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}]}}
)";

class ScrubCliTest : public testing::Test {
 protected:
  void SetUp() override {
    unsetenv("SLMCONV_STORE");
    unsetenv("SLMCONV_IDENTITY");
    interrupt_flag() = false;
    dir_ = fs::temp_directory_path() / ("slm_scrub_cli_test_" + std::to_string(getpid()));
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    setenv("XDG_STATE_HOME", (dir_ / "state").c_str(), 1);
    random_ = seeded_random(12);
    clock_ = fixed_clock(1772438400000, 1);
    store::InitOptions init;
    init.keys_dir = dir_ / "keys";
    init.random = random_.get();
    init.clock = clock_.get();
    const auto made = store::init_store(dir_ / "store", init);
    ASSERT_TRUE(made.has_value()) << made.error().message;
    std::ofstream(dir_ / "log.jsonl") << kLog;
  }
  void TearDown() override { fs::remove_all(dir_); }
  Ran slm(std::vector<std::string> args, const std::string& input = {}) {
    args.insert(args.begin(), {"--json", "--store", (dir_ / "store").string(), "--identity", (dir_ / "keys").string()});
    return run_cli(args, input);
  }
  void collect() { ASSERT_EQ(slm({"collect", (dir_ / "log.jsonl").string()}).rc, 0); }
  std::string write(const std::string& name, std::string_view text) {
    std::ofstream(dir_ / name) << text;
    return (dir_ / name).string();
  }
  std::vector<Call> curated() {
    store::OpenOptions open;
    open.identity = dir_ / "keys";
    open.role = store::Role::kTrainer;
    open.random = random_.get();
    open.clock = clock_.get();
    const auto store = store::Store::open(dir_ / "store", open);
    EXPECT_TRUE(store) << store.error().message;
    std::vector<Call> out;
    const auto take = [&](store::StoredCall& stored) -> Result<bool> {
      Call call;
      call.meta = *call_meta_from_json(*parse_json(stored.meta));
      call.body = *call_body_from_json(*parse_json(stored.body));
      out.push_back(std::move(call));
      return true;
    };
    EXPECT_TRUE((*store)->scan(store::Store::Space::kCurated, {.body = true, .purpose = "test"}, take));
    return out;
  }
  static int64_t number(const json::object& object, std::string_view key) { return get_int(object, key).value_or(-1); }

  fs::path dir_;
  std::unique_ptr<Random> random_;
  std::unique_ptr<Clock> clock_;
};

TEST_F(ScrubCliTest, CuratesOnceAndTheTrainerReadsIt) {
  collect();
  const Ran first = slm({"scrub"});
  ASSERT_EQ(first.rc, 0) << first.out << first.err;
  const json::object summary = first.last();
  EXPECT_EQ(get_string(summary, "command"), "scrub");
  EXPECT_EQ(number(summary, "n_in"), 3);
  EXPECT_EQ(number(summary, "n_out"), 2);
  EXPECT_EQ(json::serialize(summary.at("dropped")), R"({"empty":1})");
  EXPECT_TRUE(summary.at("changed").as_bool());
  const auto calls = curated();
  ASSERT_EQ(calls.size(), 2u);
  std::string all;
  for (const Call& call : calls) all += json::serialize(to_json(call.body)) + json::serialize(to_json(call.meta));
  for (const char* secret : {"Orla", "orla", "Thistlewick", "brook", "0113 496"})
    EXPECT_THAT(all, Not(HasSubstr(secret)));
  EXPECT_THAT(all, HasSubstr("version 1.2.3.4 of the lamp"));
  EXPECT_EQ(calls[0].meta.split, calls[1].meta.split);

  const Ran second = slm({"scrub"});
  EXPECT_EQ(second.rc, 0);
  EXPECT_FALSE(second.last().at("changed").as_bool());
  EXPECT_EQ(curated().size(), 2u);
}

TEST_F(ScrubCliTest, NoFileHoldsTheText) {
  collect();
  ASSERT_EQ(slm({"scrub"}).rc, 0);
  for (const auto& entry : fs::recursive_directory_iterator(dir_ / "store")) {
    if (!entry.is_regular_file()) continue;
    const std::string bytes = *read_file(entry.path());
    for (const char* text : {"Thistlewick", "brook.example", "0113 496", "lamp in stock", "Route."})
      EXPECT_EQ(bytes.find(text), std::string::npos) << entry.path() << " holds " << text;
  }
}

TEST_F(ScrubCliTest, OtherRolesFailWith12) {
  collect();
  for (const char* role : {"collector.key", "trainer.key", "auditor.key", "admin.key"}) {
    const Ran ran = run_cli(
        {"--json", "--store", (dir_ / "store").string(), "--identity", (dir_ / "keys" / role).string(), "scrub"});
    EXPECT_EQ(ran.rc, 12) << role << ran.out;
  }
  EXPECT_TRUE(curated().empty());
}

TEST_F(ScrubCliTest, GateMetAndNot) {
  collect();
  const std::string key =
      write("key.jsonl",
            "{\"type\":\"email\",\"value\":\"orla.t@brook.example.com\"}\n{\"type\":\"person\",\"value\":\"Orla "
            "Thistlewick\"}\n"
            "{\"type\":\"phone\",\"value\":\"0113 496 0123\"}\n{\"type\":\"decoy\",\"value\":\"1.2.3.4\"}\n");
  const std::string rules = write("rules.toml", "[types]\nphone = 'none'\n");
  const Ran failed = slm({"scrub", "--answer-key", key, "--rules", rules});
  EXPECT_EQ(failed.rc, 31) << failed.out;
  EXPECT_THAT(failed.out, HasSubstr("phone recall 0.000"));
  EXPECT_TRUE(curated().empty());
  const Ran met = slm({"scrub", "--answer-key", key});
  EXPECT_EQ(met.rc, 0) << met.out;
  int rows = 0;
  for (const json::value& line : met.lines())
    if (get_string(line.as_object(), "message_type") == "result") {
      ++rows;
      EXPECT_TRUE(line.at("met").as_bool());
      EXPECT_EQ(number(line.as_object(), "left"), 0);
    }
  EXPECT_EQ(rows, 4);
}

TEST_F(ScrubCliTest, SaysWhatItCouldNotLookInto) {
  const auto call = [](std::string_view content) {
    return R"({"request":{"model":"m","messages":[{"role":"user","content":)" + std::string(content) +
           R"(}]},"response":{"choices":[{"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}})" +
           "\n";
  };
  write("log.jsonl",
        call(R"([{"type":"file","file":{"file_data":"data:text/plain;base64,T3JsYSBUaGlzdGxld2ljaw=="}}])") +
            call("\"mail orla@brook.example.com\"") + call("\"" + std::string(64, 'a') + "!\""));
  collect();
  const std::string rules = write("rules.toml", "[[rule]]\nname = 'slow'\npattern = '(?:(?:a+)+)+$'\n");
  const std::string key = write("key.jsonl",
                                "{\"type\":\"email\",\"value\":\"orla@brook.example.com\"}\n"
                                "{\"type\":\"person\",\"value\":\"Al\"}\n");
  const Ran ran = slm({"scrub", "--rules", rules, "--answer-key", key});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  const json::object summary = ran.last();
  EXPECT_EQ(number(summary, "n_in"), 3);
  EXPECT_EQ(number(summary, "n_out"), 2);
  EXPECT_EQ(json::serialize(summary.at("dropped")), R"({"not_scanned":1})");
  EXPECT_EQ(number(summary, "n_files"), 1);
  EXPECT_EQ(number(summary, "n_unmeasured"), 1);
  EXPECT_THAT(ran.out, HasSubstr("encoded files were taken out"));
  EXPECT_THAT(ran.out, HasSubstr("too short to be looked for"));
  for (const Call& stored : curated())
    EXPECT_THAT(json::serialize(to_json(stored.body)), Not(HasSubstr("T3JsYSBUaGlz")));
}

TEST_F(ScrubCliTest, BadInputHasItsExitCode) {
  EXPECT_EQ(slm({"scrub", "--validation", "1.5"}).rc, 2);
  EXPECT_EQ(slm({"scrub", "--no-such-flag"}).rc, 2);
  EXPECT_EQ(slm({"scrub", "--rules", write("bad.toml", "[types]\nmail = 'mask'\n")}).rc, 20);
  const Ran pattern = slm({"scrub", "--rules", write("bad2.toml", "[[rule]]\nname='a'\npattern='a('\n")});
  EXPECT_EQ(pattern.rc, 20);
  EXPECT_THAT(pattern.out, HasSubstr("at character 2 of 2"));
  EXPECT_EQ(slm({"scrub", "--rules", "/nonexistent.toml"}).rc, 2);
  EXPECT_EQ(slm({"scrub", "--answer-key", write("key.jsonl", "nonsense\n")}).rc, 20);
  EXPECT_EQ(run_cli({"--json", "--store", (dir_ / "nowhere").string(), "scrub"}).rc, 10);
  const Ran empty = slm({"scrub"});
  EXPECT_EQ(empty.rc, 0);
  EXPECT_FALSE(empty.last().at("changed").as_bool());
}

TEST_F(ScrubCliTest, TryShowsAndStoresNothing) {
  const std::string text = "Dear Orla Thistlewick,\nmail orla@brook.example.com. Orla knows.";
  const Ran json = run_cli({"--json", "scrub", "--try", "-"}, text);
  ASSERT_EQ(json.rc, 0) << json.out;
  EXPECT_EQ(get_string(json.last(), "text"), "Dear [PERSON],\nmail [EMAIL]. [PERSON] knows.");
  std::vector<std::string> spans;
  for (const json::value& line : json.lines())
    if (get_string(line.as_object(), "message_type") == "result")
      spans.push_back(
          text.substr(static_cast<size_t>(number(line.as_object(), "begin")),
                      static_cast<size_t>(number(line.as_object(), "end") - number(line.as_object(), "begin"))));
  EXPECT_EQ(spans, (std::vector<std::string>{"Orla Thistlewick", "orla@brook.example.com", "Orla"}));
  EXPECT_THAT(json.out, Not(HasSubstr("brook.example.com")));
  const Ran people = run_cli({"scrub", "--try", write("t.txt", text)});
  EXPECT_EQ(people.rc, 0);
  EXPECT_THAT(people.out, HasSubstr("Dear [PERSON],"));
  EXPECT_THAT(people.out + people.err, HasSubstr("3 values found"));
  EXPECT_EQ(run_cli({"scrub", "--try", "-"}, "bad \xff bytes").rc, 20);
  EXPECT_EQ(run_cli({"scrub", "--try", "/nonexistent"}).rc, 2);
}

}  // namespace
}  // namespace slm::cli
