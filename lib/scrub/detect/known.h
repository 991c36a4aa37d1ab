// Values already found in a session: KnownList keeps them, in little memory; KnownValues, made of it for the time that
// the session is scrubbed, tells where they stand again, without the words that gave them away.
//
// A name counts as a whole and by its parts (not initials and particles); a telephone or card number by its digits,
// however they are grouped; anything else as it is.
// Requires: valid UTF-8, normalised (normalise.h).
// Threads: const calls from several threads.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "scrub/detect/types.h"

namespace slm::scrub {

enum class NamePart : uint8_t { kGiven, kFamily };

struct KnownValue {
  std::string value;
  TypeIndex type = 0;
  bool courtesy = false;  // told by greetings and signatures only
};

// At most 1,000 values, in order of type and value. About 50 bytes each, 80 from 16 characters.
class KnownList {
 public:
  void add(TypeIndex type, std::string_view value, bool courtesy = false);
  bool empty() const { return values_.empty(); }
  const std::vector<KnownValue>& values() const { return values_; }

 private:
  std::vector<KnownValue> values_;
};

class KnownValues {
 public:
  KnownValues() = default;
  // What `leave_out` (if any) is true of is left out.
  explicit KnownValues(const KnownList& list, const std::function<bool(const KnownValue&)>& leave_out = nullptr);
  void add(TypeIndex type, std::string_view value);
  bool empty() const { return n_ == 0; }
  size_t size() const { return n_; }
  // Appends what occurs in the text; may overlap. Time is linear in the text, however many values are known.
  void find(std::string_view text, std::vector<Found>& out) const;
  // Which part of a name this word (ASCII-folded) is, as seen in the session's full names; nullptr if in none.
  const NamePart* part_of(std::string_view folded_word) const;
  // Whether a word of this name is one of the session's.
  bool knows_part_of(std::string_view name) const;
  // The given name with this first letter (folded), "" if none or several.
  std::string_view given_name_of(std::string_view initial) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  template <class T>
  using Map = std::unordered_map<std::string, T, Hash, std::equal_to<>>;
  struct Part {
    NamePart kind;
    bool ordinary;  // an ordinary word as well
  };
  struct Entry {
    TypeIndex type;
    std::string folded;
    bool part;  // of a name; else a whole value
  };
  void add_entry(TypeIndex type, std::string folded, bool part);
  void find_words(std::string_view text, std::string_view folded, std::vector<Found>& out) const;
  void find_digits(std::string_view text, std::vector<Found>& out) const;
  bool takes_part(std::string_view text, std::string_view folded, size_t begin, size_t end) const;

  size_t n_ = 0;
  std::vector<Entry> entries_;
  Map<std::vector<uint32_t>> by_first_word_;  // first run of word characters → entries
  std::vector<uint32_t> wordless_;            // entries without one
  std::array<bool, 256> first_bytes_{};
  Map<Part> parts_;
  std::vector<std::string> given_;  // given names, in the order they came
  Map<TypeIndex> digits_;           // whole numbers
  Map<TypeIndex> number_keys_;      // their last ten digits, of nine or more
};

// What two spellings of one number share: its last ten digits.
std::string_view number_key(std::string_view digits);

}  // namespace slm::scrub
