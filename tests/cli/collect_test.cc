// collect as a person and a cron job use it: exit codes, the summary line, warnings, what the store holds after.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "call/call.h"
#include "core/file.h"
#include "store/store.h"
#include "support/cli_run.h"

namespace slm::cli {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

class CollectTest : public testing::Test {
 protected:
  void SetUp() override {
    unsetenv("SLMCONV_STORE");
    unsetenv("SLMCONV_IDENTITY");
    interrupt_flag() = false;
    dir_ = fs::temp_directory_path() / ("slm_collect_test_" + std::to_string(getpid()));
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    setenv("XDG_STATE_HOME", (dir_ / "state").c_str(), 1);
    random_ = seeded_random(11);
    clock_ = fixed_clock(1772438400000, 1);
    store::InitOptions init;
    init.keys_dir = dir_ / "keys";
    init.random = random_.get();
    init.clock = clock_.get();
    const auto made = store::init_store(dir_ / "store", init);
    ASSERT_TRUE(made.has_value()) << made.error().message;
  }
  void TearDown() override {
    interrupt_flag() = false;
    fs::remove_all(dir_);
  }
  static std::string data(const std::string& name) { return std::string(SLM_SOURCE_DIR) + "/tests/data/call/" + name; }
  Ran collect(std::vector<std::string> args, const std::string& input = {}) {
    args.insert(args.begin(),
                {"--json", "--store", (dir_ / "store").string(), "--identity", (dir_ / "keys").string(), "collect"});
    return run_cli(args, input);
  }
  int64_t n_raw() { return store::Store::info(dir_ / "store").value().n_raw; }
  static int64_t number(const json::object& object, std::string_view key) { return get_int(object, key).value_or(-1); }

  fs::path dir_;
  std::unique_ptr<Random> random_;
  std::unique_ptr<Clock> clock_;
};

TEST_F(CollectTest, StoresCountsAndASecondTimeNothing) {
  const std::vector<std::string> logs = {data("openai_chat.jsonl"), data("messages.jsonl"), data("tau_bench.json")};
  const auto first = collect(logs);
  ASSERT_EQ(first.rc, 0) << first.out;
  const auto sum = first.last();
  EXPECT_EQ(get_string(sum, "message_type"), "summary");
  EXPECT_EQ(get_string(sum, "command"), "collect");
  EXPECT_EQ(number(sum, "n_in"), 23);
  EXPECT_EQ(number(sum, "n_out"), 22);
  EXPECT_EQ(number(*get_object(sum, "dropped"), "weight_0"), 1);
  EXPECT_EQ(number(*get_object(sum, "failed"), "refusal"), 2);
  EXPECT_EQ(number(sum, "n_human_facing"), 6);
  EXPECT_EQ(get_bool(sum, "changed"), true);
  EXPECT_EQ(n_raw(), 22);

  const auto second = collect(logs).last();
  EXPECT_EQ(number(second, "n_in"), 23);
  EXPECT_EQ(number(second, "n_out"), 0);
  EXPECT_EQ(number(*get_object(second, "dropped"), "already_stored"), 22);
  EXPECT_EQ(get_bool(second, "changed"), false);
  EXPECT_EQ(n_raw(), 22);
}

TEST_F(CollectTest, CuratorReadsBackWhatWasLogged) {
  ASSERT_EQ(collect({data("openai_chat.jsonl")}).rc, 0);
  store::OpenOptions open;
  open.identity = dir_ / "keys";
  open.role = store::Role::kCurator;
  open.write = true;
  open.random = random_.get();
  open.clock = clock_.get();
  auto store = store::Store::open(dir_ / "store", open);
  ASSERT_TRUE(store.has_value()) << store.error().message;
  int n = 0;
  std::set<std::string> sessions, sources;
  store::ScanOptions scan;
  scan.body = true;
  scan.purpose = "test";
  const auto status = (*store)->scan(store::Store::Space::kRaw, scan, [&](store::StoredCall& stored) -> Result<bool> {
    SLM_TRY(const auto meta_json, parse_json(stored.meta));
    SLM_TRY(const auto body_json, parse_json(stored.body));
    SLM_TRY(const auto meta, call_meta_from_json(meta_json));
    SLM_TRY(const auto body, call_body_from_json(body_json));
    EXPECT_EQ(meta.id, stored.id);
    EXPECT_FALSE(body.messages.empty());
    if (!meta.session.empty()) sessions.insert(meta.session);
    sources.insert(meta.source);
    for (const auto* planted : {"desk-7", "s-100", "mara.lindqvist", "203.0.113.9", "hashed-9"})
      EXPECT_THAT(stored.meta + stored.body, Not(HasSubstr(planted)));
    ++n;
    return true;
  });
  ASSERT_TRUE(status.has_value()) << status.error().message;
  EXPECT_EQ(n, 11);
  EXPECT_EQ(sessions.size(), 1U);
  EXPECT_EQ(sources.size(), 3U) << "two sources and none";
}

TEST_F(CollectTest, DryRunNeedsNoStoreAndStoresNothing) {
  const auto ran = run_cli({"--json", "collect", "--dry-run", data("openai_chat.jsonl"), data("tau_bench.json")});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  const auto sum = ran.last();
  EXPECT_EQ(number(sum, "n_calls"), 15);
  EXPECT_EQ(number(*get_object(sum, "dialects"), "tau_bench"), 4);
  EXPECT_EQ(number(*get_object(sum, "sites"), "route_message"), 1);
  EXPECT_EQ(number(*get_object(sum, "models"), "big-1"), 9);
  EXPECT_EQ(get_string(sum, "first"), "2026-03-02T08:00:00.000Z");
  EXPECT_EQ(get_bool(sum, "changed"), false);
  int n_rows = 0;
  for (const auto& line : ran.lines()) n_rows += get_string(line.as_object(), "message_type") == "result";
  EXPECT_EQ(n_rows, 4);
  EXPECT_EQ(n_raw(), 0);
  const auto text = run_cli({"collect", "--dry-run", data("openai_chat.jsonl")});
  EXPECT_THAT(text.out, HasSubstr("route_message"));
  EXPECT_THAT(text.out, HasSubstr("human-facing: 1"));
}

TEST_F(CollectTest, HumanFacingTurnsAreLeftOutOnRequest) {
  const auto sum = collect({"--no-hci", data("tau_bench.json")}).last();
  EXPECT_EQ(number(sum, "n_out"), 1);
  EXPECT_EQ(number(*get_object(sum, "dropped"), "human_facing"), 3);
}

TEST_F(CollectTest, StandardInput) {
  const auto text = read_file(data("messages.jsonl"));
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(number(collect({"-"}, *text).last(), "n_out"), 7);
}

TEST_F(CollectTest, TooManyBadLinesExitThreeAfterStoringTheRest) {
  const auto good = read_file(data("openai_chat.jsonl"));
  ASSERT_TRUE(good.has_value());
  ASSERT_TRUE(write_file_atomic(dir_ / "log.jsonl", *good + "{\"request\": Rosalind\ncaf\xe9\n"));
  const auto ran = collect({(dir_ / "log.jsonl").string()});
  EXPECT_EQ(ran.rc, 3);
  const auto sum = ran.last();
  EXPECT_EQ(number(sum, "n_out"), 11);
  EXPECT_EQ(number(sum, "n_unreadable"), 2);
  EXPECT_EQ(n_raw(), 11);
  EXPECT_THAT(ran.out, HasSubstr("log.jsonl:12: not_json"));
  EXPECT_THAT(ran.out, HasSubstr("log.jsonl:13: invalid_utf8"));
  EXPECT_THAT(ran.out + ran.err, Not(HasSubstr("Rosalind")));
  EXPECT_EQ(collect({"--max-skipped", "0.5", (dir_ / "log.jsonl").string()}).rc, 0);
}

TEST_F(CollectTest, TenMegabyteLine) {
  const std::string line = R"({"request":{"messages":[{"role":"user","content":")" + std::string(10 << 20, 'x') +
                           R"("}]},"response":{"choices":[{"message":{"role":"assistant","content":"ok"}}]}})"
                           "\n";
  EXPECT_EQ(number(collect({"-"}, line).last(), "n_out"), 1);
  const auto small = collect({"--max-line-bytes", "1048576", "--max-skipped", "1", "-"},
                             line + "{\"messages\":[]}\n" +
                                 R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]})"
                                 "\n");
  EXPECT_EQ(small.rc, 0);
  EXPECT_EQ(number(*get_object(small.last(), "dropped"), "too_long"), 1);
  EXPECT_THAT(small.out, HasSubstr("limit 1048576"));
}

TEST_F(CollectTest, EachMistakeHasItsExitCode) {
  ASSERT_TRUE(write_file_atomic(dir_ / "empty.jsonl", std::string_view("")));
  const auto empty = collect({(dir_ / "empty.jsonl").string()});
  EXPECT_EQ(empty.rc, 20);
  const auto lines = empty.lines();
  ASSERT_GE(lines.size(), 2U);
  const json::object error = lines[lines.size() - 2].as_object();  // the last line is the summary
  EXPECT_EQ(get_string(error, "message_type"), "error");
  EXPECT_THAT(get_string(error, "message"), HasSubstr("the log is empty"));
  EXPECT_FALSE(get_string(error, "hint").empty());
  EXPECT_EQ(collect({(dir_ / "missing.jsonl").string()}).rc, 2);
  EXPECT_EQ(collect({"--format", "klingon", data("messages.jsonl")}).rc, 2);
  EXPECT_EQ(collect({"--wobble", data("messages.jsonl")}).rc, 2);
  EXPECT_EQ(collect({"--max-skipped", "7", data("messages.jsonl")}).rc, 2);
  EXPECT_EQ(collect({}).rc, 2);
  // What belongs to another way to collect isn't passed over in silence.
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"--otlp", "127.0.0.1:0", "--on-store-failure", "spool"},
                                             {"--otlp", "127.0.0.1:0", "--listen", "127.0.0.1:0"},
                                             {"--otlp", "127.0.0.1:0", "--max-skipped", "1"},
                                             {"--listen", "127.0.0.1:0", "--otlp-hold", "3"},
                                             {"--listen", "127.0.0.1:0", data("messages.jsonl")},
                                             {"--upstream", "http://127.0.0.1:9", data("messages.jsonl")},
                                             {"--durability", "durable", data("messages.jsonl")},
                                             {"--otlp", "127.0.0.1:0", "--anchor", "a", "--anchor-command", "b"},
                                             {"--otlp", "127.0.0.1:0", "--anchor", (dir_ / "store/heads").string()}})
    EXPECT_EQ(collect(wrong).rc, 2) << wrong[2];
  EXPECT_EQ(run_cli({"collect", data("messages.jsonl")}).rc, 2);
  EXPECT_EQ(run_cli({"--store", (dir_ / "none").string(), "collect", data("messages.jsonl")}).rc, 10);
  EXPECT_EQ(run_cli({"--store", (dir_ / "store").string(), "--identity", (dir_ / "keys/trainer.key").string(),
                     "collect", data("messages.jsonl")})
                .rc,
            12);
  EXPECT_EQ(n_raw(), 0);
}

TEST_F(CollectTest, ATimestampThatIsNoneIsABadLine) {
  std::string good, log;
  for (int i = 0; i < 2; ++i) {
    const std::string talk =
        R"("messages":[{"role":"user","content":"a)" + std::to_string(i) + R"("},{"role":"assistant","content":"b"}]})";
    good += "{" + talk + "\n";  // none is fine
    log += std::string(R"({"timestamp":)") + (i == 0 ? R"("x",)" : "{},") + talk + "\n";
  }
  const auto ran = collect({"--max-skipped", "0.6", "-"}, good + log);
  EXPECT_EQ(ran.rc, 0) << ran.out;
  EXPECT_EQ(number(ran.last(), "n_unreadable"), 2);
  EXPECT_EQ(number(*get_object(ran.last(), "dropped"), "bad_timestamp"), 2);
  EXPECT_EQ(number(ran.last(), "n_out"), 2);
  EXPECT_THAT(ran.out, HasSubstr("-:3: bad_timestamp (as messages)"));
}

TEST_F(CollectTest, CompressedStandardInput) {
  const auto ran = collect({"-"}, "BZh91AY and so on");
  EXPECT_EQ(ran.rc, 20);
  EXPECT_THAT(ran.out, HasSubstr("standard input is bzip2-compressed"));
  EXPECT_THAT(ran.out, HasSubstr("bzip2 -dc | slmconv collect -"));
}

TEST_F(CollectTest, InterruptionExits130) {
  interrupt_flag() = true;
  const auto ran = collect({data("messages.jsonl")});
  EXPECT_EQ(ran.rc, 130);
  interrupt_flag() = false;
  EXPECT_EQ(collect({data("messages.jsonl")}).rc, 0);
  EXPECT_EQ(n_raw(), 7);
}

TEST_F(CollectTest, RealTrajectories) {
  const fs::path path = fs::path(SLM_SOURCE_DIR) / "../shared/data/agent-logs/tau-bench-airline-gpt4o.json";
  std::error_code ec;
  if (!fs::exists(path, ec)) GTEST_SKIP() << "no " << path;
  const auto sum = collect({path.string()}).last();
  EXPECT_EQ(number(sum, "n_records"), 200);
  EXPECT_EQ(number(sum, "n_out"), 2454);
  EXPECT_EQ(number(sum, "n_human_facing"), 1290);
  EXPECT_EQ(n_raw(), 2454);
  EXPECT_EQ(number(collect({path.string()}).last(), "n_out"), 0);
}

// The bundled log against its own answer key.
TEST_F(CollectTest, BundledSample) {
  const fs::path sample = fs::path(SLM_SOURCE_DIR) / "pipelines/quickstart";
  std::error_code ec;
  if (!fs::exists(sample / "sample_key.json", ec)) GTEST_SKIP() << "no " << sample;
  const auto key = read_json_file(sample / "sample_key.json");
  ASSERT_TRUE(key.has_value());
  const auto& kinds = key->at("by_kind").as_object();
  const auto ran = collect({(sample / "sample").string()});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  const auto sum = ran.last();
  EXPECT_EQ(number(sum, "n_calls"), number(key->as_object(), "calls"));
  // A line that the log holds twice is stored twice, unless its files part the two.
  const int64_t n_known = get_int(*get_object(sum, "dropped"), "already_stored").value_or(0);
  EXPECT_EQ(number(sum, "n_out") + n_known, number(sum, "n_calls"));
  EXPECT_LT(n_known, number(kinds, "resent"));
  EXPECT_EQ(number(sum, "n_human_facing"), number(kinds, "chat"));
  const auto& failed = *get_object(sum, "failed");
  for (const auto& [reason, kind] :
       {std::pair{"error", "error"}, {"refusal", "refusal"}, {"empty", "empty"}, {"length", "truncated"}})
    EXPECT_EQ(number(failed, reason), number(kinds, kind)) << kind;
}

}  // namespace
}  // namespace slm::cli
