// The privacy gate: what scrubbing did to values that somebody planted and wrote down, told from the texts before and
// after alone. The detectors' own findings are used only to count what they took for private and the key doesn't know.
//
// The key is JSON lines {"type": …, "value": …}; type "decoy" is a value that looks private and must stay; other
// members (file, line, path) say where it was planted and aren't needed. A planted value is looked for in every call of
// the store: in each call whose body holds it, wherever that is, it must be gone afterwards. The body is searched as it
// is written, not by the walk that scrubs it, so what that walk leaves out is seen. Digits, spaces and case are
// compared as the normalised view has them. Of a URL with credentials, the credentials alone must be gone too. A value
// of less than four bytes stands everywhere by chance: it isn't looked for, but counted.
// Units: shares in [0,1].
// Errors: kIo; kBadInput with the line number.
// Threads: one at a time.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "scrub/artifact.h"
#include "scrub/rules.h"

namespace slm::scrub {

class Gate {
 public:
  static Result<Gate> read(const std::filesystem::path& key_file);
  Gate(Gate&&) noexcept;
  Gate& operator=(Gate&&) noexcept;
  ~Gate();

  // One call: its whole body in JSON before and after, every value found, then end_call(). Only kept calls are counted.
  void before(std::string_view text);
  void after(std::string_view text);
  void found(std::string_view type, std::string_view value);
  void end_call(bool kept);

  int64_t n_unmeasured() const;  // lines of the key whose value is too short to be looked for
  // One row for each type of the key or of what was found, and "decoy" last if the key has any.
  std::vector<GateRow> rows(const Rules& rules) const;

 private:
  struct Impl;
  explicit Gate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// "" if all rows are met; else what isn't, for a message.
std::string gate_failures(const std::vector<GateRow>& rows);

}  // namespace slm::scrub
