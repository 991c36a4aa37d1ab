#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "text/pipeline/model.h"
#include "text/pipeline/trie.h"
#include "text/unicode.h"

namespace slm::text::pipeline {
namespace {

constexpr double kUnknownPenalty = 10.0;  // below the worst piece

class Unigram final : public Model {
 public:
  Status load(const Part& part);
  void encode(std::string_view word, std::vector<int32_t>& out) const override;

 private:
  void put_stretch(std::string_view text, std::vector<int32_t>& out) const;

  std::vector<double> scores_;
  Trie trie_;
  std::vector<int32_t> byte_ids_;
  int32_t unknown_ = -1;
  double unknown_score_ = 0;
  bool byte_fallback_ = false;
};

Status Unigram::load(const Part& part) {
  SLM_CHECK(only_fields(part, {"unk_id", "vocab", "byte_fallback"}));
  SLM_TRY(byte_fallback_, bool_field(part, "byte_fallback", false));
  SLM_TRY(const json::array* list, array_field(part, "vocab"));
  if (list->size() > static_cast<size_t>(kMaxId))
    return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: {} pieces, the bound is {}", list->size(), kMaxId));
  double worst = std::numeric_limits<double>::max();
  for (const auto& item : *list) {
    const auto* pair = item.if_array();
    if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_number())
      return fail(
          ErrorCode::kBadInput,
          fmt::format("tokenizer.json: model Unigram: vocab entry {} is not a piece and a score", scores_.size()));
    const double score = (*pair)[1].to_number<double>();
    vocabulary_.add((*pair)[0].get_string(), static_cast<int32_t>(scores_.size()));
    scores_.push_back(score);
    worst = std::min(worst, score);
  }
  for (const auto& item : *list) {
    const std::string_view piece = item.get_array()[0].get_string();
    if (!piece.empty()) trie_.add(piece, vocabulary_.id_of(piece));
  }
  unknown_score_ = worst - kUnknownPenalty;
  if (const auto* unknown = find(*part.object, "unk_id"); unknown != nullptr && !unknown->is_null()) {
    const auto id = get_int(*part.object, "unk_id");
    if (!id || *id < 0 || *id >= static_cast<int64_t>(scores_.size()))
      return fail(ErrorCode::kBadInput, "tokenizer.json: model Unigram: unk_id is not an id of the vocab");
    unknown_ = static_cast<int32_t>(*id);
  }
  byte_ids_ = vocabulary_.byte_ids();
  return {};
}

// The segmentation of the highest sum of scores; characters without a piece count as unknown, and neighbouring ones as
// one.
void Unigram::encode(std::string_view word, std::vector<int32_t>& out) const {
  struct Node {
    double score = 0;
    size_t begin = std::string_view::npos;  // of the stretch that ends here; npos: none yet
    bool unknown = false;
  };
  std::vector<Node> ends(word.size() + 1);
  const auto offer = [&](size_t end, const Node& node) {
    if (ends[end].begin == std::string_view::npos || node.score > ends[end].score) ends[end] = node;
  };
  for (size_t at = 0; at < word.size();) {
    const size_t width = code_point_at(word, at).n_bytes;
    bool has_single = false;
    trie_.prefixes_of(word.substr(at), [&](size_t length, int32_t id) {
      offer(at + length, {ends[at].score + scores_[static_cast<size_t>(id)], at, id == unknown_});
      has_single |= length == width;
    });
    if (!has_single) offer(at + width, {ends[at].score + unknown_score_, at, true});
    at += width;
  }
  std::vector<std::pair<size_t, size_t>> stretches;  // last first
  bool open = false;                                 // the last one is unknown and grows
  for (size_t end = word.size(); end > 0;) {
    const Node& node = ends[end];
    const bool fuses = node.unknown && unknown_ >= 0;
    if (fuses && open) {
      stretches.back().first = node.begin;
    } else {
      stretches.emplace_back(node.begin, end);
    }
    open = fuses;
    end = node.begin;
  }
  for (auto s = stretches.rbegin(); s != stretches.rend(); ++s)
    put_stretch(word.substr(s->first, s->second - s->first), out);
}

void Unigram::put_stretch(std::string_view text, std::vector<int32_t>& out) const {
  if (const int32_t id = vocabulary_.id_of(text); id >= 0) {
    out.push_back(id);
    return;
  }
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<uint8_t>(c)]; };
  if (byte_fallback_ && std::all_of(text.begin(), text.end(), [&](char c) { return byte_id(c) >= 0; })) {
    for (const char c : text) out.push_back(byte_id(c));
  } else if (unknown_ >= 0) {
    out.push_back(unknown_);
  }
}

}  // namespace

Result<std::unique_ptr<Model>> read_unigram(const Part& part) {
  auto model = std::make_unique<Unigram>();
  SLM_CHECK(model->load(part));
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace slm::text::pipeline
