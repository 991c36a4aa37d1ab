#include "finetune/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/file.h"

namespace slm::finetune {

Result<nn::Sequence> read_corpus_line(std::string_view line, const text::Tokenizer& tokenizer, double prompt_weight) {
  auto value = parse_json(line);
  if (!value || !value->is_object()) return fail(ErrorCode::kBadInput, "not a JSON object");
  const auto& object = value->get_object();
  const auto prompt = get_string(object, "prompt"), completion = get_string(object, "completion");
  const auto text = get_string(object, "text");
  nn::Sequence out;
  if (!completion.empty()) {
    out.ids = tokenizer.encode(prompt);
    out.n_prompt = out.ids.size();
    out.prompt_weight = static_cast<float>(prompt_weight);
    const auto rest = tokenizer.encode(completion);
    out.ids.insert(out.ids.end(), rest.begin(), rest.end());
  } else if (!text.empty()) {
    out.ids = tokenizer.encode(text);
  } else {
    return fail(ErrorCode::kBadInput, "neither completion nor text");
  }
  if (out.ids.size() < 2) return fail(ErrorCode::kBadInput, "fewer than 2 tokens");
  return out;
}

CorpusSource::CorpusSource(const text::Tokenizer& tokenizer, CorpusOptions options)
    : tokenizer_(tokenizer), options_(std::move(options)) {}

json::object CorpusSource::position() const {
  return {{"epoch", at_.epoch},   {"chunk", at_.chunk}, {"file", at_.file},
          {"offset", at_.offset}, {"line", at_.line},   {"step", step_}};
}

Status CorpusSource::seek(const json::object& position) {
  const auto number = [&](std::string_view key) { return get_int(position, key).value_or(0); };
  at_ = {number("epoch"), number("chunk"), static_cast<size_t>(number("file")), number("offset"), number("line")};
  if (at_.file >= options_.files.size())
    return fail(ErrorCode::kManifestMismatch, "checkpoint: made with more corpus files than these");
  SLM_CHECK(load_chunk());
  any_ = true;  // this epoch has led to a checkpoint
  step_ = static_cast<size_t>(number("step"));
  if (step_ > steps_.size()) return fail(ErrorCode::kManifestMismatch, "checkpoint: the corpus has changed since");
  return {};
}

Status CorpusSource::load_chunk() {
  next_ = at_;
  std::vector<nn::Sequence> sequences;
  std::string line;
  int64_t n_read = 0;
  while (n_read < options_.chunk_lines && next_.file < options_.files.size()) {
    const auto& path = options_.files[next_.file];
    std::ifstream in(path, std::ios::binary);
    if (!in) return fail(errno_error(path, "opening"));
    in.seekg(next_.offset);
    while (n_read < options_.chunk_lines && std::getline(in, line)) {
      next_.offset += static_cast<int64_t>(line.size()) + 1;
      const bool held_out = next_.file == 0 && next_.line < options_.skip_lines;
      ++next_.line;
      if (held_out || line.empty()) continue;
      ++n_read;
      ++n_lines_;
      auto sequence = read_corpus_line(line, tokenizer_, options_.prompt_weight);
      if (!sequence) {
        ++dropped_[sequence.error().message];
        continue;
      }
      if (static_cast<int64_t>(sequence->ids.size()) > options_.length) {
        ++dropped_["too long"];
        continue;
      }
      sequences.push_back(std::move(*sequence));
    }
    if (n_read >= options_.chunk_lines) break;
    ++next_.file;
    next_.offset = next_.line = 0;
  }
  any_ = any_ || !sequences.empty();

  Prng prng(options_.seed + 0x9e3779b97f4a7c15ULL * static_cast<uint64_t>(at_.epoch * 1000003 + at_.chunk + 1));
  prng.shuffle(std::span<nn::Sequence>(sequences));
  steps_.clear();
  for (size_t from = 0; from < sequences.size();) {
    size_t to = from;
    for (int64_t n = 0; to < sequences.size(); ++to) {
      n += std::ssize(sequences[to].ids);
      if (n > options_.batch_tokens && to > from) break;
    }
    steps_.push_back(nn::make_forests(std::span(sequences).subspan(from, to - from), {options_.micro_tokens, false}));
    from = to;
  }
  loaded_ = true;
  step_ = 0;
  return {};
}

Result<std::vector<nn::ForestBatch>> CorpusSource::next() {
  if (!loaded_) SLM_CHECK(load_chunk());
  while (step_ >= steps_.size()) {
    at_ = next_;
    ++at_.chunk;
    if (at_.file >= options_.files.size()) {
      if (!any_) return fail(ErrorCode::kBadInput, "the corpus has no usable line");
      any_ = false;
      at_ = {at_.epoch + 1, 0, 0, 0, 0};
    }
    SLM_CHECK(load_chunk());
  }
  return steps_[step_++];
}

}  // namespace slm::finetune
