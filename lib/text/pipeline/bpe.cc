#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <span>

#include "text/pipeline/model.h"
#include "text/unicode.h"

namespace slm::text::pipeline {
namespace {

constexpr size_t kMaxWordBytes = 1 << 30;

struct Merge {
  uint32_t rank = 0;
  int32_t id = -1;  // of the piece it makes
};

uint64_t pair_key(int32_t a, int32_t b) { return uint64_t{static_cast<uint32_t>(a)} << 32 | static_cast<uint32_t>(b); }

// Pairs of ids → merges, in one open-addressed table.
class Merges {
 public:
  explicit Merges(size_t n = 0) {
    size_t size = 16;
    while (size < 2 * n) size *= 2;
    slots_.resize(size);
  }
  void put(int32_t a, int32_t b, Merge merge) {
    Slot& slot = slots_[place(pair_key(a, b))];
    slot = {pair_key(a, b), merge};
  }
  const Merge* find(int32_t a, int32_t b) const {
    const Slot& slot = slots_[place(pair_key(a, b))];
    return slot.merge.id < 0 ? nullptr : &slot.merge;
  }

 private:
  struct Slot {
    uint64_t key = 0;
    Merge merge;
  };
  size_t place(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t at = static_cast<size_t>((key * 0x9e3779b97f4a7c15u) >> 20) & mask;
    while (slots_[at].merge.id >= 0 && slots_[at].key != key) at = (at + 1) & mask;
    return at;
  }
  std::vector<Slot> slots_;
};

// Words seen before and their ids, in parts with a lock each. A part that is full takes no more.
class WordCache {
 public:
  bool find(std::string_view word, std::vector<int32_t>& out) const {
    if (word.size() > kLongest) return false;
    Part& part = part_of(word);
    const std::lock_guard lock(part.mutex);
    const auto at = part.words.find(word);
    if (at == part.words.end()) return false;
    out.insert(out.end(), at->second.begin(), at->second.end());
    return true;
  }
  void put(std::string_view word, std::span<const int32_t> ids) const {
    if (word.size() > kLongest) return;
    Part& part = part_of(word);
    const std::lock_guard lock(part.mutex);
    if (part.words.size() < kMostWords) part.words.try_emplace(std::string(word), ids.begin(), ids.end());
  }

 private:
  static constexpr size_t kLongest = 128, kMostWords = 2048, kParts = 16;
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  struct Part {
    std::mutex mutex;
    std::unordered_map<std::string, std::vector<int32_t>, Hash, std::equal_to<>> words;
  };
  Part& part_of(std::string_view word) const { return (*parts_)[(Hash{}(word) >> 17) % kParts]; }
  std::unique_ptr<std::array<Part, kParts>> parts_ = std::make_unique<std::array<Part, kParts>>();
};

class Bpe final : public Model {
 public:
  Status load(const Part& part);
  void encode(std::string_view word, std::vector<int32_t>& out) const override;

 private:
  struct Symbol {
    int32_t id = -1;
    int32_t prev = -1, next = -1;
    bool gone = false;
  };
  struct Candidate {
    uint32_t rank = 0;
    int32_t at = 0, id = -1;
    bool operator<(const Candidate& other) const {  // std's heaps put the largest on top
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };

  Status read_merges(const Part& part);
  int32_t character_id(std::string_view text, bool first, bool last) const;
  std::vector<Symbol> symbols_of(std::string_view word) const;
  void merge(std::vector<Symbol>& symbols) const;

  Merges merges_;
  std::string prefix_, suffix_;
  std::vector<int32_t> byte_ids_;
  std::vector<int32_t> low_ids_;  // of the characters below U+0200, most of what byte-level vocabularies see
  int32_t unknown_ = -1;
  bool fuse_unknown_ = false, byte_fallback_ = false, ignore_merges_ = false;
  WordCache cache_;
};

Status Bpe::load(const Part& part) {
  SLM_CHECK(only_fields(part, {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                               "byte_fallback", "ignore_merges", "vocab", "merges"}));
  if (const auto* dropout = find(*part.object, "dropout"); dropout != nullptr && !dropout->is_null()) {
    const auto value = get_number(*part.object, "dropout");
    if (!value || *value != 0)
      return fail(ErrorCode::kUnsupportedModel,
                  "tokenizer.json: model BPE has dropout, which gives other ids each time; this build does none");
  }
  const auto* vocabulary = get_object(*part.object, "vocab");
  if (vocabulary == nullptr) return fail(ErrorCode::kBadInput, "tokenizer.json: model BPE has no vocab");
  SLM_TRY(vocabulary_, Vocabulary::read(*vocabulary));
  SLM_TRY(prefix_, text_field_or(part, "continuing_subword_prefix", ""));
  SLM_TRY(suffix_, text_field_or(part, "end_of_word_suffix", ""));
  SLM_TRY(fuse_unknown_, bool_field(part, "fuse_unk", false));
  SLM_TRY(byte_fallback_, bool_field(part, "byte_fallback", false));
  SLM_TRY(ignore_merges_, bool_field(part, "ignore_merges", false));
  if (const auto* unknown = find(*part.object, "unk_token"); unknown != nullptr && !unknown->is_null()) {
    SLM_TRY(const std::string piece, text_field(part, "unk_token"));
    unknown_ = vocabulary_.id_of(piece);
    if (unknown_ < 0) return fail(ErrorCode::kBadInput, "tokenizer.json: model BPE: unk_token is not in the vocab");
  }
  byte_ids_ = vocabulary_.byte_ids();
  for (char32_t c = 0; c < 0x200; ++c) low_ids_.push_back(vocabulary_.id_of(to_utf8({c})));
  return read_merges(part);
}

Status Bpe::read_merges(const Part& part) {
  SLM_TRY(const json::array* list, array_field(part, "merges"));
  merges_ = Merges(list->size());
  uint32_t rank = 0;
  for (const auto& item : *list) {
    std::string_view a, b;
    if (const auto* text = item.if_string()) {
      const std::string_view both = *text;
      if (both.starts_with("#version")) continue;
      const size_t space = both.find(' ');
      if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos)
        return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: merge {} is not two pieces", rank));
      a = both.substr(0, space);
      b = both.substr(space + 1);
    } else {
      const auto* pair = item.if_array();
      if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_string())
        return fail(ErrorCode::kBadInput, fmt::format("tokenizer.json: merge {} is not two pieces", rank));
      a = (*pair)[0].get_string();
      b = (*pair)[1].get_string();
    }
    const int32_t left = vocabulary_.id_of(a), right = vocabulary_.id_of(b);
    const int32_t made =
        b.size() < prefix_.size() ? -1 : vocabulary_.id_of(std::string(a) + std::string(b.substr(prefix_.size())));
    if (left < 0 || right < 0 || made < 0)
      return fail(ErrorCode::kBadInput,
                  fmt::format("tokenizer.json: merge {} has a piece that is not in the vocab", rank));
    merges_.put(left, right, {rank++, made});
  }
  return {};
}

int32_t Bpe::character_id(std::string_view text, bool first, bool last) const {
  const bool prefixed = !first && !prefix_.empty(), suffixed = last && !suffix_.empty();
  if (!prefixed && !suffixed) {
    const auto c = code_point_at(text, 0);
    return c.value < low_ids_.size() ? low_ids_[c.value] : vocabulary_.id_of(text);
  }
  std::string whole = prefixed ? prefix_ : std::string();
  whole += text;
  if (suffixed) whole += suffix_;
  return vocabulary_.id_of(whole);
}

std::vector<Bpe::Symbol> Bpe::symbols_of(std::string_view word) const {
  std::vector<Symbol> out;
  out.reserve(word.size());
  const auto add = [&](int32_t id) { out.push_back({id}); };
  bool pending = false;  // an unknown piece not yet written
  for (size_t i = 0; i < word.size();) {
    const std::string_view text = word.substr(i, code_point_at(word, i).n_bytes);
    const bool first = i == 0;
    i += text.size();
    const bool last = i == word.size();
    if (const int32_t id = character_id(text, first, last); id >= 0) {
      if (pending) add(unknown_);
      pending = false;
      add(id);
      continue;
    }
    if (byte_fallback_) {  // of the character with what is put around it; unknown pieces before it stay pending
      const std::string whole = (first ? "" : prefix_) + std::string(text) + (last ? suffix_ : "");
      const auto byte_id = [&](char c) { return byte_ids_[static_cast<uint8_t>(c)]; };
      if (std::all_of(whole.begin(), whole.end(), [&](char c) { return byte_id(c) >= 0; })) {
        for (const char c : whole) add(byte_id(c));
        continue;
      }
    }
    if (unknown_ < 0) continue;
    if (pending && !fuse_unknown_) add(unknown_);
    pending = true;
  }
  if (pending) add(unknown_);
  for (size_t i = 0; i < out.size(); ++i) {
    out[i].prev = static_cast<int32_t>(i) - 1;
    out[i].next = i + 1 < out.size() ? static_cast<int32_t>(i) + 1 : -1;
  }
  return out;
}

// Merges the pair of lowest rank, leftmost first, until none is left.
void Bpe::merge(std::vector<Symbol>& symbols) const {
  std::vector<Candidate> heap;
  heap.reserve(symbols.size());
  const auto candidate = [&](int32_t at) -> std::optional<Candidate> {
    const Symbol& left = symbols[static_cast<size_t>(at)];
    if (left.next < 0) return std::nullopt;
    const Merge* merge = merges_.find(left.id, symbols[static_cast<size_t>(left.next)].id);
    if (merge == nullptr) return std::nullopt;
    return Candidate{merge->rank, at, merge->id};
  };
  for (int32_t i = 0; i + 1 < static_cast<int32_t>(symbols.size()); ++i)
    if (const auto c = candidate(i)) heap.push_back(*c);
  std::make_heap(heap.begin(), heap.end());
  const auto push = [&](int32_t at) {
    if (const auto c = candidate(at)) {
      heap.push_back(*c);
      std::push_heap(heap.begin(), heap.end());
    }
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate top = heap.back();
    heap.pop_back();
    Symbol& left = symbols[static_cast<size_t>(top.at)];
    if (left.gone || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    const Merge* now = merges_.find(left.id, right.id);
    if (now == nullptr || now->id != top.id) continue;  // one side has changed since
    left.id = top.id;
    left.next = right.next;
    right.gone = true;
    if (right.next >= 0) symbols[static_cast<size_t>(right.next)].prev = top.at;
    if (left.prev >= 0) push(left.prev);
    push(top.at);
  }
}

void Bpe::encode(std::string_view word, std::vector<int32_t>& out) const {
  if (word.empty() || word.size() > kMaxWordBytes) return;
  if (cache_.find(word, out)) return;
  const size_t before = out.size();
  const int32_t whole = ignore_merges_ ? vocabulary_.id_of(word) : -1;
  if (whole >= 0) {
    out.push_back(whole);
  } else {
    auto symbols = symbols_of(word);
    merge(symbols);
    for (const Symbol& s : symbols)
      if (!s.gone) out.push_back(s.id);
  }
  cache_.put(word, std::span(out).subspan(before));
}

}  // namespace

Result<std::unique_ptr<Model>> read_bpe(const Part& part) {
  auto model = std::make_unique<Bpe>();
  SLM_CHECK(model->load(part));
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace slm::text::pipeline
