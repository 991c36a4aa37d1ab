// Values already found in a session: where they stand again, without the words that gave them away.
//
// A name counts as a whole and by its parts (not initials and particles); a telephone or card number by its digits,
// however they are grouped; anything else as it is.
// Requires: valid UTF-8, normalised (normalise.h).
// Threads: const calls from several threads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "scrub/detect/types.h"

namespace slm::scrub {

enum class NamePart : uint8_t { kGiven, kFamily };

class KnownValues {
 public:
  void add(TypeIndex type, std::string_view value);
  bool empty() const { return whole_.empty(); }
  // Appends what occurs in the text; may overlap.
  void find(std::string_view text, std::vector<Found>& out) const;
  // Which part of a name this word (ASCII-folded) is, as seen in the session's full names; nullptr if in none.
  const NamePart* part_of(std::string_view folded_word) const;
  // The given name with this first letter (folded), "" if none or several.
  std::string_view given_name_of(std::string_view initial) const;
  size_t size() const { return whole_.size(); }

 private:
  struct Whole {
    TypeIndex type;
    std::string folded;  // ASCII-folded value, or digits
    bool digits;
  };
  struct Part {
    std::string folded;
    NamePart kind;
    bool ordinary;  // an ordinary word as well
  };
  void find_words(std::string_view text, std::string_view folded, std::vector<Found>& out) const;
  void find_digits(std::string_view text, std::vector<Found>& out) const;
  std::vector<Whole> whole_;
  std::vector<Part> parts_;
  bool has_digits_ = false;
};

// What two spellings of one number share: its last ten digits.
std::string_view number_key(std::string_view digits);

}  // namespace slm::scrub
