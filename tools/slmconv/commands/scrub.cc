#include "commands/scrub.h"

#include <fmt/format.h>

#include <algorithm>
#include <istream>
#include <iterator>

#include "commands/store.h"
#include "core/file.h"
#include "core/hash.h"
#include "scrub/detect/normalise.h"
#include "scrub/replace/json_text.h"
#include "scrub/replace/text_scrubber.h"
#include "scrub/scrub.h"

namespace slm::cli {
namespace {

struct ScrubFlags {
  std::string try_path, rules, answer_key;
  double validation = 0.10, test = 0.20, near = 0.9;
  double gate_recall = -1, gate_false = -1;  // < 0: as the rules say
  bool keep_duplicates = false, no_hci = false;
};

Result<scrub::Rules> load_rules(const ScrubFlags& flags) {
  scrub::Rules rules;
  if (!flags.rules.empty()) {
    SLM_TRY(rules, scrub::read_rules(flags.rules));
  }
  const auto override_bound = [&](scrub::GateBound& bound) {
    if (flags.gate_recall >= 0) bound.recall = flags.gate_recall;
    if (flags.gate_false >= 0) bound.false_positives = flags.gate_false;
  };
  override_bound(rules.gate);
  return rules;
}

// --- scrub --try

// What of a value may be shown: its first character, its length.
std::string masked(std::string_view value) {
  size_t first = 0, n = 0;
  for (size_t at = 0; at < value.size(); ++n) {
    scrub::next_char(value, at);
    if (n == 0) first = at;
  }
  return fmt::format("{}{} ({})", value.substr(0, first), n > 1 ? "…" : "", n);
}

// A JSON Lines text is taken line by line, so that each is seen as JSON; anything else as one text.
std::vector<std::string_view> pieces_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      if (!scrub::looks_like_json(line)) return {text};
      lines.push_back(line);
    }
    at = end + 1;
  }
  return lines.size() > 1 ? lines : std::vector<std::string_view>{text};
}

Result<std::string> read_text(const std::string& path, Context& context) {
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(*context.in), {});
  } else {
    SLM_TRY(text, read_file(path));
  }
  if (!is_utf8(text))
    return fail(ErrorCode::kBadInput, fmt::format("{} isn't valid UTF-8", path), "iconv -f … -t UTF-8");
  return text;
}

Result<Summary> run_try(Context& context, const ScrubFlags& flags) {
  SLM_TRY(const scrub::Rules rules, load_rules(flags));
  SLM_TRY(const std::string text, read_text(flags.try_path, context));
  SLM_TRY(const scrub::Detector detector,
          scrub::Detector::create(rules.user, std::vector<bool>(scrub::kNumBuiltinTypes, true)));
  // No store, so no surrogate key: a key for this run alone.
  Bytes secret(32);
  context.random->fill(secret);
  const auto key = [&](std::string_view input) -> Result<Digest> {
    Bytes all = secret;
    put_bytes(all, as_bytes(input));
    return sha256(all);
  };
  scrub::Ledger ledger;
  scrub::TextScrubber scrubber(rules, detector, key, ledger);
  const auto pieces = pieces_of(text);
  scrub::KnownList list;
  for (const std::string_view piece : pieces) scrubber.learn(piece, {}, list);
  const scrub::KnownValues known(list);

  Summary summary;
  std::string shown;
  const std::function<void(const scrub::Seen&)> see = [&](const scrub::Seen& seen) {
    context.out->row({{"type", rules.type_name(seen.type)},
                      {"begin", seen.begin},
                      {"end", seen.end},
                      {"action", scrub::action_name(rules.action(seen.type))},
                      {"value", masked(seen.value)},
                      {"becomes", rules.action(seen.type) == scrub::Action::kNone ? masked(seen.value)
                                                                                  : std::string(seen.replacement)}});
    ++summary.n_out;
  };
  for (const std::string_view piece : pieces) {
    scrub::TextScrubber::Options options{.typed = true, .see = &see};
    options.at = static_cast<size_t>(piece.data() - text.data());
    SLM_TRY(const auto out, scrubber.scrub(piece, {}, {"try", &known}, options));
    shown += out.typed;
    if (pieces.size() > 1) shown += '\n';
  }
  if (scrubber.gave_up()) context.out->warn("a pattern gave up after too many steps: there may be more in this text");
  summary.n_in = summary.n_out;
  if (summary.n_out > 0) context.out->end_table();
  json::object found;
  const auto& counts = scrubber.counts().by_type;
  for (size_t t = 0; t < counts.size(); ++t)
    if (counts[t] > 0) found[rules.type_name(static_cast<scrub::TypeIndex>(t))] = counts[t];
  summary.extra["found"] = std::move(found);
  summary.extra["n_bytes"] = text.size();
  summary.extra["text"] = shown;
  if (!context.out->is_json()) context.out->text(shown.ends_with('\n') ? shown : shown + "\n");
  summary.lines.push_back(fmt::format("{} value{} found in {} bytes; nothing was stored", summary.n_out,
                                      summary.n_out == 1 ? "" : "s", text.size()));
  return summary;
}

// --- scrub

json::object counts_json(const std::map<std::string, int64_t>& counts) {
  json::object out;
  for (const auto& [name, n] : counts) out[name] = n;
  return out;
}

std::string list_counts(const std::map<std::string, int64_t>& counts) {
  std::string out;
  for (const auto& [name, n] : counts)
    if (n > 0) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", n, name);
  return out.empty() ? "none" : out;
}

void show_gate(Reporter& out, const std::vector<scrub::GateRow>& rows) {
  for (const scrub::GateRow& row : rows)
    out.row({{"type", row.type},
             {"planted", row.n_planted},
             {"left", row.n_left},
             {"recall", row.n_planted == 0 ? json::value() : json::value(row.recall())},
             {"at_least", row.bound_recall},
             {"found", row.n_found},
             {"false", row.n_false},
             {"false_share", row.n_found == 0 ? json::value() : json::value(row.false_share())},
             {"at_most", row.bound_false},
             {"met", row.met()}});
  if (!rows.empty()) out.end_table();
}

Summary summarise(const scrub::ScrubResult& result) {
  const scrub::Report& report = result.report;
  Summary summary;
  summary.n_in = report.n_in;
  summary.n_out = report.n_out;
  summary.dropped = report.dropped;
  summary.artifact = result.artifact;
  summary.changed = result.changed;
  json::object& extra = summary.extra;
  extra["n_added"] = result.n_added;
  extra["found"] = counts_json(report.found);
  extra["actions"] = counts_json(report.actions);
  extra["split_calls"] = counts_json(report.split_calls);
  extra["split_groups"] = counts_json(report.split_groups);
  extra["n_sessions"] = report.n_sessions;
  extra["n_groups"] = report.n_groups;
  extra["n_merged_groups"] = report.n_merged_groups;
  extra["n_linked_groups"] = report.linked_groups.size();
  extra["n_files"] = report.n_files;
  extra["n_logprobs_dropped"] = report.n_logprobs_dropped;
  extra["n_unmeasured"] = report.n_unmeasured;
  extra["n_over_limit"] = report.n_over_limit;
  extra["gate_met"] = report.gate.empty() ? json::value() : json::value(result.gate_failures.empty());
  auto& lines = summary.lines;
  if (!result.gate_failures.empty()) {
    summary.code = ErrorCode::kPrivacyGate;
    summary.message = "privacy gate not met, nothing was curated: " + result.gate_failures;
    summary.hint = "slmconv scrub --rules FILE with a [[rule]] for what was left, or other bounds under [gate]";
    return summary;
  }
  if (report.n_in == 0) {
    lines.push_back("no calls in this store yet: slmconv collect PATH");
    return summary;
  }
  if (!result.changed) {
    lines.push_back(fmt::format("nothing new: {} of {} calls are curated", report.n_out, report.n_in));
    return summary;
  }
  lines.push_back(fmt::format("{} raw calls, {} curated ({} now), left out: {}", report.n_in, report.n_out,
                              result.n_added, list_counts(report.dropped)));
  lines.push_back(fmt::format("found: {}", list_counts(report.found)));
  lines.push_back(
      fmt::format("calls: {}; session groups: {}", list_counts(report.split_calls), list_counts(report.split_groups)));
  if (report.n_merged_groups > 0)
    lines.push_back(fmt::format("{} session groups repeat others and share their side", report.n_merged_groups));
  return summary;
}

Result<Summary> run_scrub(Context& context, const ScrubFlags& flags) {
  if (!flags.try_path.empty()) return run_try(context, flags);
  if (context.globals.store.empty())
    return fail(ErrorCode::kUsage, "scrub needs a store", "slmconv --store DIR scrub, or scrub --try FILE");
  scrub::ScrubOptions options;
  SLM_TRY(options.rules, load_rules(flags));
  options.validation = flags.validation;
  options.test = flags.test;
  options.keep_duplicates = flags.keep_duplicates;
  options.no_hci = flags.no_hci;
  options.near = flags.near;
  if (!flags.answer_key.empty()) options.answer_key = flags.answer_key;
  options.progress = context.out;
  options.clock = context.clock;
  SLM_TRY(const auto store, open_store(context, store::Role::kCurator));
  SLM_TRY(const scrub::ScrubResult result, scrub::run_scrub(*store, options));
  if (result.n_other_rules > 0)
    context.out->warn(
        fmt::format("{} calls were curated before under other settings and stay as they are", result.n_other_rules));
  if (result.report.n_over_limit > 0)
    context.out->warn(
        fmt::format("patterns gave up {} times after too many steps; calls that this left unscanned are dropped",
                    result.report.n_over_limit));
  if (result.report.n_files > 0)
    context.out->warn(
        fmt::format("{} encoded files were taken out: scrub looks into text only", result.report.n_files));
  if (result.report.n_logprobs_dropped > 0)
    context.out->note(fmt::format("{} calls lost the probabilities logged with them: their answers were changed",
                                  result.report.n_logprobs_dropped));
  if (result.report.n_unmeasured > 0)
    context.out->warn(fmt::format("{} values of the answer key are too short to be looked for and weren't measured",
                                  result.report.n_unmeasured));
  show_gate(*context.out, result.report.gate);
  return summarise(result);
}

}  // namespace

void add_scrub(CLI::App& app, Context& context) {
  auto* sub = app.add_subcommand(
      "scrub", "S2: replace private data, leave out failures and duplicates, give each session its side of the split");
  auto flags = std::make_shared<ScrubFlags>();
  sub->add_option("--try", flags->try_path,
                  "Show what would be found in a text (- is standard input); stores nothing and needs no store")
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFileOrStdin));
  sub->add_option("--rules", flags->rules,
                  "Actions by type, rules of your own, values to leave, bounds of the gate (TOML)")
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--validation", flags->validation, "Share of session groups for validation")
      ->check(CLI::Range(0.0, 1.0));
  sub->add_option("--test", flags->test, "Share of session groups for the test; a group keeps the side it got first")
      ->check(CLI::Range(0.0, 1.0));
  sub->add_flag("--keep-duplicates", flags->keep_duplicates,
                "Keep exact and near duplicates (their sessions still share a side)");
  sub->add_option("--near", flags->near,
                  "Similarity of input and of answer from which a call of another session is a near duplicate")
      ->check(CLI::Range(0.5, 1.0));
  sub->add_flag("--no-hci", flags->no_hci, "Leave out calls whose answer speaks to a human");
  sub->add_option("--answer-key", flags->answer_key,
                  "Measure the privacy gate on planted values (JSON lines of type and value); exit 31 if it isn't met")
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--gate-recall", flags->gate_recall,
                  "Share of planted values that must be gone, for types without a bound of their own")
      ->check(CLI::Range(0.0, 1.0));
  sub->add_option("--gate-false", flags->gate_false, "Most of what a type finds that may be in no line of the key")
      ->check(CLI::Range(0.0, 1.0));
  sub->footer(
      "Examples:\n"
      "  slmconv scrub --try message.txt  # what would be found in a text; stores nothing\n"
      "  slmconv --store store scrub --validation 0.1 --test 0.2");
  context.on(sub, "scrub", [&context, flags] { return run_scrub(context, *flags); });
}

}  // namespace slm::cli
