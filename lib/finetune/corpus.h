// A corpus of rendered text, streamed as training batches: lines are read in chunks, a chunk is tokenised and shuffled.
// The position (epoch, file, byte offset, batch within the chunk) leads to the same batches.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "finetune/trainer.h"
#include "nn/batch.h"
#include "text/tokenizer.h"

namespace slm::finetune {

struct CorpusOptions {
  std::vector<std::filesystem::path> files;
  int64_t skip_lines = 0;  // of the first file: held out
  int64_t length = 256;    // of a line, at most; longer ones are left out and counted
  int64_t batch_tokens = 8192, micro_tokens = 8192;
  double prompt_weight = 0.3;
  uint64_t seed = 1;
  int64_t chunk_lines = 4096;
};

// Reads one line as a sequence. Errors: kBadInput naming the reason ("not JSON", "no text", …), never the text.
Result<nn::Sequence> read_corpus_line(std::string_view line, const text::Tokenizer& tokenizer, double prompt_weight);

class CorpusSource : public BatchSource {
 public:
  CorpusSource(const text::Tokenizer& tokenizer, CorpusOptions options);
  Result<std::vector<nn::ForestBatch>> next() override;
  json::object position() const override;
  Status seek(const json::object& position) override;

  int64_t n_lines() const { return n_lines_; }
  const std::map<std::string, int64_t>& dropped() const { return dropped_; }

 private:
  struct Place {
    int64_t epoch = 0, chunk = 0;
    size_t file = 0;
    int64_t offset = 0, line = 0;
  };
  Status load_chunk();  // from at_, leaving next_ where the following chunk begins

  const text::Tokenizer& tokenizer_;
  CorpusOptions options_;
  Place at_, next_;
  bool loaded_ = false;
  std::vector<std::vector<nn::ForestBatch>> steps_;  // of the chunk
  size_t step_ = 0;                                  // next of them
  int64_t n_lines_ = 0;
  bool any_ = false;  // a line of this epoch was usable
  std::map<std::string, int64_t> dropped_;
};

}  // namespace slm::finetune
