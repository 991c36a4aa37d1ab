#include "finetune/pretrain.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <cstdio>

#include "core/file.h"
#include "core/hash.h"
#include "finetune/corpus.h"
#include "finetune/memory.h"
#include "nn/export.h"
#include "nn/plan.h"
#include "nn/process_memory.h"

namespace slm::finetune {

namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenizerFiles[] = {"tokenizer.model",         "tokenizer.json",      "tokenizer_config.json",
                                           "special_tokens_map.json", "chat_template.jinja", "added_tokens.json"};

Result<std::vector<nn::ForestBatch>> read_held_out(const PretrainOptions& o, const text::Tokenizer& tokenizer) {
  const fs::path path = o.held_out.empty() ? o.corpora.front() : o.held_out;
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(errno_error(path, "opening"));
  std::vector<nn::Sequence> sequences;
  std::string line;
  int64_t n = 0;
  while ((!o.held_out.empty() || n < o.n_held_out) && std::getline(in, line)) {
    ++n;
    // The same weights as in training would mix two things; held-out loss is of completions and texts.
    auto sequence = read_corpus_line(line, tokenizer, 0);
    if (sequence && static_cast<int64_t>(sequence->ids.size()) <= o.length) sequences.push_back(std::move(*sequence));
  }
  return nn::make_forests(sequences, {o.micro_tokens, false});
}

Status append_line(const fs::path& path, const json::object& line) {
  std::FILE* file = std::fopen(path.c_str(), "a");
  if (file == nullptr) return fail(errno_error(path, "opening"));
  const std::string text = json::serialize(line) + "\n";
  const bool ok = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (std::fclose(file) != 0 || !ok) return fail(errno_error(path, "writing"));
  return {};
}

Status write_model(const PretrainOptions& o, const json::value& config, const nn::Decoder& decoder) {
  auto object = config.as_object();
  object["dtype"] = o.stored == nn::DType::kFloat32 ? "float32" : "bfloat16";
  SLM_CHECK(write_file_atomic(o.out / "config.json", pretty_json(object)));
  json::object generation;
  for (const std::string_view key : {"bos_token_id", "eos_token_id", "pad_token_id"})
    if (const auto* id = find(object, key); id != nullptr && !id->is_null()) generation[key] = *id;
  generation["do_sample"] = false;
  SLM_CHECK(write_file_atomic(o.out / "generation_config.json", pretty_json(generation)));
  for (const char* name : kTokenizerFiles) {
    std::error_code ec;
    if (!fs::exists(o.tokenizer / name, ec) || fs::equivalent(o.tokenizer, o.out, ec)) continue;
    SLM_TRY(const auto content, read_file(o.tokenizer / name));
    SLM_CHECK(write_file_atomic(o.out / name, content));
  }
  SLM_TRY(const Bytes weights, nn::weight_file(decoder, o.stored));
  return write_file_atomic(o.out / "model.safetensors", weights);
}

// What a checkpoint must agree with.
std::string identity_of(const PretrainOptions& o, const json::value& config, bool bf16) {
  json::array files;
  for (const auto& path : o.corpora) {
    std::error_code ec;
    files.push_back({path.filename().string(), static_cast<int64_t>(fs::file_size(path, ec))});
  }
  const json::object settings{{"config", config},
                              {"corpora", files},
                              {"length", o.length},
                              {"batch_tokens", o.batch_tokens},
                              {"micro_tokens", o.micro_tokens},
                              {"prompt_weight", o.prompt_weight},
                              {"n_held_out", o.held_out.empty() ? o.n_held_out : 0},
                              {"rate", o.rate},
                              {"final_rate", o.final_rate},
                              {"warmup_steps", o.warmup_steps},
                              {"weight_decay", o.weight_decay},
                              {"compute", bf16 ? "bfloat16" : "float32"},
                              {"seed", o.seed}};
  return sha256_hex(canonical_json(settings));
}

}  // namespace

Result<PretrainResult> pretrain(const PretrainOptions& options, Clock& clock, Progress& progress) {
  PretrainOptions o = options;
  if (o.corpora.empty()) return fail(ErrorCode::kUsage, "no corpus given");
  if (o.length < 8 || o.batch_tokens < o.length)
    return fail(ErrorCode::kUsage,
                fmt::format("batch of {} tokens, lines of up to {}: a line has at least 8 tokens and fits in a batch",
                            o.batch_tokens, o.length));
  if (o.n_tokens > 0) o.n_steps = std::max<int64_t>(1, o.n_tokens / o.batch_tokens);
  o.micro_tokens = std::min(o.micro_tokens, o.batch_tokens);
  if (o.threads > 0) at::set_num_threads(o.threads);

  SLM_TRY(const auto config_value, read_json_file(o.config));
  SLM_TRY(const auto config, nn::parse_config(config_value));
  SLM_TRY(const auto tokenizer, text::Tokenizer::open(o.tokenizer));
  if (tokenizer->n_ids() > config.vocab_size)
    return fail(ErrorCode::kBadInput, fmt::format("the tokenizer has {} ids, config.json's vocab_size is {}",
                                                  tokenizer->n_ids(), config.vocab_size));
  SLM_TRY(const auto held_out, read_held_out(o, *tokenizer));

  const bool bf16 = o.compute == nn::DType::kBFloat16 || (o.compute == nn::DType::kAuto && nn::cpu_has_bf16());
  SLM_TRY(auto decoder, nn::Decoder::random(config, o.seed, {bf16 ? at::kBFloat16 : at::kFloat, at::kCPU, true}));

  CorpusSource source(*tokenizer, {o.corpora, o.held_out.empty() ? o.n_held_out : 0, o.length, o.batch_tokens,
                                   o.micro_tokens, o.prompt_weight, o.seed});
  TrainOptions train;
  train.schedule = {o.rate, o.warmup_steps, o.n_steps, o.final_rate};
  train.adamw = {0.9, 0.95, 1e-8, o.weight_decay, 1.0};
  train.seed = o.seed;
  train.validate_every = o.validate_every;
  train.checkpoint_every = o.save_every;
  train.identity = identity_of(o, config_value, bf16);
  MemoryPlanner planner(config, o.compute, {.rank = 0});
  planner.set_budget(memory_share(nn::machine_memory_bytes(), 1), 0);
  train.recomputes = [&](const nn::ForestBatch& batch) { return planner.plan(batch).recompute; };
  Trainer trainer(decoder, source, train, clock);
  trainer.set_validation(held_out);

  SLM_CHECK(make_dirs(o.out));
  const fs::path checkpoint = o.out / "checkpoint.safetensors", metrics = o.out / "metrics.jsonl";
  if (o.resume) {
    SLM_TRY(const auto bytes, read_file(checkpoint));
    SLM_CHECK(trainer.resume(as_bytes(bytes)));
    progress.note("continuing from " + checkpoint.string());
  } else {
    std::error_code ec;
    fs::remove(metrics, ec);
  }

  Status written;  // the first failure to write a metrics line
  const auto record = [&](const json::object& line) {
    if (auto status = append_line(metrics, line); !status && written) written = std::move(status);
  };
  TrainHooks hooks;
  hooks.on_step = [&](const StepReport& r) {
    if (r.step % o.log_every != 0 && r.step != r.n_steps) {
      return;
    }
    progress.advance(static_cast<uint64_t>(r.step), fmt::format("loss {:.3f}, {:.0f} tokens/s, {:.0f} min left", r.loss,
                                                                r.tokens_per_s, r.seconds_left / 60));
    record({{"step", r.step},
            {"loss", r.loss},
            {"rate", r.rate},
            {"grad_norm", r.grad_norm},
            {"tokens", r.n_tokens},
            {"tokens_per_s", r.tokens_per_s}});
  };
  hooks.on_validation = [&](const ValidationReport& r) {
    progress.note(fmt::format("step {}: held-out loss {:.4f}, token accuracy {:.4f}", r.step, r.loss, r.accuracy));
    record({{"step", r.step}, {"held_out_loss", r.loss}, {"held_out_accuracy", r.accuracy}});
  };
  hooks.save = [&](const Bytes& bytes) -> Status {
    if (!written) return written;
    SLM_CHECK(write_file_atomic(checkpoint, bytes));
    return write_model(o, config_value, decoder);
  };

  progress.start("pretrain", static_cast<uint64_t>(o.n_steps));
  auto trained = trainer.run(hooks);
  progress.finish();
  if (!trained) return fail(std::move(trained).error());
  if (!written) return fail(std::move(written).error());
  SLM_CHECK(write_model(o, config_value, decoder));
  std::error_code ec;
  fs::remove(checkpoint, ec);

  PretrainResult result;
  result.train = *trained;
  result.n_parameters = nn::n_parameters(config);
  result.n_lines = source.n_lines();
  result.dropped = source.dropped();
  return result;
}

}  // namespace slm::finetune
