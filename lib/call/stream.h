// Streamed answers put together: chunk by chunk into the object that the provider sends where nothing is streamed.
#pragma once

#include <memory>
#include <string_view>

#include "schema/json.h"

namespace slm {

class StreamAssembly {
 public:
  virtual ~StreamAssembly() = default;
  // One event's data; `name` is the event's, if it has one. What isn't understood is passed over.
  virtual void event(std::string_view name, const json::object& data) = 0;
  virtual bool has_output() const = 0;  // text, a tool call or reasoning has begun
  virtual bool complete() const = 0;    // the provider said that the answer is over
  virtual json::object finish() = 0;    // once
};

// chat.completion.chunk: by choice and tool index; usage, refusals, reasoning, function_call, an error in the stream.
std::unique_ptr<StreamAssembly> assemble_chat();

// Responses events: the whole object that response.completed, .incomplete and .failed carry, else what the items and
// deltas up to there give.
std::unique_ptr<StreamAssembly> assemble_responses();
// message_start, content_block_*, message_delta, error.
std::unique_ptr<StreamAssembly> assemble_messages();

}  // namespace slm
