// Dialects: how log records of one format map into calls. A table, one row and one file per dialect.
//
// A record is one JSON value: a line of a JSONL file or an element of a file that is one array. Dialects are told apart
// record by record, so a file may mix them.
// Requires: well-formed JSON; nothing about its shape. Records are hostile input: no parser here throws or trusts.
// Errors: a record that can't be read gives a reason: a stable token in snake_case, never text of the record.
// Threads: pure functions.
// Source: each dialect's file says which mapping it follows and where the format is described.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "call/call.h"

namespace slm::dialects {

// One call as a record tells it. `call.meta.id` isn't set yet, and session, group and source are still the log's own
// words: the importer replaces them by pseudonyms before anything is stored.
struct LoggedCall {
  Call call;
  std::string_view failure;  // "" or why it counts as failed: "error", "refusal", "empty", "length", "no_response"
  std::string key;           // what names this call and no other, where the format has that: "otlp TRACE SPAN"
};

class CallSink {
 public:
  virtual ~CallSink() = default;
  // Sees one call, for the time of this call only; false: no more are wanted.
  virtual bool call(const LoggedCall& call) = 0;
  // Something was left out that the format itself excludes, or that holds no call's text.
  virtual void skip(std::string_view reason) = 0;
};

// Reads the records of one input together, for formats that spread a call over several of them. What it holds is
// bounded: beyond that the oldest goes as it is.
class RecordJoiner {
 public:
  virtual ~RecordJoiner() = default;
  // "" or the reason why the record can't be read. May hand over calls, of this record or of earlier ones.
  virtual std::string_view add(json::value& record, CallSink& sink) = 0;
  // At the input's end: hands over the rest.
  virtual void finish(CallSink& sink) = 0;
};

struct Dialect {
  std::string_view name;
  std::string_view about;  // one line for help
  // How sure that `record` is of this dialect: 0 no, 100 certainly.
  int (*sniff)(const json::value& record);
  // Hands over each call of the record, in the order they were made; takes the record apart. "" or the reason why it
  // can't be read; then no call was handed over.
  std::string_view (*parse)(json::value& record, CallSink& sink);
  // nullptr: each record stands for itself.
  std::unique_ptr<RecordJoiner> (*joiner)() = nullptr;
};

std::span<const Dialect> all();
const Dialect* by_name(std::string_view name);
// The dialect that is surest of this record; nullptr if none knows it.
const Dialect* recognise(const json::value& record);

// The rows' functions.
int sniff_openai_chat(const json::value& record);
std::string_view parse_openai_chat(json::value& record, CallSink& sink);
int sniff_messages(const json::value& record);
std::string_view parse_messages(json::value& record, CallSink& sink);
int sniff_tau_bench(const json::value& record);
std::string_view parse_tau_bench(json::value& record, CallSink& sink);
int sniff_anthropic(const json::value& record);
std::string_view parse_anthropic_file(json::value& record, CallSink& sink);
int sniff_openai_responses(const json::value& record);
std::string_view parse_openai_responses_file(json::value& record, CallSink& sink);
int sniff_transcript(const json::value& record);
std::string_view parse_transcript(json::value& record, CallSink& sink);
int sniff_sharegpt(const json::value& record);
std::string_view parse_sharegpt(json::value& record, CallSink& sink);
int sniff_litellm(const json::value& record);
std::string_view parse_litellm(json::value& record, CallSink& sink);
int sniff_otlp(const json::value& record);
std::string_view parse_otlp(json::value& record, CallSink& sink);
std::unique_ptr<RecordJoiner> join_otlp();
int sniff_langfuse(const json::value& record);
std::string_view parse_langfuse(json::value& record, CallSink& sink);
std::unique_ptr<RecordJoiner> join_langfuse();
int sniff_openai_stored(const json::value& record);
std::string_view parse_openai_stored(json::value& record, CallSink& sink);
std::unique_ptr<RecordJoiner> join_openai_stored();

// Of {request, response} as they passed; recording.h uses them.
std::string_view parse_openai_responses(json::value& record, CallSink& sink);
std::string_view parse_anthropic(json::value& record, CallSink& sink);
std::string_view parse_openai_embeddings(json::value& record, CallSink& sink);
// What a dialect does last: why it failed, whether it speaks to a human, its place in its session by the turns before.
void finish_call(LoggedCall& logged);

// A conversation's turns each carry the messages before them, which grows with the square of its length. A record that
// would unfold into more than this is refused ("conversation_too_long").
inline constexpr uint64_t kMaxUnfoldedBytes = uint64_t{1} << 30;

}  // namespace slm::dialects
