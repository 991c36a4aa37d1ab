// Which calls and sessions repeat others.
//
// Exact: the same request and answer, byte for byte in canonical form, anywhere before. Near: in another session, at
// the same kind of call site (system prompt's template, tools), with what this call added to its conversation and its
// answer both at least `threshold` alike: Jaccard similarity of the sets of 5-character shingles (case and white space
// folded) of the text with private values as typed placeholders. It is estimated from 2-bit MinHash values, 256 of the
// input and 128 of the answer (standard error 0.022 and 0.031 at 0.9); candidates come from 8 bands of 8 values (a pair
// at 0.9 is looked at with probability 0.99, one at 0.7 with 0.38). The earliest kept call stands for its copies.
//
// A session of which at least half the calls repeat calls of one other group joins that group, so that copies never lie
// on both sides of a split; the groups that an earlier run wrote stay as they are. Units: about 0.3 KB a kept call; no
// text is kept. Threads: one at a time. Source: A. Broder, "On the resemblance and containment of documents", 1997; P.
// Li, A. C. König, "b-bit minwise hashing",
//   WWW 2010.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace slm::scrub {

struct Sketch {
  std::array<uint64_t, 8> input{};   // 256 values of 2 bits
  std::array<uint64_t, 4> answer{};  // 128 values of 2 bits
  std::array<uint32_t, 8> bands{};   // hashed with the site
};
// `site` tells call sites apart; texts as described above.
Sketch make_sketch(std::string_view site, std::string_view input, std::string_view answer);
// Estimates in [0,1].
double input_similarity(const Sketch& a, const Sketch& b);
double answer_similarity(const Sketch& a, const Sketch& b);

class Dedupe {
 public:
  explicit Dedupe(double threshold = 0.9) : threshold_(threshold) {}

  enum class Verdict : uint8_t { kNew, kExact, kNear };
  // One call, in the order of the store. `exact` is a hash of its canonical text.
  struct Item {
    uint64_t exact = 0;
    const Sketch* sketch = nullptr;
    uint32_t session = 0, group = 0;  // indices given by the caller; a group may hold several sessions
  };
  Verdict add(const Item& item);

  // For each group the one it belongs to after all calls: itself for most. `fixed` groups never change.
  struct Merged {
    std::vector<uint32_t> group;                            // by group
    std::vector<std::pair<uint32_t, uint32_t>> late_links;  // two fixed groups that would belong together
  };
  Merged merge(const std::vector<bool>& fixed) const;

 private:
  struct Kept {
    Sketch sketch;
    uint32_t session, group;
  };
  // Kept calls by one band's value: an open table of the latest one each, older ones linked behind it.
  struct Band {
    std::vector<uint32_t> slots;  // index + 1; 0: free
    std::vector<uint32_t> older;  // by kept call: index + 1
    size_t n_used = 0;
  };
  uint32_t latest(size_t band, uint32_t value) const;
  void insert(size_t band, uint32_t index);
  const Kept* find_near(const Item& item) const;
  void count(uint32_t group, const uint32_t* repeated);

  double threshold_;
  std::unordered_map<uint64_t, uint32_t> exact_;  // → group
  std::vector<Kept> kept_;
  std::array<Band, 8> bands_;
  std::vector<uint32_t> n_calls_;                   // by group
  std::unordered_map<uint64_t, uint32_t> repeats_;  // (group, other group) → calls
};

}  // namespace slm::scrub
