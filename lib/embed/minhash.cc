#include "embed/minhash.h"

#include <algorithm>
#include <string>

#include "core/hash.h"
#include "core/random.h"
#include "text/unicode.h"

namespace slm::embed {

namespace {

constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;

uint64_t multiply_mod(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  const uint64_t sum = static_cast<uint64_t>(product & kPrime) + static_cast<uint64_t>(product >> 61);
  return sum >= kPrime ? sum - kPrime : sum;
}

bool is_separator(char32_t c) {
  if (c < 0x80) return !((c >= U'0' && c <= U'9') || (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z'));
  return text::is_space(c);
}

std::vector<uint64_t> word_hashes(std::string_view text) {
  std::vector<uint64_t> out;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) out.push_back(fnv1a(word));
    word.clear();
  };
  for (size_t pos = 0; pos < text.size();) {
    const auto point = text::code_point_at(text, pos);
    pos += point.n_bytes;
    if (is_separator(point.value))
      end_word();
    else
      append_utf8(word, text::lower_of(point.value));
  }
  end_word();
  return out;
}

}  // namespace

std::vector<uint32_t> minhash_signature(std::string_view text, const MinHashOptions& options) {
  const auto words = word_hashes(text);
  std::vector<uint64_t> shingles;
  if (!words.empty()) {
    const size_t n = std::min(words.size(), static_cast<size_t>(std::max(1, options.ngram)));
    for (size_t i = 0; i + n <= words.size(); ++i) {
      uint64_t hash = 0;
      for (size_t j = 0; j < n; ++j) hash = (hash ^ words[i + j]) * 0x9e3779b97f4a7c15ULL, hash ^= hash >> 29;
      shingles.push_back(hash % kPrime);
    }
    std::sort(shingles.begin(), shingles.end());
    shingles.erase(std::unique(shingles.begin(), shingles.end()), shingles.end());
  }
  Prng prng(options.seed);
  std::vector<uint32_t> signature(static_cast<size_t>(options.n_buckets) *
                                  static_cast<size_t>(options.hashes_per_bucket));
  for (auto& entry : signature) {
    const uint64_t a = 1 + prng.below(kPrime - 1), b = prng.below(kPrime);
    uint32_t least = UINT32_MAX;
    for (const uint64_t shingle : shingles) {
      uint64_t value = multiply_mod(a, shingle) + b;
      if (value >= kPrime) value -= kPrime;
      least = std::min(least, static_cast<uint32_t>(value));
    }
    entry = least;
  }
  return signature;
}

std::vector<uint64_t> minhash_buckets(const std::vector<uint32_t>& signature, const MinHashOptions& options) {
  std::vector<uint64_t> keys;
  const auto size = static_cast<size_t>(options.hashes_per_bucket);
  for (size_t begin = 0; begin + size <= signature.size(); begin += size) {
    uint64_t key = 0xcbf29ce484222325ULL + begin;  // a bucket's keys are its own
    for (size_t i = begin; i < begin + size; ++i) key = (key ^ signature[i]) * 0x9e3779b97f4a7c15ULL, key ^= key >> 32;
    keys.push_back(key);
  }
  return keys;
}

double minhash_similarity(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  size_t equal = 0;
  for (size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i];
  return static_cast<double>(equal) / static_cast<double>(a.size());
}

}  // namespace slm::embed
