// parse → run → one mapping from Error to exit code.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <ostream>
#include <sstream>

#include "command.h"
#include "commands/all.h"
#include "core/log.h"
#include "schema/manifest.h"
#include "ui/reporters.h"

namespace slm::cli {
namespace {

std::string exit_code_footer() {
  std::string text = "Exit codes:\n";
  const auto [rows, n] = exit_code_table();
  for (size_t i = 0; i < n; ++i) text += fmt::format("  {:>3}  {}\n", exit_code(rows[i].code), rows[i].meaning);
  return text;
}

// SLMCONV_STORE and SLMCONV_IDENTITY stand in for flags that the command line lacks. They are put on the command line,
// because CLI11 lets a configuration file win over its own environment variables and we promise the reverse.
std::vector<std::string> with_environment(std::vector<std::string> args) {
  struct Row {
    const char* variable;
    const char* flag;
  };
  static constexpr Row kRows[] = {{"SLMCONV_STORE", "--store"}, {"SLMCONV_IDENTITY", "--identity"}};
  std::vector<std::string> front;
  for (const Row& row : kRows) {
    const char* value = std::getenv(row.variable);
    const bool given = std::any_of(args.begin(), args.end(), [&](const std::string& a) {
      return a == row.flag || a.starts_with(std::string(row.flag) + "=");
    });
    if (value != nullptr && *value != '\0' && !given) {
      front.emplace_back(row.flag);
      front.emplace_back(value);
    }
  }
  args.insert(args.begin(), front.begin(), front.end());
  return args;
}

void add_globals(CLI::App& app, Globals& g) {
  app.add_option("--store", g.store, "Folder of the sealed store (SLMCONV_STORE)")->type_name("DIR");
  app.add_option("--identity", g.identity,
                 "Key file, or folder of keys from which each step takes its role's (SLMCONV_IDENTITY)")
      ->type_name("KEYFILE|DIR");
  app.set_config("--config", "", "TOML file of flags: section = command, key = long option")->type_name("F.toml");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_flag("--json", g.json, "JSON lines on stdout instead of text");
  app.add_flag("-q,--quiet", g.quiet, "No progress and notes: results, warnings and errors only");
  app.add_flag("-v,--verbose", g.verbose, "Say on stderr what each step ran on, its time and its peak memory");
  app.add_option("--threads", g.threads, "Threads to compute with; 0: all cores")->check(CLI::Range(0, 1024));
}

}  // namespace

void Context::on(CLI::App* sub, std::string name, std::function<Result<Summary>()> action) {
  sub->final_callback([this, sub, name = std::move(name), action = std::move(action)] {
    if (!sub->get_subcommands().empty()) return;  // a command inside it was chosen, and has set itself
    command = name;
    run = action;
  });
}

CLI::Validator Context::input(Input kind) {
  return CLI::Validator(
      [this, kind](const std::string& path) -> std::string {
        if (!inputs_exist || (kind == Input::kFileOrStdin && path == "-")) return {};
        std::error_code ec;
        const auto status = std::filesystem::status(path, ec);
        if (!std::filesystem::exists(status)) return "no such file or folder: " + path;
        if (std::filesystem::is_directory(status) != (kind == Input::kFolder))
          return path + (kind == Input::kFolder ? " is no folder" : " is a folder, not a file");
        return {};
      },
      "");
}

namespace {

// Builds the parser around `context`; the chosen command's action is left in context.run.
void build_app(CLI::App& app, Context& context) {
  app.footer(exit_code_footer());
  app.set_version_flag("--version", std::string(tool_version()));
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();
  add_globals(app, context.globals);
  add_all_commands(app, context);
  app.fallthrough();
  for (auto* sub : app.get_subcommands({})) {
    sub->fallthrough();
    for (auto* inner : sub->get_subcommands({})) inner->fallthrough();
  }
}

// As far as the command line named it: "store verify".
std::string chosen_command(const CLI::App& app) {
  std::string out;
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    out += (out.empty() ? "" : " ") + at->get_name();
  }
  return out;
}

// Parses; on failure gives the error (for help and version: nothing, with `shown` true after printing them).
std::optional<Error> parse(CLI::App& app, const std::vector<std::string>& args, Streams& streams, bool& shown) {
  std::vector<std::string> reversed = with_environment(args);
  std::reverse(reversed.begin(), reversed.end());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) {
      app.exit(e, streams.out, streams.err);
      shown = true;
      return std::nullopt;
    }
    if (const auto* config = app.get_config_ptr();
        dynamic_cast<const CLI::FileError*>(&e) != nullptr && config != nullptr && config->count() > 0)
      return Error{ErrorCode::kUsage, "--config: no such file or folder: " + config->results().front(), {}};
    // CLI11 says only that a command is required when the one given isn't known.
    std::string message = e.what();
    if (app.get_subcommands().empty() && app.remaining_size() > 0)
      message = fmt::format("unknown command or flag: {}", app.remaining().front());
    const std::string command = chosen_command(app);
    return Error{ErrorCode::kUsage, message, fmt::format("slmconv{}{} --help", command.empty() ? "" : " ", command)};
  }
  return std::nullopt;
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

// What failed did nothing that counts.
Summary summary_of(Result<Summary> result) {
  if (result) return std::move(*result);
  Summary out;
  out.code = result.error().code;
  out.message = std::move(result.error().message);
  out.hint = std::move(result.error().hint);
  return out;
}

Result<Summary> run_chosen(Context& context) {
  if (!context.run) return fail(ErrorCode::kUnexpected, "no command was run");
  const double started_s = context.clock->monotonic_s();
  try {
    Result<Summary> result = context.run();
    log_info(fmt::format("{}: {:.2f} s, at most {:.0f} MB resident so far", context.command,
                         context.clock->monotonic_s() - started_s, static_cast<double>(peak_memory_bytes()) / 1e6));
    return result;
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kOutOfMemory, "out of memory");
  } catch (const std::exception& e) {
    // A bug: every room converts what its libraries throw. Only the type is shown: the text might quote a record.
    return fail(ErrorCode::kUnexpected, fmt::format("internal error ({})", typeid(e).name()));
  }
}

}  // namespace

namespace {

// Parses a step's command line into `context`, with the parent's globals unless args say otherwise.
Status parse_nested(const std::vector<std::string>& args, Context& parent, CLI::App& app, Context& context) {
  context.globals = parent.globals;
  context.clock = parent.clock;
  context.random = parent.random;
  context.in = parent.in;
  build_app(app, context);
  std::ostringstream nowhere;
  Streams streams{*parent.in, nowhere, nowhere};
  bool shown = false;
  if (auto error = parse(app, args, streams, shown)) return fail(std::move(*error));
  if (shown) return fail(ErrorCode::kUsage, "a step that only shows help");
  return {};
}

}  // namespace

Status check_command_line(const std::vector<std::string>& args, Context& parent) {
  Context context;
  context.inputs_exist = false;
  CLI::App app("", "slmconv");
  return parse_nested(args, parent, app, context);
}

Result<Summary> run_nested(const std::vector<std::string>& args, Context& parent, Reporter& reporter) {
  Context context;
  context.out = &reporter;
  CLI::App app("", "slmconv");
  SLM_CHECK(parse_nested(args, parent, app, context));
  return run_chosen(context);
}

int run_command_line(const std::vector<std::string>& args, Streams streams, Clock& clock, Random& random) {
  Context context;
  context.clock = &clock;
  context.random = &random;
  context.in = &streams.in;
  auto make_reporter = [&](bool as_json) {
    const ReporterOptions options{streams.terminal, context.globals.quiet, streams.columns, streams.table_columns,
                                  &clock};
    return as_json ? json_reporter(streams.out, options) : text_reporter(streams.out, streams.err, options);
  };

  CLI::App app("Turns an agent's LLM calls into specialist small models, and proves which calls they can take over.",
               "slmconv");
  build_app(app, context);
  bool shown = false;
  if (const auto error = parse(app, args, streams, shown)) {
    const bool as_json = std::find(args.begin(), args.end(), "--json") != args.end();
    make_reporter(as_json)->summary(chosen_command(app), summary_of(fail(*error)));
    return exit_code(error->code);
  }
  if (shown) return 0;
  set_log_level(context.globals.verbose ? LogLevel::kInfo : LogLevel::kWarn);

  const auto reporter = make_reporter(context.globals.json);
  context.out = reporter.get();
  set_log_sink(
      {[&](std::string_view line) { reporter->warn(line); }, [&](std::string_view line) { reporter->note(line); }});
  const Summary summary = summary_of(run_chosen(context));
  set_log_sink({});
  if (!summary.silent) reporter->summary(context.command, summary);
  return exit_code(summary.code);
}

}  // namespace slm::cli
