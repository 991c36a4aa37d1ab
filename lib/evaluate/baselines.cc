#include "evaluate/baselines.h"

#include <algorithm>
#include <map>

#include "call/call.h"
#include "score/match.h"

namespace slm::evaluate {
namespace {

constexpr size_t kRequestBytes = 8192;

// At most n of the rows, evenly spread.
std::vector<uint32_t> thinned(const std::vector<uint32_t>& rows, int64_t n) {
  if (n <= 0 || static_cast<int64_t>(rows.size()) <= n) return rows;
  std::vector<uint32_t> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(rows[static_cast<size_t>(i * static_cast<int64_t>(rows.size()) / n)]);
  return out;
}

}  // namespace

std::string request_text(const json::array& messages, size_t max_bytes) {
  std::string out;
  for (size_t i = messages.size(); i-- > 0 && out.size() < max_bytes;) {
    const json::object* message = messages[i].if_object();
    if (!message) continue;
    out += content_text(*message);
    if (const json::array* calls = get_array(*message, "tool_calls")) out += canonical_json(*calls);
    out += '\n';
  }
  if (out.size() > max_bytes) out.resize(max_bytes);
  return out;
}

Result<TrainingAnswers> load_training(const dataset::View& view, store::Store& store, const TrainingOptions& options) {
  dataset::View::Select what;
  what.task = options.task;
  what.side = dataset::Side::kTrain;
  const std::vector<uint32_t> rows = thinned(view.select(what), options.max_examples);
  TrainingAnswers out;
  SLM_CHECK(view.load(store, rows, "evaluate", [&](uint32_t, Call& call) -> Status {
    const json::object* answer = call.body.truth.if_object();
    if (!answer) answer = answer_of(call.body);
    if (!answer) return {};
    out.requests.push_back(request_text(call.body.messages, kRequestBytes));
    out.answers.push_back(*answer);
    return {};
  }));
  return out;
}

json::object majority_answer(score::TaskKind kind, const std::vector<json::object>& answers) {
  struct Form {
    int64_t n = 0;
    size_t first = 0;
  };
  std::map<std::string, Form> forms;
  for (size_t i = 0; i < answers.size(); ++i) {
    const auto [form, is_new] = forms.try_emplace(score::canonical_answer(kind, answers[i]));
    if (is_new) form->second.first = i;
    ++form->second.n;
  }
  const auto best = std::max_element(forms.begin(), forms.end(),
                                     [](const auto& a, const auto& b) { return a.second.n < b.second.n; });
  return best == forms.end() ? json::object() : answers[best->second.first];
}

Result<std::vector<size_t>> nearest_requests(const TrainingAnswers& training, std::span<const Unit> units) {
  std::vector<std::string_view> documents(training.requests.begin(), training.requests.end());
  embed::NgramOptions ngrams;
  ngrams.max_bytes = kRequestBytes;
  SLM_TRY(const embed::NgramTfIdf tfidf, embed::NgramTfIdf::fit(documents, ngrams));
  const embed::SparseMatrix by_term = tfidf.transform(documents).transposed();
  std::vector<size_t> out;
  out.reserve(units.size());
  std::vector<float> cosine(training.requests.size());
  for (const Unit& unit : units) {
    std::fill(cosine.begin(), cosine.end(), 0.0F);
    const embed::SparseRow row = tfidf.transform(request_text(unit.prompt.messages, kRequestBytes));
    for (size_t i = 0; i < row.columns.size(); ++i) {
      const uint32_t term = row.columns[i];
      for (uint64_t j = by_term.row_begin[term]; j < by_term.row_begin[term + 1]; ++j)
        cosine[by_term.columns[j]] += row.values[i] * by_term.values[j];
    }
    out.push_back(static_cast<size_t>(std::max_element(cosine.begin(), cosine.end()) - cosine.begin()));
  }
  return out;
}

}  // namespace slm::evaluate
