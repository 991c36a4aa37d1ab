// The step over a store in memory with a real task map.
#include "select/select.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "cluster/cluster.h"
#include "model/test_model.h"
#include "schema/artifacts.h"
#include "select/registry.h"
#include "support/fake_store.h"

namespace slm::select {
namespace {

namespace fs = std::filesystem;

class Selecting : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / fmt::format("slmconv_select_{}", getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    fs::rename(model::make_model_dir("select"), dir_ / "weights");
    std::ofstream(dir_ / "weights" / "config.json")
        << R"({"model_type": "llama", "vocab_size": 448, "hidden_size": 16, "num_hidden_layers": 1, "eos_token_id": 2,
               "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 1024})";
    std::ofstream(dir_ / "weights" / "model.safetensors") << "weights";
  }
  void TearDown() override { fs::remove_all(dir_); }

  void cluster() {
    test::FakeStore store(dir_ / "store");
    for (int i = 0; i < 60; ++i) {
      Call call;
      call.meta.session = fmt::format("s{}", i);
      call.meta.split = i % 2 == 0 ? "train" : "test";
      call.meta.usage.n_in = 300, call.meta.usage.n_out = 100;
      call.body.messages = {json::object{{"role", "system"}, {"content", "Route the message to one department"}},
                            json::object{{"role", "user"}, {"content", fmt::format("message {} about a parcel", i)}}};
      call.body.choices = {
          json::object{{"message", {{"role", "assistant"}, {"content", i % 3 == 0 ? "billing" : "shipping"}}},
                       {"finish_reason", "stop"}}};
      store.add(std::move(call), store::Store::Space::kCurated);
    }
    cluster::ClusterOptions options;
    options.k = 1;
    options.clock = clock_.get();
    const auto made = cluster::run_cluster(store, options);
    ASSERT_TRUE(made) << made.error().message;
  }
  Result<SelectResult> select(SelectOptions options = {}) {
    if (options.memory_gb == 0) options.memory_gb = 8;
    return select_models(dir_ / "store", options, *clock_, null_progress());
  }

  fs::path dir_;
  std::unique_ptr<Clock> clock_ = fixed_clock(1'760'000'000'000, 5);
};

TEST_F(Selecting, NeedsATaskMap) { EXPECT_EQ(select().error().code, ErrorCode::kManifestMismatch); }

TEST_F(Selecting, ChoosesWhatIsHereAndStaysAsItIs) {
  cluster();
  auto first = select();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(first->changed);
  ASSERT_EQ(first->selection.tasks.size(), 1u);
  EXPECT_EQ(first->selection.tasks[0].chosen(), nullptr) << "no weights are here yet";
  EXPECT_GE(first->selection.tasks[0].context_needed, 400);
  EXPECT_FALSE(select()->changed);

  const auto model = inspect_local_model(dir_ / "weights", "mine", "");
  ASSERT_TRUE(model);
  ASSERT_TRUE(add_local_model(dir_ / "store", *model));
  const auto second = select();
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_TRUE(second->changed);
  const auto loaded = load_selection(dir_ / "store");
  ASSERT_TRUE(loaded) << loaded.error().message;
  const TaskCandidates* task = loaded->find(second->selection.tasks[0].task);
  ASSERT_TRUE(task && task->chosen());
  EXPECT_EQ(task->chosen()->model, "mine");
  EXPECT_EQ(task->chosen()->digest, model->digest);
  EXPECT_EQ(loaded->manifest.n_in, second->selection.manifest.n_in);

  // The folder lost its tokenizer since it was registered.
  fs::rename(dir_ / "weights" / "tokenizer.model", dir_ / "weights" / "tokenizer.tiktoken");
  const auto third = select();
  ASSERT_TRUE(third) << third.error().message;
  EXPECT_TRUE(third->changed);
  EXPECT_EQ(third->selection.tasks[0].chosen(), nullptr);
  EXPECT_GE(third->selection.manifest.dropped.at("tokenizer"), 1);
}

TEST_F(Selecting, MemoryThatMovesALittleIsTheSameMachine) {
  cluster();
  SelectOptions options;
  const auto changed = [&](double machine_gb) {
    options.machine_gb = machine_gb;
    const auto result = select_models(dir_ / "store", options, *clock_, null_progress());
    return result && result->changed;
  };
  EXPECT_TRUE(changed(25));
  EXPECT_FALSE(changed(25));
  EXPECT_FALSE(changed(24));
  EXPECT_FALSE(changed(27));
  EXPECT_TRUE(changed(12));
  options.memory_gb = 8;
  EXPECT_TRUE(changed(12)) << "asked for";
  EXPECT_FALSE(changed(64)) << "a budget that was asked for doesn't follow the machine";
}

TEST_F(Selecting, AFolderGivenByFlagNeedsNoRegistration) {
  cluster();
  SelectOptions options;
  options.models = {dir_ / "weights"};
  const auto made = select(options);
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_TRUE(made->selection.tasks[0].chosen());
  EXPECT_EQ(made->selection.tasks[0].chosen()->model, "weights");
  options.models = {dir_ / "nowhere"};
  EXPECT_EQ(select(options).error().code, ErrorCode::kIo);
}

TEST_F(Selecting, ADamagedListIsRefused) {
  cluster();
  const auto made = select();
  ASSERT_TRUE(made);
  const fs::path file = artifact_dir(dir_ / "store", kStep, made->selection.manifest.id) / "candidates.json";
  std::string text = read_file(file).value();
  const size_t at = text.find("context_needed");
  ASSERT_NE(at, std::string::npos);
  text.insert(text.find(':', at) + 2, "9");
  ASSERT_TRUE(write_file_atomic(file, text));
  EXPECT_EQ(load_selection(dir_ / "store").error().code, ErrorCode::kManifestMismatch);
}

}  // namespace
}  // namespace slm::select
