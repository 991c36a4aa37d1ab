// Read calls into the store: tag, id, and pseudonyms for what names a person or a session.
//
// The tag is made of what names the call in its log (a span); else of the call's text and second, where equal calls of
// one input count up and stay apart. Either way the same call read again is known.
// Errors: what the store returns.
// Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "call/dialects/dialect.h"
#include "collect/occurrences.h"
#include "store/store.h"

namespace slm::collect {

// The pseudonym of a session ("ses") or source ("src").
using Namer = std::function<Result<std::string>(std::string_view kind, std::string_view value)>;
// A call as the store takes it, under this tag: an id of its own, pseudonyms for its names.
Result<store::NewCall> new_call(const store::Store& store, CallMeta meta, std::string body, const store::Tag& tag,
                                const Namer& name_of);

// A call as it was read, in the texts that a store keeps or names it by.
struct ReadCall {
  CallMeta meta;  // its session, group and source still the log's own words
  std::string body;
  std::string name;       // what its tag is made of
  bool is_named = false;  // by its log; else `name` is its canonical text
};
ReadCall read_call(const dialects::LoggedCall& logged);

class CallWriter {
 public:
  static Result<std::unique_ptr<CallWriter>> open(store::Store& store, const store::AppendOptions& options);
  Status add(ReadCall read);
  Status flush() { return appender_->flush(); }
  // From here on equal calls are the same again: a new input begins.
  void begin_input() {
    occurrences_.clear();
    names_.clear();
  }
  int64_t n_added() const { return appender_->n_added(); }
  int64_t n_known() const { return appender_->n_known(); }
  int64_t n_erased() const { return appender_->n_erased(); }

 private:
  CallWriter(store::Store& store, std::unique_ptr<store::Appender> appender)
      : store_(store), appender_(std::move(appender)) {}

  Result<store::Tag> tag_of(const ReadCall& read);
  // A session's calls lie close together in a log: their name is made once.
  Result<std::string> pseudonym(std::string_view kind, std::string_view value);

  store::Store& store_;
  std::unique_ptr<store::Appender> appender_;
  Occurrences occurrences_;
  std::unordered_map<std::string, std::string> names_;
};

}  // namespace slm::collect
