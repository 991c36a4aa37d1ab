// The step as a whole, on a store in memory.
#include "cluster/cluster.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "cluster/map_impl.h"
#include "core/random.h"
#include "schema/artifacts.h"
#include "support/fake_store.h"

namespace slm::cluster {
namespace {

namespace fs = std::filesystem;
using Space = store::Store::Space;

struct Site {
  const char* name;
  const char* system;
};
constexpr Site kSites[] = {{"router", "Route the message to one queue: billing, shipping, or returns."},
                           {"order-fields", "Write the fields of the order as JSON and nothing else."},
                           {"notes", "Write a kind letter to the customer about what happened to them."},
                           {"stock", "Say whether the item is in stock, by the list that follows here."}};

Call make(size_t site, uint64_t n) {
  Prng prng(n * 31 + site);
  Call call;
  call.meta.session = fmt::format("ses_{}", n / 2);
  call.meta.site = n % 3 == 0 ? "" : kSites[site].name;
  call.meta.model = "gpt-4o-2024-08-06";
  call.meta.split = "train";
  call.meta.usage = {100, site == 2 ? 80 : 4, std::nullopt};
  const char* const words[] = {"parcel", "kettle", "garden", "window", "invoice", "letter", "driver", "number"};
  std::string user = "about";
  for (int i = 0; i < 9; ++i) (user += ' ') += words[prng.below(8)];
  user += fmt::format(" {}", n);
  std::string answer = site == 0   ? std::string(n % 2 == 0 ? "billing" : "shipping")
                       : site == 1 ? fmt::format("{{\"order\": {}}}", n)
                       : site == 3 ? std::string(n % 5 == 0 ? "yes" : "no")
                                   : std::string("Dear friend,");
  if (site == 2)
    for (int i = 0; i < 60; ++i) answer += fmt::format(" phrase{}", prng.below(5000));
  call.body.messages = {json::object{{"role", "system"}, {"content", kSites[site].system}},
                        json::object{{"role", "user"}, {"content", user}}};
  call.body.choices = {json::object{{"message", json::object{{"role", "assistant"}, {"content", answer}}}}};
  return call;
}

class ClusterStep : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / fmt::format("slm_cluster_test_{}", getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_ / "artifacts/cluster");
    store_ = std::make_unique<test::FakeStore>(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  void fill(size_t n_sites, uint64_t n, uint64_t from = 0) {
    for (uint64_t i = from; i < from + n; ++i)
      for (size_t site = 0; site < n_sites; ++site) store_->add(make(site, i), Space::kCurated);
  }
  Result<ClusterResult> run(size_t k = 0) {
    options_.k = k;
    options_.clock = clock_.get();
    return run_cluster(*store_, options_);
  }
  std::string write(std::string_view name, std::string_view text) {
    EXPECT_TRUE(write_file_atomic(dir_ / name, text));
    return (dir_ / name).string();
  }

  fs::path dir_;
  std::unique_ptr<test::FakeStore> store_;
  std::unique_ptr<Clock> clock_ = system_clock();
  ClusterOptions options_;
};

TEST_F(ClusterStep, FindsSitesAndDescribesThem) {
  fill(4, 100);
  const auto result = run().value();
  EXPECT_TRUE(result.changed);
  ASSERT_EQ(result.tasks.size(), 4u);
  std::set<std::string> names;
  double calls = 0, tokens = 0, cost = 0;
  for (const auto& task : result.tasks) {
    names.insert(task.name);
    EXPECT_EQ(task.n_calls, 100);
    EXPECT_EQ(task.n_sessions, 50);
    EXPECT_EQ(task.model, "gpt-4o-2024-08-06");
    calls += task.call_share;
    tokens += task.token_share;
    cost += task.cost_share;
    const auto expected = task.name == "router" || task.name == "stock" ? score::TaskKind::kLabel
                          : task.name == "order-fields"                 ? score::TaskKind::kJson
                                                                        : score::TaskKind::kOpenText;
    EXPECT_EQ(task.kind, expected) << task.name;
    EXPECT_GT(task.cohesion, 0.5);
    if (task.name == "notes") {  // output tokens cost more
      EXPECT_GT(task.cost_share, task.token_share);
    }
  }
  EXPECT_EQ(names, (std::set<std::string>{"router", "order-fields", "notes", "stock"}));
  EXPECT_NEAR(calls, 1, 1e-5);
  EXPECT_NEAR(tokens, 1, 1e-5);
  EXPECT_NEAR(cost, 1, 1e-5);
  EXPECT_EQ(result.manifest.n_in, 400);
  EXPECT_EQ(result.manifest.n_out, 400);
}

TEST_F(ClusterStep, WhatIsStoredComesBackAndAssignsAlike) {
  fill(3, 60);
  const auto result = run(3).value();
  const auto loading = load_tasks(*store_);
  ASSERT_TRUE(loading) << loading.error().message;
  const auto& loaded = *loading;
  EXPECT_EQ(loaded.manifest.id, result.manifest.id);
  EXPECT_EQ(loaded.calls.size(), 180u);
  const auto calls = store_->read(Space::kCurated);
  std::set<std::string> used;
  for (size_t i = 0; i < calls.size(); ++i) {
    const auto assignment = loaded.map.assign(request_of(calls[i]));
    EXPECT_EQ(loaded.calls[i].id, calls[i].meta.id);
    EXPECT_EQ(assignment.task, loaded.map.tasks()[loaded.calls[i].task].id);
    EXPECT_EQ(assignment.outlier, loaded.calls[i].outlier);
    used.insert(assignment.task.value);
    Call other = calls[i];  // the answer says nothing
    other.body.choices = {};
    EXPECT_EQ(loaded.map.assign(request_of(other)).task, assignment.task);
  }
  EXPECT_EQ(used, (std::set<std::string>{"t01", "t02", "t03"}));
  EXPECT_EQ(task_list(dir_).value().size(), 3u);
  EXPECT_NE(loaded.map.find("t02"), nullptr);
  EXPECT_NE(loaded.map.find(loaded.map.tasks()[0].name), nullptr);
  EXPECT_EQ(loaded.map.find("t09"), nullptr);
  // A request unlike any: still one of the tasks, and an outlier.
  Call strange;
  strange.body.messages = {json::object{{"role", "user"}, {"content", "zzz qqq xyzzy"}}};
  EXPECT_TRUE(loaded.map.assign(request_of(strange)).outlier);
}

TEST_F(ClusterStep, SameInputsSameBytesForAnyNumberOfThreads) {
  fill(4, 50);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto one = run(6).value();
  fs::remove_all(dir_ / "artifacts");
  fs::create_directories(dir_ / "artifacts/cluster");
  omp_set_num_threads(3);
  const auto three = run(6).value();
  omp_set_num_threads(threads);
  EXPECT_EQ(one.manifest.outputs, three.manifest.outputs);
  EXPECT_EQ(one.manifest.id, three.manifest.id);
}

TEST_F(ClusterStep, NothingNewChangesNothing) {
  fill(2, 40);
  const auto first = run().value();
  const auto again = run().value();
  EXPECT_FALSE(again.changed);
  EXPECT_EQ(again.manifest.id, first.manifest.id);
  EXPECT_EQ(again.tasks.size(), first.tasks.size());
  fill(2, 1, 100);
  EXPECT_TRUE(run().value().changed);
}

TEST_F(ClusterStep, IdsArePermanent) {
  fill(3, 80);
  const auto before = run().value();
  fill(4, 80, 200);  // the old sites go on, a new one begins
  const auto after = run().value();
  ASSERT_EQ(after.tasks.size(), 4u);
  for (const auto& task : before.tasks) {
    const auto same =
        std::find_if(after.tasks.begin(), after.tasks.end(), [&](const auto& t) { return t.id == task.id; });
    ASSERT_NE(same, after.tasks.end());
    EXPECT_EQ(same->name, task.name);
    EXPECT_EQ(same->n_calls, 160);
  }
  EXPECT_EQ(after.tasks.back().id.value, "t04");
  EXPECT_EQ(after.tasks.back().name, "stock");
  const auto& lineage = after.manifest.summary.at("lineage").as_object();
  EXPECT_EQ(canonical_json(lineage.at("born")), "[\"t04\"]");
  EXPECT_TRUE(lineage.at("retired").as_array().empty());
  // Fewer tasks: some are merged away; asking for more again doesn't use their numbers.
  const auto two = run(2).value();
  EXPECT_EQ(two.tasks.size(), 2u);
  const auto five = run(5).value();
  std::set<std::string> ids;
  for (const auto& task : five.tasks) ids.insert(task.id.value);
  EXPECT_EQ(ids.size(), 5u);
  for (const auto& task : five.tasks) {
    const bool kept = task.id == two.tasks[0].id || task.id == two.tasks[1].id;
    EXPECT_TRUE(kept || task.id.value >= "t05") << task.id.value;
  }
}

TEST_F(ClusterStep, FailedAndHumanFacingCallsStayOut) {
  fill(2, 40);
  for (uint64_t i = 0; i < 10; ++i) {
    Call failed = make(0, 1000 + i), human = make(1, 2000 + i);
    failed.meta.flags.failed = true;
    human.meta.flags.hci = true;
    store_->add(failed, Space::kCurated);
    store_->add(human, Space::kCurated);
  }
  const auto result = run().value();
  EXPECT_EQ(result.manifest.n_in, 100);
  EXPECT_EQ(result.manifest.n_out, 80);
  EXPECT_EQ(result.manifest.dropped, (std::map<std::string, int64_t>{{"failed", 10}, {"human_facing", 10}}));
  options_.with_hci = true;
  EXPECT_EQ(run().value().manifest.n_out, 90);
}

TEST_F(ClusterStep, APersonNamesMergesAndExcludes) {
  fill(4, 60);
  const auto found = run().value();
  const auto a = found.tasks[0].id.value, b = found.tasks[1].id.value, c = found.tasks[2].id.value;
  options_.tasks_file =
      write("tasks.toml", fmt::format("[{}]\nname = \"front-desk\"\nexclude = true\n[{}]\nmerge = \"{}\"\n", a, b, c));
  const auto ruled = run().value();
  EXPECT_TRUE(ruled.changed);
  ASSERT_EQ(ruled.tasks.size(), 3u);
  EXPECT_EQ(ruled.tasks[0].name, "front-desk");
  EXPECT_TRUE(ruled.tasks[0].excluded);
  EXPECT_EQ(ruled.tasks[1].id.value, c);
  EXPECT_EQ(ruled.tasks[1].n_calls, 120);
  EXPECT_FALSE(run().value().changed);
  // The rules hold over a refit, and without them the merged task is back under its own id.
  options_.tasks_file.reset();
  const auto back = run().value();
  ASSERT_EQ(back.tasks.size(), 4u);
  EXPECT_EQ(back.tasks[1].id.value, b);
}

TEST_F(ClusterStep, BadInputs) {
  EXPECT_EQ(run().error().code, ErrorCode::kBadInput);
  EXPECT_EQ(run().error().hint, "slmconv scrub");
  fill(1, 5);
  const auto error = run(6).error();
  EXPECT_EQ(error.code, ErrorCode::kBadInput);
  EXPECT_NE(error.message.find('6'), std::string::npos);
  EXPECT_NE(error.message.find('5'), std::string::npos);
  EXPECT_FALSE(current_artifact(dir_, "cluster"));
  EXPECT_TRUE(fs::is_empty(dir_ / "artifacts/cluster"));
  EXPECT_EQ(run(100'000).error().code, ErrorCode::kUsage);
  options_.tasks_file = write("tasks.toml", "[t01]\nnope = 1\n");
  EXPECT_EQ(run().error().code, ErrorCode::kBadInput);
}

TEST_F(ClusterStep, AnInterruptLeavesTheEarlierMap) {
  fill(2, 40);
  const auto first = run().value();
  fill(2, 10, 500);
  interrupt_flag() = true;
  const auto stopped = run();
  interrupt_flag() = false;
  EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
  EXPECT_EQ(*current_artifact(dir_, "cluster"), first.manifest.id);
}

// Sets the interrupt flag when the fit begins, and keeps what was begun.
class InterruptWhenFitting final : public Progress {
 public:
  void start(std::string_view label, uint64_t) override { begun.emplace_back(label); }
  void advance(uint64_t, std::string_view) override {}
  void finish() override {}
  void note(std::string_view line) override {
    if (line.starts_with("fitting")) interrupt_flag() = true;
  }
  void warn(std::string_view) override {}
  std::vector<std::string> begun;
};

TEST_F(ClusterStep, AnInterruptEndsTheFit) {
  fill(3, 60);
  for (const size_t k : {0, 5}) {
    InterruptWhenFitting progress;
    options_.progress = &progress;
    const auto stopped = run(k);
    interrupt_flag() = false;
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
    EXPECT_EQ(progress.begun, (std::vector<std::string>{"sampling calls"})) << "it ended later than in the fit";
    EXPECT_TRUE(fs::is_empty(dir_ / "artifacts/cluster"));
  }
  options_.progress = &null_progress();
}

TEST_F(ClusterStep, AMapThatCannotBeReadIsNoDeadEnd) {
  fill(3, 60);
  const auto first = run().value();
  const auto damage = [&](std::string_view id) {
    ASSERT_TRUE(write_file_atomic(artifact_dir(dir_, "cluster", id) / kMapFile, std::string("rubbish")));
  };
  damage(first.manifest.id);
  options_.anew = true;  // the same calls: still not "nothing new"
  const auto second = run().value();
  options_.anew = false;
  EXPECT_TRUE(second.changed);
  std::vector<std::string> ids;
  for (const auto& task : second.tasks) ids.push_back(task.id.value);
  EXPECT_EQ(ids, (std::vector<std::string>{"t04", "t05", "t06"}));
  ASSERT_TRUE(load_tasks(*store_));

  fill(3, 10, 300);
  damage(second.manifest.id);
  const auto refused = run();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kIntegrity);
  EXPECT_NE(refused.error().hint.find("slmconv cluster --anew"), std::string::npos) << refused.error().hint;
  EXPECT_EQ(*current_artifact(dir_, "cluster"), second.manifest.id);
  // The manifest is lost too: numbers go on from what other files know, here an adapter's pointer.
  ASSERT_TRUE(write_file_atomic(artifact_dir(dir_, "cluster", second.manifest.id) / "manifest.json", std::string("{")));
  ASSERT_TRUE(set_current(dir_, "finetune", "0123456789abcdef", "t08"));
  options_.anew = true;
  const auto third = run().value();
  EXPECT_EQ(third.tasks.front().id.value, "t09");
  // One that can be read is kept: the flag forces nothing.
  EXPECT_FALSE(run().value().changed);
  fill(3, 10, 400);
  const auto fourth = run().value();
  EXPECT_EQ(fourth.tasks.front().id.value, "t09");
}

TEST_F(ClusterStep, ANewerMapNamesBothWaysOut) {
  fill(2, 40);
  auto manifest = run().value().manifest;
  const auto path = artifact_dir(dir_, "cluster", manifest.id) / kMapFile;
  auto text = read_file(path).value();
  text[4] = 9;
  ASSERT_TRUE(write_file_atomic(path, text));
  manifest.outputs[std::string(kMapFile)] = to_hex(sha256(as_bytes(text)));
  ASSERT_TRUE(write_manifest(path.parent_path(), manifest));
  fill(2, 10, 300);
  const auto refused = run();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFormatTooNew);
  EXPECT_NE(refused.error().hint.find("slmconv cluster --anew"), std::string::npos) << refused.error().hint;
  options_.anew = true;
  EXPECT_EQ(run().value().tasks.front().id.value, "t03");
}

TEST_F(ClusterStep, ASampleStandsForAll) {
  fill(3, 300);
  options_.n_sample = 150;
  const auto result = run().value();
  ASSERT_EQ(result.tasks.size(), 3u);
  for (const auto& task : result.tasks) EXPECT_EQ(task.n_calls, 300);
  EXPECT_EQ(get_int(result.manifest.summary, "n_sample"), 150);
}

TEST_F(ClusterStep, DamagedMapsAreRefused) {
  fill(2, 40);
  const auto id = run().value().manifest.id;
  const auto path = artifact_dir(dir_, "cluster", id) / kMapFile;
  const auto text = read_file(path).value();
  const auto bytes = Bytes(text.begin(), text.end());
  EXPECT_TRUE(TaskMap::parse(bytes));
  for (size_t cut = 0; cut < bytes.size(); cut += 1 + bytes.size() / 200)
    EXPECT_FALSE(TaskMap::parse(ByteSpan(bytes).first(cut))) << cut;
  Bytes newer = bytes;
  newer[4] = 9;
  EXPECT_EQ(TaskMap::parse(newer).error().code, ErrorCode::kFormatTooNew);
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_FALSE(TaskMap::parse(longer));
  EXPECT_TRUE(write_file_atomic(path, ByteSpan(newer)));
  EXPECT_EQ(load_tasks(*store_).error().code, ErrorCode::kIntegrity);

  const Bytes calls = serialise_calls({{CallId{}, 1, true}, {CallId{}, 0, false}});
  EXPECT_EQ(parse_calls(calls, 2).value().size(), 2u);
  EXPECT_TRUE(parse_calls(calls, 2).value()[0].outlier);
  EXPECT_EQ(parse_calls(calls, 1).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(parse_calls(ByteSpan(calls).first(calls.size() - 1), 2).error().code, ErrorCode::kBadInput);
}

}  // namespace
}  // namespace slm::cluster
