// What a command gets and how it reports. A command parses its flags with CLI11, calls one room, and prints through
// `context.out`. main maps the returned Error to the exit code; nothing else exits.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/progress.h"
#include "core/random.h"
#include "core/time.h"
#include "schema/json.h"

namespace slm::cli {

// The last thing every command prints: its summary. n_in = n_out + all dropped.
struct Summary {
  int64_t n_in = 0, n_out = 0;
  std::map<std::string, int64_t> dropped;
  std::string artifact;             // id of what was made, or empty
  bool changed = false;             // false: nothing new was done
  bool silent = false;              // another process says it all; not shown
  json::object extra;               // further public figures; keys appear beside the others under --json
  std::vector<std::string> lines;   // what the text reporter prints for a person, in order
  ErrorCode code = ErrorCode::kOk;  // kTooManySkipped, kQualityGate, … : the work is done, and this is the exit code
  std::string message;              // why, when code isn't kOk
  std::string hint;
};

// Text for people or JSON lines for programs, behind one interface. stdout carries results, stderr the rest.
class Reporter : public Progress {
 public:
  // A row of a list (a task, a key, …): an aligned table for people, {"message_type":"result", ...} for programs.
  // Rows of one table have the same keys in the same order.
  virtual void row(const json::object& fields) = 0;
  // Ends the current table.
  virtual void end_table() = 0;
  // Text result as it is (a rendered prompt, Markdown): only for commands whose result is text.
  virtual void text(std::string_view text) = 0;
  // What a long step measures as it goes, {"message_type":"status", …} for programs, at most one a second unless
  // `always`.
  virtual void metrics(const json::object& /*fields*/, bool /*always*/) {}
  virtual void summary(std::string_view command, const Summary& summary) = 0;
  virtual void error(std::string_view command, const Error& error) = 0;
  virtual bool is_json() const = 0;
};

struct Globals {
  std::string store;     // --store, SLMCONV_STORE
  std::string identity;  // --identity, SLMCONV_IDENTITY: a key file or a folder of keys
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  int threads = 0;  // 0: all cores
};

struct Context {
  Globals globals;
  Reporter* out = nullptr;
  Clock* clock = nullptr;
  Random* random = nullptr;
  std::istream* in = nullptr;     // stdin
  std::filesystem::path program;  // argv[0]
  bool inputs_exist = true;       // false: a pipeline's step is only read, and an earlier one may make what it names

  // The command that was chosen; set by the callback that on() installs.
  std::string command;
  std::function<Result<Summary>()> run;

  // Installs what `sub` does when chosen. `name` is what the summary calls it, e.g. "keys list".
  void on(CLI::App* sub, std::string name, std::function<Result<Summary>()> action);

  // Checks of inputs named on the command line: what isn't there is a usage error, in one sentence everywhere.
  enum class Input { kFile, kFileOrStdin, kFolder };  // kFileOrStdin: or "-"
  CLI::Validator input(Input kind);
};

// Runs one command line (without argv[0]); returns the exit code. In-process tests call this.
struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool terminal = false;   // stderr is a terminal: progress bars
  int columns = 80;        // of the terminal that shows progress
  int table_columns = 80;  // of what shows results
};
int run_command_line(const std::vector<std::string>& args, Streams streams, Clock& clock, Random& random);

// Whether a pipeline's step can be parsed; runs nothing. Errors: kUsage.
Status check_command_line(const std::vector<std::string>& args, Context& parent);
// Runs a further command inside one (a pipeline's step), with the parent's globals unless args say otherwise.
Result<Summary> run_nested(const std::vector<std::string>& args, Context& parent, Reporter& reporter);

}  // namespace slm::cli
