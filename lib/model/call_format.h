// How a model's chat template writes an assistant's tool calls, cut out of renderings of planted calls:
//   preamble open CALL (between CALL)* close
// where a call is texts around its name, its arguments and, in some families, its id. Arguments are a JSON object, or
// pairs such as `<parameter=key>value</parameter>` and `key='value'`. What is found is checked by writing the planted
// calls with it: it must give the template's own text.
//
// Threads: pure functions.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "schema/json.h"

namespace slm::model {

struct CallPart {
  enum class Kind { kText, kName, kId, kArguments };
  Kind kind = Kind::kText;
  std::string text;  // of kText
};

// Arguments one after the other: open key middle value close, `between` two.
struct PairSyntax {
  // How the characters of a text value are written.
  enum class Text { kAsIs, kJson, kPython };
  std::string open, middle, close, between;
  std::string quote_open, quote_close;  // around a text; "" where texts look like any other value
  Text text = Text::kAsIs;
  bool python_words = false;  // True and None, not true and null
  bool bare() const { return quote_open.empty(); }
};

struct CallFormat {
  std::string problem;  // why calls can't be read back; "" where they can
  std::string preamble, open, between, close;
  std::vector<CallPart> call;
  // The call is a JSON object between two texts.
  bool json = false;
  std::string json_open, json_close, name_key, arguments_key;
  // Arguments are pairs; else a JSON object.
  std::optional<PairSyntax> pairs;
  bool compact = false;  // JSON without spaces
  bool several = true;   // more than one call a message
  bool content = true;   // shows text beside calls
  bool ids = false;      // shows ids
};

// <tool_call>{"name": …, "arguments": {…}}</tool_call>: written for templates that write no calls.
const CallFormat& plain_calls();

// An assistant's answer as the template writes it, from the end of its prompt to the end of its turn, marks of the end
// included; nothing if the template refuses.
using RenderAnswer = std::function<std::optional<std::string>(const json::value& content, const json::array& calls)>;
struct FoundCalls {
  bool shown = false;  // the template writes a call's name and its arguments
  bool arguments_as_text = false, null_content = false, short_ids = false;  // what a message must be given as
  CallFormat format;
};
// `end`: further texts that may end a turn, beside what the template writes after an answer without calls.
FoundCalls find_calls(const RenderAnswer& render, const std::vector<std::string>& ends);

// The tool that find_calls() calls, as a definition.
json::array probe_tools();
// An OpenAI tool call. `arguments`: an object, or its text.
json::object tool_call(std::string_view name, const json::value& arguments, std::string_view id);

// JSON with a space after ":" and ",", as Python's json.dumps writes it and templates' tojson with it.
std::string spaced_json(const json::value& value);

// The calls as the template writes them, from the preamble to the close.
// Requires: arguments are objects.
std::string write_calls(const CallFormat& format, const json::array& calls);

}  // namespace slm::model
