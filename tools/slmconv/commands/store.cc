#include "commands/store.h"

#include <fmt/format.h>

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

Result<Summary> run_verify(Context& context, const std::string& admin) {
  SLM_TRY(const std::string dir, want_store(context, "store verify"));
  SLM_TRY(const store::VerifyReport report, store::verify_store(dir, {admin}));
  Summary summary;
  summary.n_in = summary.n_out = report.n_batches;
  summary.extra = {{"n_entries", report.n_batches},
                   {"n_frames", report.n_frames},
                   {"n_identities", report.n_identities},
                   {"n_grants", report.n_grants},
                   {"n_orphans", report.n_orphans},
                   {"n_artifact_files", report.n_artifact_files},
                   {"missing", report.n_missing_files},
                   {"admin_checked", report.admin_checked},
                   {"head", report.head}};
  summary.lines = {
      fmt::format("{} entries, {} frames, {} identities, {} grants: all signatures, links and hashes hold",
                  report.n_batches, report.n_frames, report.n_identities, report.n_grants),
      fmt::format("{} sealed files of artefacts are whole; {} were removed or made again since",
                  report.n_artifact_files, report.n_missing_files),
      fmt::format("complete to head {}, freshness not shown", report.head),
      report.admin_checked ? "admin checked" : "admin not checked: --admin FINGERPRINT says whose store it must be"};
  if (report.n_orphans > 0)
    summary.lines.push_back(
        fmt::format("{} encapsulations of batches that were never committed: harmless", report.n_orphans));
  return summary;
}

}  // namespace

void add_store(CLI::App& app, Context& context) {
  auto* sub = app.add_subcommand("store", "What the store holds, and whether it is whole");
  sub->require_subcommand(1);
  auto* info = sub->add_subcommand("info", "Counts, sizes and identifiers; needs no key");
  context.on(info, "store info", [&context] { return run_info(context); });

  auto* verify = sub->add_subcommand("verify", "Signatures, links, hashes and grants of everything; needs no key");
  auto admin = std::make_shared<std::string>();
  verify->add_option("--admin", *admin, "Fingerprint that init printed: whose store it must be")
      ->type_name("FINGERPRINT");
  context.on(verify, "store verify", [&context, admin] { return run_verify(context, *admin); });
}

}  // namespace slm::cli
