#include "finetune/top_k.h"

#include <algorithm>
#include <cmath>

namespace slm::finetune {

TopK::TopK(std::shared_ptr<const model::Vocabulary> vocabulary) : vocabulary_(std::move(vocabulary)) {
  // Of several with the same bytes the last: single bytes come first where a vocabulary has them apart.
  for (size_t id = 0; id < vocabulary_->n_ids(); ++id) {
    const auto& bytes = vocabulary_->bytes_of(static_cast<int32_t>(id));
    if (!bytes.empty() && bytes.front() != model::kSpecialMark) id_of_[bytes] = static_cast<int32_t>(id);
  }
}

std::vector<nn::LoggedTopK> TopK::match(const model::Example& example, std::span<const LoggedToken> logged) const {
  std::string answer, theirs;
  std::vector<size_t> begin_of;  // of each token of the completion
  for (size_t t = example.n_prompt; t < example.ids.size(); ++t) {
    begin_of.push_back(answer.size());
    answer += vocabulary_->bytes_of(example.ids[t]);
  }
  for (const auto& token : logged) theirs += token.bytes;
  // What a template puts before the answer (an empty thought) doesn't come from the model that was logged.
  const size_t first = theirs.empty() ? std::string::npos : answer.rfind(theirs);
  std::vector<nn::LoggedTopK> out;
  if (first == std::string::npos) return out;
  size_t begin = first;
  for (const auto& token : logged) {
    const size_t end = begin + token.bytes.size();
    const auto it = std::lower_bound(begin_of.begin(), begin_of.end(), begin);
    auto i = static_cast<size_t>(it - begin_of.begin());
    // Tokens without bytes begin where the next one does.
    while (i + 1 < begin_of.size() && begin_of[i] == begin && begin_of[i + 1] == begin) ++i;
    const size_t ends = i + 1 < begin_of.size() ? begin_of[i + 1] : answer.size();
    if (i < begin_of.size() && begin_of[i] == begin && ends == end) {
      nn::LoggedTopK one;
      one.at = static_cast<int32_t>(example.n_prompt + i);
      const auto add = [&](int32_t id, double logprob) {
        if (std::find(one.ids.begin(), one.ids.end(), id) != one.ids.end()) return;
        one.ids.push_back(id);
        one.probabilities.push_back(static_cast<float>(std::exp(logprob)));
      };
      add(example.ids[static_cast<size_t>(one.at)], token.logprob);
      for (const auto& [bytes, logprob] : token.top)
        if (bytes != token.bytes)
          if (const auto found = id_of_.find(bytes); found != id_of_.end()) add(found->second, logprob);
      out.push_back(std::move(one));
    }
    begin = end;
  }
  return out;
}

}  // namespace slm::finetune
