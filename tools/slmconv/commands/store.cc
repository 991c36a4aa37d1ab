#include "commands/store.h"

#include <fmt/format.h>

#include <iterator>

#include "commands/store_upkeep.h"
#include "core/file.h"

namespace slm::cli {

Result<std::string> want_store(const Context& context, std::string_view command) {
  if (context.globals.store.empty())
    return fail(ErrorCode::kUsage, fmt::format("{} needs a store", command),
                fmt::format("slmconv --store DIR {}", command));
  return context.globals.store;
}

Result<std::unique_ptr<store::Store>> open_store(const Context& context, store::Role role) {
  SLM_TRY(const std::string dir, want_store(context, context.command));
  return store::Store::open(dir, {.identity = context.globals.identity,
                                  .role = role,
                                  .write = true,
                                  .random = context.random,
                                  .clock = context.clock});
}

namespace {

Result<Summary> run_info(Context& context) {
  SLM_TRY(const std::string dir, want_store(context, "store info"));
  SLM_TRY(const store::Info info, store::Store::info(dir));
  Summary summary;
  summary.n_in = summary.n_out = info.n_raw;
  summary.extra = {{"store", dir},
                   {"store_id", info.store_id},
                   {"fleet_id", info.fleet_id},
                   {"admin", info.admin_fingerprint},
                   {"format", info.format},
                   {"demo", info.demo},
                   {"n_raw", info.n_raw},
                   {"n_curated", info.n_curated},
                   {"n_entries", info.n_batches},
                   {"n_audit", info.n_audit},
                   {"log_bytes", info.log_bytes},
                   {"keys_bytes", info.keys_bytes},
                   {"head", info.head}};
  for (const auto& item : summary.extra) {
    const json::value& value = item.value();
    const std::string text = value.is_string() ? std::string(value.as_string()) : json::serialize(value);
    summary.lines.push_back(fmt::format("{:<11} {}", std::string_view(item.key()), text));
  }
  if (info.demo) context.out->warn("demonstration store: its keys come from a known seed and protect nothing");
  return summary;
}

struct VerifyFlags {
  std::string admin, anchor;
};

Result<std::string> read_anchor(Context& context, const std::string& from) {
  if (from != "-") return read_file(from, 256 << 20);
  std::string text(std::istreambuf_iterator<char>(*context.in), {});
  return text;
}

Result<Summary> run_verify(Context& context, const VerifyFlags& flags) {
  SLM_TRY(const std::string dir, want_store(context, "store verify"));
  store::VerifyOptions options;
  options.admin_fingerprint = flags.admin;
  if (!flags.anchor.empty()) {
    SLM_TRY(options.anchor, read_anchor(context, flags.anchor));
    if (options.anchor.empty()) return fail(ErrorCode::kBadInput, fmt::format("{} is empty", flags.anchor));
  }
  SLM_TRY(const store::VerifyReport report, store::verify_store(dir, options));
  Summary summary;
  summary.n_in = summary.n_out = report.n_batches;
  summary.extra = {{"n_entries", report.n_batches},
                   {"n_frames", report.n_frames},
                   {"n_identities", report.n_identities},
                   {"n_grants", report.n_grants},
                   {"n_orphans", report.n_orphans},
                   {"n_erased", report.n_erased},
                   {"n_left_over", report.n_left_over},
                   {"n_artifact_files", report.n_artifact_files},
                   {"missing", report.n_missing_files},
                   {"admin_checked", report.admin_checked},
                   {"n_anchors", report.n_anchors},
                   {"anchored_entry", report.anchored_counter},
                   {"head", report.head}};
  summary.lines = {
      fmt::format("{} entries, {} frames, {} identities, {} grants: all signatures, links and hashes hold",
                  report.n_batches, report.n_frames, report.n_identities, report.n_grants),
      fmt::format("{} sealed files of artefacts are whole; {} were removed or made again since",
                  report.n_artifact_files, report.n_missing_files),
      report.n_anchors > 0
          ? fmt::format("complete to head {}; {} anchors hold, the newest names entry {} at {}", report.head,
                        report.n_anchors, report.anchored_counter, format_utc(report.anchored_ms).substr(0, 16))
          : fmt::format("complete to head {}, freshness not shown", report.head),
      report.admin_checked ? "admin checked" : "admin not checked: --admin FINGERPRINT says whose store it must be"};
  if (report.n_erased > 0)
    summary.lines.push_back(fmt::format("{} groups of calls were erased, as signed", report.n_erased));
  if (report.n_orphans > 0)
    summary.lines.push_back(
        fmt::format("{} encapsulations of batches that were never committed: harmless", report.n_orphans));
  if (report.n_left_over > 0)
    context.out->warn(
        fmt::format("{} erased groups still have rows: `slmconv store compact` removes them", report.n_left_over));
  return summary;
}

}  // namespace

void add_store(CLI::App& app, Context& context) {
  auto* sub = app.add_subcommand("store", "What the store holds, and whether it is whole");
  sub->require_subcommand(1);
  auto* info = sub->add_subcommand("info", "Counts, sizes and identifiers; needs no key");
  context.on(info, "store info", [&context] { return run_info(context); });

  auto* verify = sub->add_subcommand("verify", "Signatures, links, hashes and grants of everything; needs no key");
  auto flags = std::make_shared<VerifyFlags>();
  verify->add_option("--admin", flags->admin, "Fingerprint that init printed: whose store it must be")
      ->type_name("FINGERPRINT");
  verify
      ->add_option("--anchor", flags->anchor,
                   "Heads that store anchor wrote off this host, - for standard input: finds "
                   "a store that was cut off or rolled back")
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFileOrStdin));
  context.on(verify, "store verify", [&context, flags] { return run_verify(context, *flags); });
  add_store_upkeep(*sub, context);
}

}  // namespace slm::cli
