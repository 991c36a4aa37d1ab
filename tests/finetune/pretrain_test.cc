#include "finetune/pretrain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/file.h"
#include "finetune/corpus.h"
#include "nn/engine.h"

namespace slm::finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kTokenizer = fs::path(SLM_SOURCE_DIR) / "tests/data/tiny-tokenizer";

class PretrainTest : public ::testing::Test {
 protected:
  void SetUp() override {
    interrupt_flag() = false;
    dir = fs::path(::testing::TempDir()) / ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(dir);
    ASSERT_TRUE(make_dirs(dir));
    auto opened = text::Tokenizer::open(kTokenizer);
    ASSERT_TRUE(opened) << opened.error().message;
    tokenizer = std::move(*opened);
    const json::object config{{"architectures", json::array{"LlamaForCausalLM"}},
                              {"model_type", "llama"},
                              {"vocab_size", tokenizer->n_ids()},
                              {"hidden_size", 32},
                              {"num_hidden_layers", 2},
                              {"num_attention_heads", 2},
                              {"intermediate_size", 48},
                              {"max_position_embeddings", 128},
                              {"tie_word_embeddings", true},
                              {"eos_token_id", 2}};
    ASSERT_TRUE(write_file_atomic(dir / "config.json", json::serialize(config)));
    o.config = dir / "config.json";
    o.tokenizer = kTokenizer;
    o.out = dir / "out";
    o.corpora = {write_corpus("a.jsonl", 120)};
    o.n_steps = 8;
    o.batch_tokens = 256;
    o.micro_tokens = 128;
    o.length = 64;
    o.n_held_out = 20;
    o.warmup_steps = 2;
    o.save_every = 3;
    o.validate_every = 4;
    o.log_every = 1;
    o.compute = nn::DType::kFloat32;
    o.stored = nn::DType::kFloat32;
    o.threads = 1;
  }
  void TearDown() override { interrupt_flag() = false; }

  fs::path write_corpus(const std::string& name, int n) const {
    std::ofstream out(dir / name);
    for (int i = 0; i < n; ++i) {
      if (i % 5 == 0)
        out << R"({"text": "a parcel with )" << i << R"( books left"})"
            << "\n";
      else
        out << R"({"prompt": "order )" << i << R"( of the day", "completion": " find order )" << i << "\"}\n";
    }
    return dir / name;
  }

  fs::path dir;
  PretrainOptions o;
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::unique_ptr<Clock> clock = fixed_clock(0, 10);
};

TEST_F(PretrainTest, WritesAModelThatLoads) {
  const auto result = pretrain(o, *clock, null_progress());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->train.n_steps, 8);
  EXPECT_GT(result->train.best_loss, 0);
  auto engine = nn::Engine::load(o.out);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_TRUE(text::Tokenizer::open(o.out));
  EXPECT_TRUE(fs::exists(o.out / "generation_config.json"));
  EXPECT_FALSE(fs::exists(o.out / "checkpoint.safetensors"));
  const auto metrics = read_file(o.out / "metrics.jsonl").value();
  EXPECT_EQ(std::count(metrics.begin(), metrics.end(), '\n'), 8 + 2);
  EXPECT_THAT(metrics, HasSubstr("\"held_out_loss\""));
}

TEST_F(PretrainTest, InterruptedAndResumedIsTheSameModel) {
  ASSERT_TRUE(pretrain(o, *clock, null_progress()));
  const auto want = read_file(o.out / "model.safetensors").value();

  struct Interrupter final : Progress {
    void start(std::string_view, uint64_t) override {}
    void advance(uint64_t done, std::string_view) override {
      if (done == 5) interrupt_flag() = true;
    }
    void finish() override {}
    void note(std::string_view) override {}
    void warn(std::string_view) override {}
  } interrupter;
  o.out = dir / "again";
  const auto stopped = pretrain(o, *clock, interrupter);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
  EXPECT_THAT(stopped.error().hint, HasSubstr("--resume"));
  interrupt_flag() = false;
  o.resume = true;
  const auto result = pretrain(o, *clock, null_progress());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(read_file(o.out / "model.safetensors").value(), want);

  o.out = dir / "nothing_there";
  EXPECT_EQ(pretrain(o, *clock, null_progress()).error().code, ErrorCode::kIo);
}

TEST_F(PretrainTest, ChangedSettingsDoNotResume) {
  interrupt_flag() = true;
  ASSERT_FALSE(pretrain(o, *clock, null_progress()));
  interrupt_flag() = false;
  o.resume = true;
  const bool bf16 = o.compute == nn::DType::kBFloat16 || (o.compute == nn::DType::kAuto && nn::cpu_has_bf16());
  const std::pair<const char*, std::function<void(PretrainOptions&)>> changes[] = {
      {"length", [](auto& c) { c.length = 32; }},
      {"rate", [](auto& c) { c.rate *= 2; }},
      {"final rate", [](auto& c) { c.final_rate = 0.5; }},
      {"warm-up", [](auto& c) { c.warmup_steps += 1; }},
      {"weight decay", [](auto& c) { c.weight_decay = 0.2; }},
      {"type", [&](auto& c) { c.compute = bf16 ? nn::DType::kFloat32 : nn::DType::kBFloat16; }},
      {"seed", [](auto& c) { c.seed += 1; }},
      {"steps", [](auto& c) { c.n_steps += 1; }}};
  for (const auto& [what, change] : changes) {
    auto changed = o;
    change(changed);
    const auto result = pretrain(changed, *clock, null_progress());
    ASSERT_FALSE(result) << what;
    EXPECT_EQ(result.error().code, ErrorCode::kManifestMismatch) << what;
  }
  // What only says when to write and measure may change.
  o.save_every += 1;
  o.log_every += 1;
  EXPECT_TRUE(pretrain(o, *clock, null_progress()));
}

TEST_F(PretrainTest, TheSourceRepeatsItsCorporaAndReturnsToAPosition) {
  const CorpusOptions options{{o.corpora[0], write_corpus("b.jsonl", 50)}, 20, 64, 256, 128, 0.5, 1, 60};
  CorpusSource source(*tokenizer, options);
  std::vector<std::vector<nn::ForestBatch>> seen;
  std::vector<json::object> positions;
  for (int i = 0; i < 60; ++i) {
    positions.push_back(source.position());
    seen.push_back(source.next().value());
  }
  EXPECT_GE(get_int(positions.back(), "epoch").value(), 2);
  int64_t n_lines = 0;  // all of an epoch: 100 of the first file and 50 of the second
  for (size_t i = 0; i < seen.size() && get_int(positions[i + 1], "epoch").value() == 0; ++i)
    for (const auto& batch : seen[i])
      for (size_t j = 0; j < batch.ids.size(); ++j) n_lines += batch.positions[j] == 1 ? 1 : 0;
  EXPECT_GT(n_lines, 100);
  for (const size_t i : {0u, 7u, 33u, 59u}) {
    CorpusSource again(*tokenizer, options);
    ASSERT_TRUE(again.seek(positions[i]));
    const auto batches = again.next().value();
    ASSERT_EQ(batches.size(), seen[i].size());
    for (size_t b = 0; b < batches.size(); ++b) EXPECT_EQ(batches[b].ids, seen[i][b].ids);
  }
}

TEST_F(PretrainTest, HeldOutLinesAreNeverTrainedOn) {
  CorpusSource source(*tokenizer, {o.corpora, 120 - 3, 64, 64, 64, 1.0, 1, 4096});
  // Only the last three lines are left: 117, 118, 119.
  const auto batches = source.next().value();
  std::string all;
  for (const auto& batch : batches) all += tokenizer->decode(batch.ids);
  EXPECT_THAT(all, HasSubstr("119"));
  EXPECT_THAT(all, ::testing::Not(HasSubstr("116")));
}

TEST_F(PretrainTest, LinesThatCannotBeUsedAreCounted) {
  const fs::path path = dir / "bad.jsonl";
  std::string text = "not json\n[]\n{\"prompt\": \"only\"}\n\n{\"text\": \"\"}\n{\"text\": \"";
  for (int i = 0; i < 100; ++i) text += "parcel ";
  text += "\"}\n{\"text\": \"one good line of text\"}\n";
  ASSERT_TRUE(write_file_atomic(path, text));
  CorpusSource source(*tokenizer, {{path}, 0, 64, 64, 64, 1.0, 1, 4096});
  ASSERT_TRUE(source.next());
  EXPECT_EQ(source.n_lines(), 6);
  EXPECT_EQ(source.dropped().at("not a JSON object"), 2);
  EXPECT_EQ(source.dropped().at("neither completion nor text"), 2);
  EXPECT_EQ(source.dropped().at("too long"), 1);

  ASSERT_TRUE(write_file_atomic(path, "{}\n"));
  CorpusSource nothing(*tokenizer, {{path}, 0, 64, 64, 64, 1.0, 1, 4096});
  EXPECT_EQ(nothing.next().error().code, ErrorCode::kBadInput);
  CorpusSource missing(*tokenizer, {{dir / "none.jsonl"}, 0, 64, 64, 64, 1.0, 1, 4096});
  EXPECT_EQ(missing.next().error().code, ErrorCode::kIo);
}

TEST_F(PretrainTest, WrongSettingsAreRefusedBeforeAnythingIsWritten) {
  auto wrong = o;
  wrong.length = 1024;  // longer than a batch
  EXPECT_EQ(pretrain(wrong, *clock, null_progress()).error().code, ErrorCode::kUsage);
  wrong = o;
  auto config = read_json_file(o.config).value().as_object();
  config["vocab_size"] = 10;
  ASSERT_TRUE(write_file_atomic(dir / "small.json", json::serialize(config)));
  wrong.config = dir / "small.json";
  const auto result = pretrain(wrong, *clock, null_progress());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(result.error().message, HasSubstr("vocab_size is 10"));
  EXPECT_FALSE(fs::exists(o.out));
}

}  // namespace
}  // namespace slm::finetune
