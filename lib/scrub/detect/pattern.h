// A compiled PCRE2 pattern over UTF-8, matched by the just-in-time compiler where there is one.
//
// Requires: subjects are valid UTF-8.
// Errors: kBadInput from compile(), with what PCRE2 says and where in the pattern.
// Threads: compile once, match from one thread (the match data is shared).
// Source: pcre2api(3).
#pragma once

#include <memory>
#include <string_view>

#include "core/error.h"

namespace slm::scrub {

class Pattern {
 public:
  struct Options {
    bool ignore_case = false;
    bool anchored = false;  // matches only where the search begins
  };
  static Result<Pattern> compile(std::string_view pattern, const Options& options);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  // [begin, end) is the whole match; [value_begin, value_end) group 1 where the pattern has one that took part, else
  // the whole match.
  struct Match {
    size_t begin = 0, end = 0, value_begin = 0, value_end = 0;
  };
  // The first match that starts at or after `from`. A match that exceeds PCRE2's limits counts as none, and `hit_limit`
  // is set: the caller counts it, since something may have been overlooked.
  bool find(std::string_view subject, size_t from, Match& match, bool& hit_limit) const;

 private:
  struct Impl;
  explicit Pattern(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slm::scrub
