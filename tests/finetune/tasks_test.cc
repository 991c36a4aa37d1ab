// Choosing tasks and examples: what is left out and counted, what --all takes, what a dry run shows of the mask.
#include "finetune/tasks.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "call/logprobs.h"
#include "cluster/cluster.h"
#include "core/file.h"
#include "core/random.h"
#include "model/codec.h"
#include "model/test_model.h"
#include "nn/export.h"
#include "support/fake_store.h"

namespace slm::finetune {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

// Refuses two messages of the same role in a row, as many published templates do.
const std::string kStrictTemplate = std::string(
                                        "{%- set seen = namespace(role='') -%}{%- for m in messages -%}"
                                        "{%- if m.role == seen.role -%}{{- raise_exception('roles must alternate') -}}"
                                        "{%- endif -%}{%- set seen.role = m.role -%}{%- endfor -%}") +
                                    model::kChatTemplate;

class Notes final : public Progress {
 public:
  void start(std::string_view, uint64_t) override {}
  void advance(uint64_t, std::string_view) override {}
  void finish() override {}
  void note(std::string_view line) override { lines.emplace_back(line); }
  void warn(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

Call make(std::string_view system, std::string_view user, std::string_view answer, int i) {
  Call call;
  call.meta.session = fmt::format("{}-{}", system.substr(0, 8), i);
  call.meta.model = "gpt-4o";
  call.meta.split = i % 10 == 0 ? "validation" : i % 10 <= 3 ? "test" : "train";
  call.body.messages = {json::object{{"role", "system"}, {"content", system}},
                        json::object{{"role", "user"}, {"content", user}}};
  call.body.choices = {json::object{{"message", json::object{{"role", "assistant"}, {"content", answer}}}}};
  return call;
}

class FinetuneTasks : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = scratch_dir("finetune_tasks");
    fs::create_directories(dir_ / "artifacts/cluster");
    store_ = std::make_unique<test::FakeStore>(dir_);
    base_ = model::make_model_dir("finetune_tasks_base", kStrictTemplate);
    model::write_random_weights(base_, 5);
  }
  void TearDown() override {
    fs::remove_all(dir_);
    fs::remove_all(base_);
  }

  // 40 calls of a router; every `double_every`-th has two messages of the user in a row (0: none).
  void add_router(int double_every) {
    for (int i = 0; i < 40; ++i) {
      Call call = make(kRouter, fmt::format("{} case {}", i % 2 ? "parcel late" : "bill wrong", i),
                       i % 2 ? "shipping" : "billing", i);
      if (double_every > 0 && i % double_every == 0)
        call.body.messages.push_back(json::object{{"role", "user"}, {"content", "are you there"}});
      add(std::move(call));
    }
  }
  void add(Call call) { store_->add(std::move(call), store::Store::Space::kCurated); }
  void cluster() {
    cluster::ClusterOptions options;
    options.clock = clock_.get();
    const auto result = cluster::run_cluster(*store_, options);
    ASSERT_TRUE(result) << result.error().message;
    for (const auto& task : result->tasks) kinds_[task.id.value] = task.kind;
  }
  TaskSettings settings() const {
    TaskSettings out;
    out.base = base_;
    out.lora.rank = 2;
    out.dtype = nn::DType::kFloat32;
    return out;
  }
  Result<std::vector<TaskPlan>> plan(const TaskSettings& settings) {
    return plan_tasks({*store_, *clock_, notes_}, {{}, true}, settings);
  }

  static constexpr std::string_view kRouter = "Route the message: answer shipping or billing and no more.";
  fs::path dir_, base_;
  std::unique_ptr<test::FakeStore> store_;
  std::unique_ptr<Clock> clock_ = system_clock();
  Notes notes_;
  std::map<std::string, score::TaskKind> kinds_;
};

TEST_F(FinetuneTasks, ASessionsCallsStayInOneStepUnlessShuffled) {
  for (int i = 0; i < 40; ++i) {
    Call call = make(kRouter, fmt::format("{} case {}", i % 2 ? "parcel late" : "bill wrong", i),
                     i % 2 ? "shipping" : "billing", i);
    call.meta.session = fmt::format("session {}", i / 4);
    call.meta.split = i / 4 == 0 ? "validation" : i / 4 == 1 ? "test" : "train";
    add(std::move(call));
  }
  cluster();
  auto s = settings();
  s.batch = 6;
  s.epochs = 1;
  for (const bool shuffled : {false, true}) {
    s.shuffle_calls = shuffled;
    const auto plans = plan(s);
    ASSERT_TRUE(plans) << plans.error().message;
    EXPECT_EQ(plans->front().n_examples, 32);
    EXPECT_EQ(plans->front().n_steps, shuffled ? 6 : 8) << "a session of four a step, or six calls";
    EXPECT_GT(plans->front().sharing, 1);
  }
}

TEST_F(FinetuneTasks, CallsThatTheTemplateRefusesAreLeftOutAndCounted) {
  add_router(4);  // 10 of 40; on the training side (i % 10 ≥ 4): 4, 8, 16, 24, 28, 36 of 24
  cluster();
  auto s = settings();
  s.max_steps = 2;
  const auto plans = plan(s);
  ASSERT_TRUE(plans) << plans.error().message;
  ASSERT_EQ(plans->size(), 1u);
  EXPECT_EQ(plans->front().n_examples, 18);
  EXPECT_THAT(plans->front().dropped, ElementsAre(std::pair("template_refuses", 6)));
  const auto trained = finetune_tasks({*store_, *clock_, notes_}, {{}, true}, s);
  ASSERT_TRUE(trained) << trained.error().message;
  EXPECT_EQ(trained->front().manifest.n_in, 24);
  EXPECT_EQ(trained->front().manifest.n_out, 18);
  EXPECT_THAT(trained->front().manifest.dropped, ElementsAre(std::pair("template_refuses", 6)));
}

// As many calls with logged probabilities as are asked for, on the student's own tokens; then on none of its tokens.
TEST_F(FinetuneTasks, LoggedProbabilitiesAreLearntFromWhereTheyCoverEnough) {
  const auto codec = model::Codec::open(base_).value();
  const auto add_calls = [&](int n_logged, bool fitting) {
    for (int i = 0; i < 40; ++i) {
      const std::string answer = i % 2 ? "shipping" : "billing";
      Call call = make(kRouter, fmt::format("{} case {}", i % 2 ? "parcel late" : "bill wrong", i), answer, i);
      const auto example =
          codec->encode_example({call.body.messages, {}}, call.body.choices[0].at("message").as_object());
      std::vector<LoggedToken> tokens;
      std::string text;
      for (size_t t = example->n_prompt; t < example->ids.size() && text != answer; ++t) {
        const std::string bytes = codec->vocabulary()->bytes_of(example->ids[t]);
        text += bytes;
        if (fitting) tokens.push_back({bytes, -0.5, {{bytes, -0.5}, {"a", -2}, {"no such token", -3}}});
      }
      ASSERT_EQ(text, answer) << "a token of the model puts a space before the answer";
      if (!fitting) tokens.push_back({answer, -0.5, {}});
      if (i < n_logged) call.body.choices[0].as_object()["logprobs"] = to_json(tokens);
      add(std::move(call));
    }
    cluster();
  };
  add_calls(40, true);
  auto s = settings();
  s.distil = Distil::kLogits;
  s.distil_share = 0.7;
  s.max_steps = 30;
  s.learning_rate = 1e-2;
  const auto plans = plan(s);
  ASSERT_TRUE(plans) << plans.error().message;
  EXPECT_GT(plans->front().coverage, 0.5);
  EXPECT_LT(plans->front().coverage, 1) << "nobody logs how a turn ends";
  EXPECT_THAT(notes_.lines, testing::Contains(HasSubstr("24 of 24 calls were logged with probabilities")));
  std::vector<double> losses;
  const TaskContext context{*store_, *clock_, notes_, [&](const json::object& line) {
                              if (const auto loss = get_number(line, "loss")) losses.push_back(*loss);
                            }};
  const auto trained = finetune_tasks(context, {{}, true}, s);
  ASSERT_TRUE(trained) << trained.error().message;
  EXPECT_LT(losses.back(), losses.front() - 0.5);
  const auto& manifest = trained->front().manifest;
  EXPECT_EQ(get_string(manifest.config, "distill"), "logged");
  EXPECT_EQ(get_number(manifest.summary, "coverage"), plans->front().coverage);

  for (const auto& [n, fitting] : {std::pair{0, true}, {4, true}, {40, false}}) {
    TearDown();
    SetUp();
    add_calls(n, fitting);
    const auto refused = plan(s);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupportedModel);
    EXPECT_THAT(refused.error().message, HasSubstr("at least 20 %"));
    EXPECT_THAT(refused.error().hint, HasSubstr("--distill sequence"));
  }
}

TEST_F(FinetuneTasks, NothingLeftSaysWhyWithTheCounts) {
  add_router(1);
  cluster();
  const auto plans = plan(settings());
  ASSERT_FALSE(plans);
  EXPECT_EQ(plans.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(plans.error().message, HasSubstr("24 on the training side: 24 template_refuses"));
  EXPECT_THAT(plans.error().hint, HasSubstr("--base"));
}

TEST_F(FinetuneTasks, OfAllATaskWithoutACallIsLeftOutAndCounted) {
  add_router(0);
  for (int i = 0; i < 40; ++i) {
    Call call = make("Name the season of the month that you are given in one word.", fmt::format("month {}", i % 12),
                     i % 2 ? "winter" : "summer", i);
    call.body.messages.push_back(json::object{{"role", "user"}, {"content", "are you there"}});
    add(std::move(call));
  }
  cluster();
  ASSERT_EQ(kinds_.size(), 2u);
  auto s = settings();
  s.max_steps = 1;
  const auto plans = plan(s);
  ASSERT_TRUE(plans) << plans.error().message;
  const auto trained = finetune_tasks({*store_, *clock_, notes_}, {{}, true}, s);
  ASSERT_TRUE(trained) << trained.error().message;
  ASSERT_EQ(plans->size(), 2u);
  ASSERT_EQ(trained->size(), 2u);
  const size_t left = plans->front().left_out ? 0 : 1;
  EXPECT_FALSE((*plans)[1 - left].left_out);
  EXPECT_EQ((*plans)[1 - left].n_examples, 24);
  EXPECT_THAT((*plans)[left].dropped, ElementsAre(std::pair("template_refuses", 24)));
  EXPECT_TRUE((*trained)[left].left_out);
  EXPECT_FALSE((*trained)[left].changed);
  EXPECT_EQ((*trained)[left].manifest.n_in, 24);
  EXPECT_EQ((*trained)[left].manifest.n_out, 0);
  EXPECT_TRUE((*trained)[1 - left].changed);
  ASSERT_EQ(notes_.lines.size(), 2u);
  EXPECT_THAT(notes_.lines.back(), HasSubstr("has no call to train on: 24 on the training side: 24 template_refuses; "
                                             "left out"));
  const auto named = finetune_tasks({*store_, *clock_, notes_}, {{(*plans)[left].task}, true}, s);
  ASSERT_FALSE(named) << "a task that was named isn't passed over";
  EXPECT_EQ(named.error().code, ErrorCode::kBadInput);
}

// One base for all tasks of a run: after the first task nothing of it is read from disk again, and no task finds
// anything of another's adapter in it.
TEST_F(FinetuneTasks, SeveralAdaptersOverOneBase) {
  add_router(0);
  for (int i = 0; i < 40; ++i)
    add(make("Name the season of the month that you are given in one word.", fmt::format("month {}", i % 12),
             i % 2 ? "winter" : "summer", i));
  cluster();
  ASSERT_EQ(kinds_.size(), 2u);
  auto s = settings();
  s.max_steps = 3;
  const fs::path weights = base_ / "model.safetensors", hidden = dir_ / "hidden";
  std::map<std::string, std::string> apart;
  for (const auto& [id, kind] : kinds_) {
    const auto one = finetune_tasks({*store_, *clock_, notes_}, {{id}, false}, s);
    ASSERT_TRUE(one) << one.error().message;
    apart[id] = one->front().manifest.id;
    fs::remove_all(dir_ / "artifacts/finetune");
  }
  const TaskContext context{*store_, *clock_, notes_, [&](const json::object&) {
                              if (fs::exists(weights)) fs::rename(weights, hidden);
                            }};
  const auto both = finetune_tasks(context, {{}, true}, s);
  ASSERT_TRUE(both) << both.error().message;
  ASSERT_EQ(both->size(), 2u);
  EXPECT_FALSE(fs::exists(weights));
  for (const auto& outcome : *both) EXPECT_EQ(outcome.manifest.id, apart[outcome.task]) << outcome.task;
}

// A budget between what a step takes with its layers computed again and what it takes with all activations held: the
// plan says so, training does so, and what is trained is the same.
TEST_F(FinetuneTasks, ABudgetThatActivationsDoNotFitInto) {
  add_router(0);
  cluster();
  // The base again, of more layers than one: that one is on its way back, all is held.
  std::string config = read_file(base_ / "config.json").value();
  config.replace(config.find("num_hidden_layers\":1"), 20, "num_hidden_layers\":6");
  ASSERT_TRUE(write_file_atomic(base_ / "config.json", config));
  const auto decoder = nn::Decoder::random(nn::read_config(base_).value(), 5, {at::kFloat, at::kCPU, true}).value();
  ASSERT_TRUE(write_file_atomic(base_ / "model.safetensors", nn::weight_file(decoder, nn::DType::kFloat32).value()));
  auto s = settings();
  s.max_steps = 3;
  std::vector<std::string> lines;
  const TaskContext context{*store_, *clock_, notes_, [&](const json::object& line) {
                              if (line.contains("recomputed")) lines.push_back(json::serialize(line));
                            }};
  const auto trained = [&]() -> std::string {
    const auto outcome = finetune_tasks(context, {{}, true}, s);
    EXPECT_TRUE(outcome) << outcome.error().message;
    std::string files;
    for (const auto& entry : fs::recursive_directory_iterator(dir_ / "artifacts/finetune"))
      if (entry.path().filename().string().find("safetensors") != std::string::npos)
        files += read_file(entry.path()).value();
    EXPECT_FALSE(files.empty());
    fs::remove_all(dir_ / "artifacts/finetune");
    return files;
  };
  const auto ample = plan(s).value().front();
  EXPECT_EQ(ample.recomputed, 0);
  EXPECT_EQ(ample.held_bytes, ample.memory_bytes);
  const std::string want = trained();
  EXPECT_TRUE(lines.empty());
  EXPECT_TRUE(notes_.lines.empty());

  s.memory_bytes = ample.held_bytes;
  EXPECT_EQ(plan(s).value().front().recomputed, 0) << "it fits";
  s.memory_bytes = ample.held_bytes - 1;
  const auto tight = plan(s).value().front();
  EXPECT_GT(tight.recomputed, 0);
  EXPECT_LE(tight.memory_bytes, s.memory_bytes);
  EXPECT_EQ(tight.held_bytes, ample.held_bytes);
  EXPECT_EQ(trained(), want);
  EXPECT_FALSE(lines.empty());
  ASSERT_EQ(notes_.lines.size(), 1u);
  EXPECT_THAT(notes_.lines[0], HasSubstr("layers are computed again on the way back"));

  const size_t n_before = lines.size();
  s.memory_bytes = 1;
  EXPECT_EQ(plan(s).value().front().recomputed, 1);
  EXPECT_EQ(trained(), want);
  EXPECT_EQ(lines.size(), n_before + 3) << "every step";
  EXPECT_THAT(notes_.lines.back(), HasSubstr("the budget is 0.00 GB: lower --batch-tokens"));
}

// The mask begins after the generation prompt and the end of the turn is trained: both can be seen.
TEST_F(FinetuneTasks, APlanShowsWhichTokensTrain) {
  add_router(0);
  cluster();
  const auto plans = plan(settings());
  ASSERT_TRUE(plans) << plans.error().message;
  const std::string& mask = plans->front().mask;
  EXPECT_THAT(mask, MatchesRegex("-[0-9]+: … <.im_start.> [0-9]+ <.im_end.> [0-9]+ <.im_start.> [0-9]+ "
                                 ". .[0-9]+: [0-9]+ <.im_end.>"));
  for (const char* word : {"parcel", "bill", "case", "shipping", "assistant"})
    EXPECT_THAT(mask, testing::Not(HasSubstr(word)));
}

TEST_F(FinetuneTasks, StepsAreWholeEpochs) {
  add_router(0);  // 24 examples
  cluster();
  auto s = settings();
  for (const auto& [batch, epochs, steps] : {std::tuple{16, 3.0, 6}, {8, 2.0, 6}, {100, 3.0, 3}, {5, 0.5, 3}}) {
    s.batch = batch;
    s.epochs = epochs;
    const auto plans = plan(s);
    ASSERT_TRUE(plans) << plans.error().message;
    EXPECT_EQ(plans->front().n_steps, steps) << batch;
  }
}

// "All" are the tasks that evaluate can give a verdict: what has its own measure, and text whose truth is kept.
TEST_F(FinetuneTasks, AllTakesWhatCanBeMeasured) {
  add_router(0);
  for (int i = 0; i < 40; ++i) {
    const std::string words = fmt::format("please send the blue kettle of shelf {} to room {} today", i, i * 7 % 40);
    add(make("Copy what is asked for without the word please at its begin.", words, words.substr(7), i));
    std::string letter;
    for (int word = 0; word < 45; ++word) letter += static_cast<char>('a' + (i * 7 + word * word) % 26), letter += ' ';
    for (const bool whole : {true, false}) {
      Call call = make(whole ? "Spell the letters that belong to this number of the list."
                             : "Write a poem of single letters about the number that follows.",
                       fmt::format("number {}", i), letter, i);
      if (whole || i % 4 != 1) call.body.truth = json::object{{"role", "assistant"}, {"content", letter}};
      call.meta.has_truth = !call.body.truth.is_null();
      add(std::move(call));
    }
  }
  cluster();
  ASSERT_EQ(kinds_.size(), 4u);
  std::multiset<score::TaskKind> kinds;
  for (const auto& [task, kind] : kinds_) kinds.insert(kind);
  ASSERT_EQ(kinds, (std::multiset<score::TaskKind>{score::TaskKind::kLabel, score::TaskKind::kShortText,
                                                   score::TaskKind::kOpenText, score::TaskKind::kOpenText}));
  auto s = settings();
  s.max_steps = 1;
  const auto plans = plan(s);
  ASSERT_TRUE(plans) << plans.error().message;
  std::multiset<score::TaskKind> taken;
  for (const auto& one : *plans) taken.insert(kinds_.at(one.task));
  EXPECT_EQ(taken, (std::multiset<score::TaskKind>{score::TaskKind::kLabel, score::TaskKind::kOpenText}));
  EXPECT_EQ(notes_.lines.size(), 2u);
  for (const auto& line : notes_.lines) EXPECT_THAT(line, HasSubstr("truth"));
}

}  // namespace
}  // namespace slm::finetune
