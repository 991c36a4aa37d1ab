// One text in, the same text without private data out. JSON texts are taken apart into their values and stay JSON, byte
// for byte the same around what was replaced.
//
// Requires: valid UTF-8.
// Errors: what the surrogate key returns.
// Threads: one at a time.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "scrub/detect/detector.h"
#include "scrub/detect/known.h"
#include "scrub/replace/ledger.h"
#include "scrub/replace/surrogate.h"
#include "scrub/rules.h"

namespace slm::scrub {

// How often each type was found, and what was done.
struct Counts {
  std::vector<int64_t> by_type;        // by TypeIndex
  std::array<int64_t, 4> by_action{};  // by Action
  void add(const Counts& other);
};

struct ScrubbedText {
  std::string text;  // replaced as the rules say
  std::string
      typed;  // every value as [EMAIL], without numbers: what duplicates are compared by. Empty unless asked for.
  bool changed = false;
};

// What is to be seen of each value found, in order: for --try and the gate.
struct Seen {
  TypeIndex type;
  size_t begin, end;  // bytes of the text given; for a JSON string with escapes, its whole token
  std::string_view value;
  std::string_view replacement;
};

class TextScrubber {
 public:
  TextScrubber(const Rules& rules, const Detector& detector, SurrogateKey key, Ledger& ledger);

  struct Options {
    bool typed = false;
    const std::function<void(const Seen&)>* see = nullptr;
    // Whether a key is the name of a parameter: then it is code and stays. Asked only of keys with a find.
    const std::function<bool(std::string_view key)>* is_code = nullptr;
    // Where the text stands in a larger one, for `see`: its begin, and its end if only the whole can be pointed at.
    size_t at = 0, whole_end = 0;
  };
  // `label`: see Detector::find.
  Result<ScrubbedText> scrub(std::string_view text, std::string_view label, const Scope& scope, const Options& options);
  // The key of an object. What would be removed is masked instead, so that keys stay apart.
  Result<ScrubbedText> scrub_key(std::string_view key, const Scope& scope, const Options& options);
  // Whether anything in it would be replaced; counts nothing.
  Result<bool> would_change(std::string_view text, const Scope& scope);
  // Names that are everyone's (public_phrases.h): what a greeting or a signature tells to be a person's is left if it
  // is one of them, unless the session knows a part of it as somebody's.
  void set_public_phrases(std::unordered_set<std::string> phrases) { public_phrases_ = std::move(phrases); }
  // Adds what the text's context words tell to `known`.
  void learn(std::string_view text, std::string_view label, KnownList& known);
  // The session's values, but public phrases that only greetings and signatures tell.
  KnownValues known_values(const KnownList& list) const;

  const Counts& counts() const { return counts_; }
  // Whether a pattern gave up in a text since reset_counts(): then it may hold what nobody found.
  bool gave_up() const { return gave_up_; }
  void reset_counts();

 private:
  enum class As : uint8_t { kText, kNumber, kKey };
  Result<ScrubbedText> scrub_json(std::string_view text, const Scope& scope, const Options& options, int depth,
                                  bool& is_json);
  Result<ScrubbedText> scrub_any(std::string_view text, std::string_view label, const Scope& scope,
                                 const Options& options, int depth);
  Result<ScrubbedText> scrub_plain(std::string_view text, std::string_view label, const Scope& scope,
                                   const Options& options, As as);
  void learn_any(std::string_view text, std::string_view label, KnownList& known, int depth);
  std::vector<Found> find(std::string_view text, std::string_view label, const KnownValues* known);
  const std::vector<Found>& detect(std::string_view text, std::string_view label);
  Result<std::string> replacement(const Found& found, std::string_view value, const Scope& scope, As as);

  const Rules* rules_;
  const Detector* detector_;
  SurrogateMaker surrogates_;
  Ledger* ledger_;
  std::unordered_set<std::string> public_phrases_;
  Counts counts_;
  bool gave_up_ = false;
  // Long texts come again and again (system prompts, the turns before in an agent loop): what was found in them is
  // kept, compared by the text itself, up to a bound.
  struct Scan {
    std::vector<Found> found;
    bool gave_up = false;
  };
  std::unordered_map<std::string, Scan> memo_;
  size_t memo_bytes_ = 0;
  Scan scratch_;
};

}  // namespace slm::scrub
