#include "embed/ngrams.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "text/unicode.h"

namespace slm::embed {

namespace {

constexpr int kMaxN = 8;
constexpr uint64_t kSeed = 0x9e3779b97f4a7c15ULL;

// splitmix64's finaliser over a chain: cheap, and every code point reaches every bit.
uint64_t extend(uint64_t hash, char32_t code_point) {
  uint64_t z = hash ^ (static_cast<uint64_t>(code_point) + kSeed);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return (z ^ (z >> 31)) + kSeed;
}

// At most max_bytes of text, cut before a code point.
std::string_view bounded(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t end = max_bytes;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

// All n-grams of one padded word.
template <class Visit>
void visit_word(const std::vector<char32_t>& word, int min_n, int max_n, Visit&& visit) {
  const size_t size = word.size();
  for (int n = min_n; n <= max_n; ++n) {
    const size_t length = std::min(size, static_cast<size_t>(n));
    for (size_t begin = 0; begin + length <= size; ++begin) {
      uint64_t hash = kSeed;
      for (size_t i = 0; i < length; ++i) hash = extend(hash, word[begin + i]);
      visit(hash);
    }
    if (size <= static_cast<size_t>(n)) break;  // a short word counts once, not once a length
  }
}

template <class Visit>
void visit_all(std::string_view text, const NgramOptions& options, Visit&& visit) {
  text = bounded(text, options.max_bytes);
  std::vector<char32_t> word = {U' '};
  const auto end_word = [&] {
    if (word.size() > 1) {
      word.push_back(U' ');
      visit_word(word, options.min_n, options.max_n, visit);
    }
    word.assign(1, U' ');
  };
  for (size_t pos = 0; pos < text.size();) {
    const auto byte = static_cast<uint8_t>(text[pos]);
    if (byte < 0x80) {
      ++pos;
      const auto c = static_cast<char32_t>(byte);
      if (c == U' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31))
        end_word();
      else
        word.push_back(c >= U'A' && c <= U'Z' ? c + 32 : c);
      continue;
    }
    const auto point = text::code_point_at(text, pos);
    pos += point.n_bytes;
    if (text::is_space(point.value))
      end_word();
    else
      word.push_back(text::lower_of(point.value));
  }
  end_word();
}

// Distinct hashes of one document with their counts, ascending.
void count_terms(std::string_view text, const NgramOptions& options, std::vector<uint64_t>& scratch,
                 std::vector<std::pair<uint64_t, uint32_t>>& out) {
  scratch.clear();
  out.clear();
  visit_all(text, options, [&](uint64_t hash) { scratch.push_back(hash); });
  std::sort(scratch.begin(), scratch.end());
  for (size_t i = 0; i < scratch.size();) {
    size_t j = i + 1;
    while (j < scratch.size() && scratch[j] == scratch[i]) ++j;
    out.emplace_back(scratch[i], static_cast<uint32_t>(j - i));
    i = j;
  }
}

// Document frequencies by open addressing: one pass over a sample meets millions of distinct terms.
class FrequencyTable {
 public:
  void add(uint64_t hash) {
    if (hash == 0) hash = 1;  // 0 marks a free slot
    if ((used_ + 1) * 10 > slots_.size() * 7) grow();
    for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].first == hash) {
        ++slots_[at].second;
        return;
      }
      if (slots_[at].first == 0) {
        slots_[at] = {hash, 1};
        ++used_;
        return;
      }
    }
  }
  std::vector<std::pair<uint64_t, uint32_t>> take() {
    std::erase_if(slots_, [](const auto& slot) { return slot.first == 0; });
    return std::move(slots_);
  }

 private:
  void grow() {
    auto old = std::move(slots_);
    slots_.assign(std::max<size_t>(1024, old.size() * 2), {0, 0});
    for (const auto& slot : old) {
      if (slot.first == 0) continue;
      size_t at = slot.first & (slots_.size() - 1);
      while (slots_[at].first != 0) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = slot;
    }
  }
  std::vector<std::pair<uint64_t, uint32_t>> slots_;
  size_t used_ = 0;
};

Status check(const NgramOptions& options) {
  if (options.min_n < 1 || options.max_n < options.min_n || options.max_n > kMaxN)
    return fail(ErrorCode::kBadInput, fmt::format("n-grams of {} to {} code points; need 1 ≤ min ≤ max ≤ {}",
                                                  options.min_n, options.max_n, kMaxN));
  if (options.max_terms == 0 || options.max_terms > (1u << 30) || options.min_documents < 1)
    return fail(ErrorCode::kBadInput,
                fmt::format("vocabulary of at most {} terms in at least {} documents: out of range", options.max_terms,
                            options.min_documents));
  return {};
}

}  // namespace

void visit_ngrams(std::string_view text, const NgramOptions& options, const std::function<void(uint64_t)>& visit) {
  visit_all(text, options, visit);
}

uint64_t ngram_hash(std::string_view ngram) {
  uint64_t hash = kSeed;
  for (const char32_t c : text::to_code_points(ngram)) hash = extend(hash, c);
  return hash == 0 ? 1 : hash;
}

Result<NgramTfIdf> NgramTfIdf::fit(const std::vector<std::string_view>& documents, const NgramOptions& options) {
  SLM_CHECK(check(options));
  FrequencyTable table;
  std::vector<uint64_t> scratch;
  std::vector<std::pair<uint64_t, uint32_t>> counts;
  for (const auto document : documents) {
    count_terms(document, options, scratch, counts);
    for (const auto& [hash, n] : counts) table.add(hash);
  }
  auto terms = table.take();
  std::erase_if(terms, [&](const auto& term) { return term.second < options.min_documents; });
  if (terms.size() > options.max_terms) {
    const auto more = [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    };
    std::nth_element(terms.begin(), terms.begin() + static_cast<ptrdiff_t>(options.max_terms), terms.end(), more);
    terms.resize(options.max_terms);
  }
  std::sort(terms.begin(), terms.end());
  NgramTfIdf model;
  model.options_ = options;
  for (const auto& [hash, n] : terms) {
    model.terms_.push_back(hash);
    model.idf_.push_back(static_cast<float>(
        std::log((1.0 + static_cast<double>(documents.size())) / (1.0 + static_cast<double>(n))) + 1.0));
  }
  model.build_index();
  return model;
}

void NgramTfIdf::build_index() {
  slots_.assign(std::bit_ceil(std::max<size_t>(16, terms_.size() * 2)), 0);
  for (size_t i = 0; i < terms_.size(); ++i) {
    size_t at = terms_[i] & (slots_.size() - 1);
    while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = static_cast<uint32_t>(i + 1);
  }
}

int64_t NgramTfIdf::find(uint64_t hash) const {
  for (size_t at = hash & (slots_.size() - 1); slots_[at] != 0; at = (at + 1) & (slots_.size() - 1))
    if (terms_[slots_[at] - 1] == hash) return slots_[at] - 1;
  return -1;
}

int64_t NgramTfIdf::column(std::string_view ngram) const { return find(ngram_hash(ngram)); }

SparseRow NgramTfIdf::transform(std::string_view text) const {
  std::vector<uint32_t> columns;
  visit_all(text, options_, [&](uint64_t hash) {
    if (const int64_t column = find(hash == 0 ? 1 : hash); column >= 0)
      columns.push_back(static_cast<uint32_t>(column));
  });
  std::sort(columns.begin(), columns.end());
  SparseRow row;
  double norm = 0;
  for (size_t i = 0; i < columns.size();) {
    size_t j = i + 1;
    while (j < columns.size() && columns[j] == columns[i]) ++j;
    const double weight = (1.0 + std::log(static_cast<double>(j - i))) * idf_[columns[i]];
    row.columns.push_back(columns[i]);
    row.values.push_back(static_cast<float>(weight));
    norm += weight * weight;
    i = j;
  }
  if (norm > 0)
    for (auto& value : row.values) value = static_cast<float>(value / std::sqrt(norm));
  return row;
}

SparseMatrix NgramTfIdf::transform(const std::vector<std::string_view>& documents) const {
  std::vector<SparseRow> rows(documents.size());
  const auto n = static_cast<int64_t>(documents.size());
#pragma omp parallel for schedule(dynamic, 64)
  for (int64_t i = 0; i < n; ++i) rows[static_cast<size_t>(i)] = transform(documents[static_cast<size_t>(i)]);
  SparseMatrix out;
  out.n_columns = n_terms();
  for (const auto& row : rows) out.add_row(row);
  return out;
}

void NgramTfIdf::serialise(Bytes& out) const {
  put_u32(out, static_cast<uint32_t>(options_.min_n));
  put_u32(out, static_cast<uint32_t>(options_.max_n));
  put_u64(out, static_cast<uint64_t>(options_.min_documents));
  put_u64(out, options_.max_terms);
  put_u64(out, options_.max_bytes);
  put_u64(out, terms_.size());
  for (const auto term : terms_) put_u64(out, term);
  for (const auto idf : idf_) put_u32(out, std::bit_cast<uint32_t>(idf));
}

Result<NgramTfIdf> NgramTfIdf::parse(ByteSpan in, size_t& pos) {
  const auto damaged = [] {
    return fail(ErrorCode::kBadInput, "a TF-IDF vocabulary is damaged: its bytes end early or are out of range");
  };
  constexpr size_t kHead = 2 * 4 + 4 * 8;
  if (pos > in.size() || in.size() - pos < kHead) return damaged();
  const uint8_t* p = in.data() + pos;
  NgramTfIdf model;
  auto& options = model.options_;
  const uint32_t min_n = get_u32(p), max_n = get_u32(p + 4);
  if (min_n > kMaxN || max_n > kMaxN) return damaged();
  options.min_n = static_cast<int>(min_n);
  options.max_n = static_cast<int>(max_n);
  options.min_documents = static_cast<int64_t>(get_u64(p + 8));
  options.max_terms = get_u64(p + 16);
  options.max_bytes = get_u64(p + 24);
  const uint64_t n = get_u64(p + 32);
  if (!check(options)) return damaged();
  if (n > options.max_terms || n > (in.size() - pos - kHead) / 12) return damaged();
  p += kHead;
  for (uint64_t i = 0; i < n; ++i) model.terms_.push_back(get_u64(p + 8 * i));
  p += 8 * n;
  for (uint64_t i = 0; i < n; ++i) model.idf_.push_back(std::bit_cast<float>(get_u32(p + 4 * i)));
  for (size_t i = 0; i < n; ++i)
    if ((i > 0 && model.terms_[i] <= model.terms_[i - 1]) || !(model.idf_[i] > 0 && model.idf_[i] < 1e6f))
      return damaged();
  pos += kHead + 12 * n;
  model.build_index();
  return model;
}

}  // namespace slm::embed
