// select and models add as a person and a cron job use them.
#include <gmock/gmock.h>

#include "core/file.h"
#include "tiny_pipeline.h"

namespace slm::cli {
namespace {

using testing::HasSubstr;

class SelectCommand : public TinyPipeline {};

TEST_F(SelectCommand, LocalWeightsFirstAndEveryExclusionWithItsReason) {
  const Ran ran = run({"select"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  int n_excluded = 0;
  std::map<std::string, std::string> first;
  for (const json::object& row : rows(ran)) {
    if (row.contains("reason")) {
      ++n_excluded;
      EXPECT_NE(get_string(row, "detail"), "") << get_string(row, "model");
    } else if (get_int(row, "rank") == 1) {
      first[std::string(get_string(row, "task"))] = std::string(get_string(row, "model"));
    }
  }
  EXPECT_GT(n_excluded, 0);
  EXPECT_EQ(first.size(), 2u);
  for (const auto& [task, model] : first) EXPECT_EQ(model, "tiny") << task;
  const json::object sum = ran.last();
  EXPECT_EQ(get_string(sum, "message_type"), "summary");
  EXPECT_EQ(get_string(sum, "command"), "select");
  EXPECT_EQ(get_bool(sum, "changed"), false) << "the road here selected already";
  int64_t n = *get_int(sum, "n_out");
  for (const auto& reason : *get_object(sum, "dropped")) n += reason.value().as_int64();
  EXPECT_EQ(n, get_int(sum, "n_in"));
}

TEST_F(SelectCommand, NeedsNoIdentity) {
  EXPECT_EQ(run_cli({"--store", (root_ / "store").string(), "--identity", "/nonexistent", "select"}).rc, 0);
}

TEST_F(SelectCommand, TextSaysWhereToGetWeights) {
  const Ran ran = run({"select", "--show", "3", "--excluded"}, "", false);
  EXPECT_EQ(ran.rc, 0);
  EXPECT_THAT(ran.out, HasSubstr("tiny"));
  EXPECT_THAT(ran.out + ran.err, HasSubstr("2 of 2 tasks have a candidate whose weights are here"));
}

TEST_F(SelectCommand, ABudgetTooSmallLeavesNothing) {
  const Ran ran = run({"select", "--memory-gb", "0.00001"});
  EXPECT_EQ(ran.rc, 0);
  EXPECT_EQ(get_int(ran.last(), "n_out"), 0);
  EXPECT_EQ(get_int(ran.last(), "n_with_weights"), 0);
  EXPECT_EQ(run({"select"}).rc, 0) << "and back";
}

TEST_F(SelectCommand, BadInput) {
  EXPECT_EQ(run_cli({"--store", (root_ / "none").string(), "select"}).rc, 10);
  EXPECT_EQ(run({"select", "--memory-gb", "-1"}).rc, 2);
  EXPECT_EQ(run({"select", "--catalogue", "/nonexistent.toml"}).rc, 2);
  model::write_file(root_ / "broken.toml", "[[model]]\nname = \"x\"\n");
  EXPECT_EQ(run({"select", "--catalogue", (root_ / "broken.toml").string()}).rc, 20);
}

TEST_F(SelectCommand, ModelsAdd) {
  Ran ran = run({"models", "add", base_.string(), "--name", "second", "--licence", "MIT"});
  ASSERT_EQ(ran.rc, 0) << ran.out;
  EXPECT_EQ(get_bool(ran.last(), "changed"), true);
  EXPECT_EQ(get_bool(run({"models", "add", base_.string(), "--name", "second", "--licence", "MIT"}).last(), "changed"),
            false);
  EXPECT_EQ(run({"models", "add", base_.string(), "--name", "../x"}).rc, 2);
  EXPECT_EQ(run({"models", "add", (root_ / "none").string()}).rc, 2);
  const auto mamba = root_ / "mamba";
  std::filesystem::create_directories(mamba);
  model::write_file(mamba / "config.json", R"({"model_type": "mamba2", "architectures": ["Mamba2ForCausalLM"]})");
  ran = run({"models", "add", mamba.string()});
  EXPECT_EQ(ran.rc, 22);
  EXPECT_THAT(ran.out, HasSubstr("mamba2"));
  std::filesystem::remove(root_ / "store" / "artifacts" / "models" / "second.json");
}

TEST_F(SelectCommand, DamagedWeightsStopAtAdd) {
  const auto damaged = root_ / "damaged";
  std::filesystem::copy(base_, damaged);
  std::string weights = read_file(damaged / "model.safetensors").value();
  weights.replace(weights.size() - 4, 4, std::string("\0\0\xc0\x7f", 4));  // a NaN at the end of lm_head
  ASSERT_TRUE(write_file_atomic(damaged / "model.safetensors", weights));
  const Ran ran = run({"models", "add", damaged.string()});
  EXPECT_EQ(ran.rc, 20);
  EXPECT_THAT(ran.out, HasSubstr("tensor lm_head.weight holds a number that isn't finite"));
  EXPECT_FALSE(std::filesystem::exists(root_ / "store" / "artifacts" / "models" / "damaged.json"));
}

TEST_F(SelectCommand, ModelsRemove) {
  ASSERT_EQ(run({"models", "add", base_.string(), "--name", "second"}).rc, 0);
  Ran ran = run({"models", "remove", "second"});
  EXPECT_EQ(ran.rc, 0) << ran.out;
  EXPECT_EQ(get_bool(ran.last(), "changed"), true);
  ran = run({"models", "remove", "second"});
  EXPECT_EQ(ran.rc, 20);
  EXPECT_THAT(ran.out, HasSubstr("there are: tiny"));
  ran = run({"models", "remove", "tiny"});
  EXPECT_EQ(ran.rc, 0);
  EXPECT_THAT(ran.out, HasSubstr("tiny was select's choice for t"));
  EXPECT_TRUE(std::filesystem::exists(base_ / "model.safetensors"));
  EXPECT_EQ(run({"models", "add", base_.string(), "--name", "tiny"}).rc, 0) << "and back";
  EXPECT_EQ(get_bool(run({"select"}).last(), "changed"), false);
}

TEST_F(SelectCommand, ASecondRunOfAPipelineFindsNothingNew) {
  const std::string places =
      fmt::format("store = \"{}\"\nidentity = \"{}\"\n", (root_ / "store").string(), (root_ / "keys").string());
  model::write_file(root_ / "p.toml",
                    fmt::format("name = \"x\"\nwork = \"{0}/pw\"\n"
                                "[[step]]\ncommand = \"models add\"\npaths = [\"{1}\"]\nname = \"tiny\"\n{2}"
                                "[[step]]\ncommand = \"select\"\n{2}"
                                "[[step]]\ncommand = \"status\"\n{2}",
                                root_.string(), base_.string(), places));
  run_cli({"--json", "run", (root_ / "p.toml").string()});
  const Ran second = run_cli({"--json", "run", (root_ / "p.toml").string()});
  ASSERT_EQ(second.rc, 0) << second.out;
  EXPECT_EQ(get_bool(second.last(), "changed"), false) << second.out;
}

// A larger model without a tokenizer that is read must not win beside a working one, whether it is added now or was
// before.
TEST_F(SelectCommand, ATokenizerThatIsNotReadStopsAtAdd) {
  const auto other = root_ / "bytes";
  std::filesystem::copy(base_, other);
  const auto registered = root_ / "store" / "artifacts" / "models" / "a-bytes.json";
  ASSERT_EQ(run({"models", "add", other.string(), "--name", "a-bytes"}).rc, 0);
  std::filesystem::rename(other / "tokenizer.model", other / "tokenizer.tiktoken");
  const Ran ran = run({"models", "add", other.string(), "--name", "again"});
  EXPECT_EQ(ran.rc, 22);
  EXPECT_THAT(ran.out, HasSubstr("neither tokenizer.json nor tokenizer.model"));
  EXPECT_FALSE(std::filesystem::exists(root_ / "store" / "artifacts" / "models" / "again.json"));

  const Ran selected = run({"select"});
  EXPECT_EQ(selected.rc, 0) << selected.out;
  bool excluded = false;
  for (const json::object& row : rows(selected)) {
    if (get_int(row, "rank") == 1) {
      EXPECT_EQ(get_string(row, "model"), "tiny");
    }
    if (get_string(row, "model") == "a-bytes" && get_string(row, "reason") == "tokenizer") excluded = true;
  }
  EXPECT_TRUE(excluded) << selected.out;
  std::filesystem::remove(registered);
  EXPECT_EQ(run({"select"}).rc, 0) << "and back";
}

}  // namespace
}  // namespace slm::cli
