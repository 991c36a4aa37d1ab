#include "select/rank.h"

#include <gtest/gtest.h>

namespace slm::select {
namespace {

nn::ModelConfig small_config(int64_t width, int64_t context) {
  nn::ModelConfig config;
  config.architecture = "LlamaForCausalLM";
  config.vocab_size = 1000, config.width = width, config.n_layers = 2, config.n_heads = 4, config.n_kv_heads = 2;
  config.head_dim = width / 4, config.ffn_width = 2 * width, config.max_positions = context;
  config.tied_embeddings = true;
  return config;
}

CatalogueModel model(std::string name, double ifeval, int64_t n_parameters = 1000000) {
  CatalogueModel out;
  out.name = std::move(name);
  out.repository = "maker/" + out.name;
  out.architecture = "LlamaForCausalLM";
  out.licence = "MIT";
  out.n_parameters = n_parameters;
  out.context = 4096;
  out.config = small_config(64, 4096);
  if (ifeval > 0) out.scores.push_back({"IFEval", "", ifeval, "strict", "card"});
  return out;
}

LocalModel local(std::string name, int64_t width) {
  LocalModel out;
  out.name = std::move(name);
  out.path = "/models/" + out.name;
  out.digest = "d";
  out.config = small_config(width, 4096);
  return out;
}

RankOptions roomy() {
  RankOptions options;
  options.memory_bytes = int64_t{16} << 30;
  options.dtype = nn::DType::kFloat32;
  return options;
}

std::vector<std::string> names(const std::vector<Candidate>& candidates) {
  std::vector<std::string> out;
  for (const Candidate& candidate : candidates) out.push_back(candidate.model);
  return out;
}
using Names = std::vector<std::string>;

constexpr TaskNeeds kJsonTask = {score::TaskKind::kJson, 500};

TEST(Rank, LocalFirstThenByFigureThenBySize) {
  Catalogue catalogue;
  catalogue.models = {model("low", 0.3), model("none-big", 0, 9000), model("none-small", 0, 5000), model("high", 0.8),
                      model("same-bigger", 0.3, 2000000)};
  const std::vector<LocalModel> here = {local("tiny", 32), local("larger", 64)};
  const Ranking ranking = rank_candidates(kJsonTask, catalogue, here, roomy());
  EXPECT_EQ(names(ranking.ranked), (Names{"larger", "tiny", "high", "low", "same-bigger", "none-small", "none-big"}));
  EXPECT_TRUE(ranking.excluded.empty());
  EXPECT_EQ(ranking.ranked[2].get_from, "https://huggingface.co/maker/high");
  EXPECT_NE(ranking.ranked[2].why.find("IFEval 0.800 (card, protocol strict)"), std::string::npos);
  EXPECT_TRUE(ranking.ranked[0].get_from.empty());
}

TEST(Rank, VersionsOfABenchmarkAreNotCompared) {
  Catalogue catalogue;
  CatalogueModel v2 = model("v2", 0.9), v3 = model("v3", 0.1);
  v2.scores = {{"BFCL", "v2", 0.9, "board", "b"}};
  v3.scores = {{"BFCL", "v3", 0.1, "board", "b"}};
  catalogue.models = {v2, v3, model("ifeval-only", 0.99)};
  const Ranking ranking = rank_candidates({score::TaskKind::kToolCall, 500}, catalogue, {}, roomy());
  EXPECT_EQ(names(ranking.ranked), (Names{"v3", "v2", "ifeval-only"}));
}

TEST(Rank, OfTwoProtocolsTheLowerCounts) {
  Catalogue catalogue;
  CatalogueModel two = model("two", 0.9);
  two.scores.push_back({"IFEval", "", 0.2, "other", "card"});
  catalogue.models = {two, model("one", 0.5)};
  EXPECT_EQ(names(rank_candidates(kJsonTask, catalogue, {}, roomy()).ranked), (Names{"one", "two"}));
}

TEST(Rank, EveryExclusionHasItsReason) {
  Catalogue catalogue;
  CatalogueModel closed = model("closed", 0.9);
  closed.licence = "CC-BY-NC-4.0";
  CatalogueModel narrow = model("narrow", 0.9);
  narrow.context = 499;
  CatalogueModel unknown = model("unknown-context", 0.9);
  unknown.context = 0;
  CatalogueModel foreign = model("foreign", 0.9);
  foreign.config.reset();
  foreign.not_loadable = "model_type is \"phi\"";
  CatalogueModel fits = model("fits", 0.1);
  catalogue.models = {closed, narrow, unknown, foreign, fits};
  const Ranking ranking = rank_candidates(kJsonTask, catalogue, {}, roomy());
  EXPECT_EQ(names(ranking.ranked), (Names{"fits"}));
  ASSERT_EQ(ranking.excluded.size(), 4u);
  std::map<std::string, std::string> reasons;
  for (const Candidate& candidate : ranking.excluded) {
    ASSERT_FALSE(candidate.exclusions.empty());
    reasons[candidate.model] = candidate.exclusions[0].reason + ": " + candidate.exclusions[0].detail;
  }
  EXPECT_NE(reasons["closed"].find("licence: CC-BY-NC-4.0"), std::string::npos);
  EXPECT_EQ(reasons["narrow"], "context: 499 tokens, the task's 99th percentile is 500");
  EXPECT_EQ(reasons["unknown-context"], "context: not known");
  EXPECT_NE(reasons["foreign"].find("architecture: model_type"), std::string::npos);

  RankOptions allowed = roomy();
  allowed.licences.insert("CC-BY-NC-4.0");
  EXPECT_EQ(names(rank_candidates(kJsonTask, catalogue, {}, allowed).ranked), (Names{"closed", "fits"}));
}

// The quickstart's base model, with what its runs held on a machine of the project's (peak resident memory, bfloat16):
// finetuning steps of 16 examples of 384 tokens at most 689 MB over the quickstart's seven tasks; answering one short
// prompt 144 MB.
TEST(Rank, MemoryForServingAndForTraining) {
  std::vector<LocalModel> here = {local("model", 256)};
  nn::ModelConfig& config = here[0].config;
  config.vocab_size = 3072, config.n_layers = 6, config.n_kv_heads = 4, config.ffn_width = 688;
  const TaskNeeds task = {score::TaskKind::kJson, 384};
  const auto detail_at = [&](double gigabytes) {
    RankOptions options = roomy();
    options.dtype = nn::DType::kBFloat16;
    options.memory_bytes = static_cast<int64_t>(gigabytes * 1e9);
    const Ranking ranking = rank_candidates(task, {}, here, options);
    return ranking.excluded.empty() ? std::string() : ranking.excluded[0].exclusions.at(0).detail;
  };
  EXPECT_NE(detail_at(0.14).find("serving takes"), std::string::npos);
  EXPECT_NE(detail_at(0.3).find("training takes"), std::string::npos) << "a step of one example would fit";
  EXPECT_EQ(detail_at(0.6), "") << "with its layers computed again on the way back";
  EXPECT_EQ(detail_at(0.9), "");
}

TEST(Rank, ATokenizerThatIsNotReadExcludes) {
  Catalogue catalogue;
  catalogue.models = {model("bytes", 0.9), model("pieces", 0.2), model("unsaid", 0.1)};
  catalogue.models[0].tokenizer = "tiktoken";
  catalogue.models[1].tokenizer = "byte-level-bpe";
  std::vector<LocalModel> here = {local("works", 32), local("larger", 64)};
  here[1].unreadable = "larger has neither tokenizer.json nor tokenizer.model";
  const Ranking ranking = rank_candidates(kJsonTask, catalogue, here, roomy());
  EXPECT_EQ(names(ranking.ranked), (Names{"works", "pieces", "unsaid"})) << "the larger one can't be read";
  ASSERT_EQ(names(ranking.excluded), (Names{"larger", "bytes"}));
  EXPECT_EQ(ranking.excluded[0].exclusions.at(0).reason, "tokenizer");
  EXPECT_EQ(ranking.excluded[0].exclusions.at(0).detail, "larger has neither tokenizer.json nor tokenizer.model");
  EXPECT_EQ(ranking.excluded[1].exclusions.at(0).detail,
            "tiktoken; this build reads tokenizer.json and tokenizer.model");
  EXPECT_EQ(ranking.ranked[1].why.find("tokenizer"), std::string::npos);
  EXPECT_NE(ranking.ranked[2].why.find("its tokenizer's format isn't known"), std::string::npos);
}

TEST(Rank, LocalWeightsTakeTheirFiguresAndLicenceFromTheCatalogue) {
  Catalogue catalogue;
  catalogue.models = {model("known", 0.7), model("other", 0.9)};
  catalogue.models[0].licence = "CC-BY-NC-4.0";
  const std::vector<LocalModel> here = {local("known", 64)};
  const Ranking ranking = rank_candidates(kJsonTask, catalogue, here, roomy());
  EXPECT_EQ(names(ranking.ranked), (Names{"other"}));
  ASSERT_EQ(names(ranking.excluded), (Names{"known"})) << "listed once, as the local one";
  EXPECT_TRUE(ranking.excluded[0].local);
  EXPECT_TRUE(ranking.excluded[0].score);
}

TEST(Rank, CandidatesReadBack) {
  TaskCandidates task;
  task.task.value = "t01", task.name = "n", task.kind = score::TaskKind::kJson, task.context_needed = 500;
  Catalogue catalogue;
  catalogue.models = {model("a", 0.7), model("b", 0.1)};
  catalogue.models[1].licence = "secret";
  const std::vector<LocalModel> here = {local("c", 64)};
  Ranking ranking = rank_candidates(kJsonTask, catalogue, here, roomy());
  task.ranked = ranking.ranked, task.excluded = ranking.excluded;
  const auto again = candidates_from_json(parse_json(canonical_json(to_json(task))).value());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(canonical_json(to_json(*again)), canonical_json(to_json(task)));
  ASSERT_TRUE(again->chosen());
  EXPECT_EQ(again->chosen()->model, "c");
  EXPECT_EQ(again->chosen()->path, "/models/c");
  EXPECT_FALSE(candidates_from_json(json::object{{"task", "t01"}}));
}

}  // namespace
}  // namespace slm::select
