#include "model/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "core/progress.h"
#include "core/random.h"
#include "model/json_grammar.h"
#include "model/sampling.h"

namespace slm::model {
namespace {

// One prompt on its way to an answer.
struct Row {
  size_t index = 0;  // in the caller's order
  std::vector<int32_t> prompt, made;
  const json::array* tools = nullptr;
  size_t limit = 0;                 // tokens it may make
  std::shared_ptr<TokenMask> mask;  // null: any token
  TokenMask::Cursor cursor;
  Prng random{0};
};

// The same prompt and seed draw the same numbers, whatever else is in the batch.
uint64_t row_seed(uint64_t seed, const std::vector<int32_t>& prompt) {
  uint64_t hash = 0xcbf29ce484222325u ^ seed;  // FNV-1a
  for (const int32_t id : prompt)
    for (int shift = 0; shift < 32; shift += 8) {
      hash ^= static_cast<uint8_t>(static_cast<uint32_t>(id) >> shift);
      hash *= 0x100000001b3u;
    }
  return hash;
}

// Takes away the tokens that the mask doesn't have.
void lay_on(std::span<float> logits, const TokenMask::Bits& bits) {
  for (size_t id = 0; id < logits.size(); ++id)
    if (!TokenMask::has(bits, static_cast<int32_t>(id))) logits[id] = std::numeric_limits<float>::quiet_NaN();
}

class EngineModel final : public Model {
 public:
  EngineModel(std::unique_ptr<Codec> codec, std::unique_ptr<nn::Engine> engine)
      : codec_(std::move(codec)), engine_(std::move(engine)) {}

  const Codec& codec() const override { return *codec_; }
  nn::Engine& engine() override { return *engine_; }
  Result<std::vector<Answer>> generate(std::span<const Prompt> prompts, const GenerateOptions& options,
                                       const std::function<void(size_t)>& done) override;

 private:
  Status run_batch(std::vector<Row>& rows, const GenerateOptions& options, std::vector<Answer>& answers,
                   const std::function<void(size_t)>& finished);

  std::unique_ptr<Codec> codec_;
  std::unique_ptr<nn::Engine> engine_;
};

Result<std::vector<Answer>> EngineModel::generate(std::span<const Prompt> prompts, const GenerateOptions& options,
                                                  const std::function<void(size_t)>& done) {
  int64_t context = engine_->config().max_positions;
  if (options.max_context > 0 && (context <= 0 || options.max_context < context)) context = options.max_context;
  std::vector<Answer> answers(prompts.size());
  size_t n_done = 0;
  const auto finished = [&](size_t n) {
    n_done += n;
    if (done && n > 0) done(n_done);
  };
  std::shared_ptr<TokenMask> mask;
  if (options.schema && options.tools_only)
    return fail(ErrorCode::kUsage, "an answer is either a tool call or a JSON value of a schema");
  if (options.schema) {
    SLM_TRY(auto grammar, json_grammar(*options.schema));
    mask = std::make_shared<TokenMask>(codec_->vocabulary(), std::move(grammar));
  }
  // By the tools: calls of a log often share them.
  std::unordered_map<std::string, std::shared_ptr<TokenMask>> call_masks;
  std::vector<Row> rows;
  std::optional<Error> refusal;
  for (size_t i = 0; i < prompts.size(); ++i) {
    auto ids = codec_->encode_prompt(prompts[i]);
    if (!ids && ids.error().code != ErrorCode::kBadInput) return fail(std::move(ids).error());
    if (!ids) {
      answers[i].refused = true;
      if (!refusal) refusal = ids.error();
      continue;
    }
    answers[i].n_prompt = static_cast<int>(ids->size());
    const auto length = static_cast<int64_t>(ids->size());
    if (length == 0 || (context > 0 && length >= context)) {
      answers[i].too_long = length > 0;
      answers[i].refused = length == 0;
      continue;
    }
    if (options.tools_only) {
      auto& found = call_masks[json::serialize(prompts[i].tools)];
      if (!found) {
        SLM_TRY(auto grammar, codec_->call_grammar(prompts[i].tools));
        found = std::make_shared<TokenMask>(codec_->vocabulary(), std::move(grammar));
      }
      mask = found;
    }
    Row row;
    row.index = i;
    row.tools = &prompts[i].tools;
    row.random = Prng(row_seed(options.seed, *ids));
    row.prompt = std::move(*ids);
    row.mask = mask;
    row.limit = static_cast<size_t>(std::max(options.max_new_tokens, 0));
    if (context > 0) row.limit = std::min(row.limit, static_cast<size_t>(context - length));
    rows.push_back(std::move(row));
  }
  if (rows.empty() && refusal && !prompts.empty() &&
      std::all_of(answers.begin(), answers.end(), [](const Answer& a) { return a.refused; }))
    return fail(std::move(*refusal));
  finished(prompts.size() - rows.size());

  // Prompts of like length share a batch, so that little is padding.
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.prompt.size() < b.prompt.size(); });
  const auto batch = static_cast<size_t>(std::max(options.batch, 1));
  for (size_t begin = 0; begin < rows.size(); begin += batch) {
    const size_t end = std::min(begin + batch, rows.size());
    std::vector<Row> part(std::make_move_iterator(rows.begin() + static_cast<std::ptrdiff_t>(begin)),
                          std::make_move_iterator(rows.begin() + static_cast<std::ptrdiff_t>(end)));
    SLM_CHECK(run_batch(part, options, answers, finished));
  }
  return answers;
}

Status EngineModel::run_batch(std::vector<Row>& rows, const GenerateOptions& options, std::vector<Answer>& answers,
                              const std::function<void(size_t)>& finished) {
  const auto start = std::chrono::steady_clock::now();
  const size_t n_rows = rows.size();
  std::vector<size_t> indices;
  std::vector<std::vector<int32_t>> prompts;
  for (auto& row : rows) {
    indices.push_back(row.index);
    prompts.push_back(std::move(row.prompt));
  }
  if (interrupted()) return fail(ErrorCode::kInterrupted, "generation was interrupted");
  std::vector<float> logits;
  SLM_TRY(std::unique_ptr<nn::Cache> cache, engine_->prefill(prompts, logits));
  const auto ends = codec_->end_ids();
  // Rows of the vocabulary beyond the tokenizer's are padding of the matrix.
  const auto width = static_cast<size_t>(engine_->config().vocab_size);
  const size_t n_ids = std::min(width, static_cast<size_t>(codec_->n_ids()));

  const Sampling sampling{options.temperature, options.top_p, options.top_k};
  const auto read = [&](const Row& row, Answer& answer) {
    ParsedAnswer parsed = codec_->parse(row.made, *row.tools);
    answer.message = std::move(parsed.message);
    answer.malformed = parsed.malformed;
  };
  std::vector<Row*> active;
  for (auto& row : rows) active.push_back(&row);
  while (!active.empty()) {
    if (interrupted()) return fail(ErrorCode::kInterrupted, "generation was interrupted");
    if (logits.size() != active.size() * width)
      return fail(ErrorCode::kUnexpected,
                  fmt::format("the network gave {} logits for {} rows of {}", logits.size(), active.size(), width));
    std::vector<size_t> kept;
    std::vector<int32_t> next;
    std::vector<Row*> still;
    for (size_t r = 0; r < active.size(); ++r) {
      Row& row = *active[r];
      Answer& answer = answers[row.index];
      if (row.made.size() < row.limit) {
        const std::span<float> choices = std::span(logits).subspan(r * width, n_ids);
        const bool numbers = best_of(choices) >= 0;
        if (row.mask) lay_on(choices, *row.mask->allowed(row.cursor));
        const int32_t id = choose(choices, sampling, row.random);
        if (id < 0 && !numbers) return fail(ErrorCode::kUnexpected, "the network's output isn't a number");
        if (id < 0) {  // no token of the vocabulary goes on with the text
          read(row, answer);
          continue;
        }
        if (row.mask) row.mask->accept(row.cursor, id);
        ++answer.n_new;
        if (std::find(ends.begin(), ends.end(), id) != ends.end()) {
          answer.ended = true;
        } else {
          row.made.push_back(id);
          if (row.made.size() < row.limit) {
            kept.push_back(r);
            next.push_back(id);
            still.push_back(&row);
            continue;
          }
        }
      }
      read(row, answer);
    }
    finished(active.size() - still.size());
    if (still.empty()) break;
    if (still.size() < active.size()) SLM_CHECK(engine_->keep(*cache, kept));
    active = std::move(still);
    SLM_CHECK(engine_->step(*cache, next, logits));
  }
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  for (const size_t index : indices) answers[index].latency_ms = ms / static_cast<double>(n_rows);
  return {};
}

}  // namespace

Result<std::unique_ptr<Model>> Model::from_parts(std::unique_ptr<Codec> codec, std::unique_ptr<nn::Engine> engine) {
  if (codec->n_ids() > engine->config().vocab_size)
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("the tokenizer has {} ids, the network's vocabulary {}", codec->n_ids(),
                            engine->config().vocab_size),
                "take tokenizer and weights from the same model");
  return std::unique_ptr<Model>(new EngineModel(std::move(codec), std::move(engine)));
}

Result<std::unique_ptr<Model>> Model::open(const std::filesystem::path& dir, const nn::EngineOptions& options) {
  SLM_TRY(auto codec, Codec::open(dir));
  SLM_TRY(auto engine, nn::Engine::load(dir, options));
  return from_parts(std::move(codec), std::move(engine));
}

}  // namespace slm::model
