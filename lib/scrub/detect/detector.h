// Finds private data in a text: the built-in table and the user's own rules, over the normalised view.
//
// Units: byte offsets of the text as given.
// Requires: texts are valid UTF-8.
// Errors: kBadInput for a rule whose pattern PCRE2 refuses.
// Threads: one at a time per Detector.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "scrub/detect/types.h"

namespace slm::scrub {

// A rule of the user's own.
struct UserRule {
  std::string name;     // its type's name
  std::string pattern;  // PCRE2; group 1 is the value, if there is one
  Action action = Action::kSurrogate;
  bool ignore_case = false;
  std::vector<std::string> keywords;  // the pattern is tried only where one of these occurs in the text; none: always
  std::vector<std::string> context;   // one of these must stand within 60 bytes before the value; none: not asked for
};

class Detector {
 public:
  // `built_in`: which of the built-in types are looked for.
  static Result<Detector> create(const std::vector<UserRule>& rules, const std::vector<bool>& built_in);
  Detector(Detector&&) noexcept;
  Detector& operator=(Detector&&) noexcept;
  ~Detector();

  // What was found, in order, without overlaps. `gave_up` (if asked for) becomes true if a pattern needed too many
  // steps to search all of the text; what it would have found was not. `label` is what the field is called where it
  // says something (a JSON key: "customer_name", "phone"): it counts as a label before the text.
  std::vector<Found> find(std::string_view text, std::string_view label = {}, bool* gave_up = nullptr) const;
  // How often a pattern gave up, since the beginning.
  int64_t n_over_limit() const;

 private:
  struct Impl;
  explicit Detector(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slm::scrub
