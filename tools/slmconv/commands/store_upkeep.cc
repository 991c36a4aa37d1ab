#include "commands/store_upkeep.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "commands/anchoring.h"
#include "commands/store.h"
#include "core/file.h"
#include "store/collector_files.h"
#include "store/manage.h"

namespace slm::cli {
namespace {

store::KeyOptions key_options(const Context& context) {
  return {context.globals.identity, {}, context.random, context.clock};
}

constexpr const char* kBusy =
    "another process was reading, so the write-ahead log still holds old pages: run `slmconv store compact` once it "
    "ended";

std::string waiting(const std::string& dir, int64_t n_spools) {
  return fmt::format("{} spools in {}/{} hold calls that aren't in the store yet: {}", n_spools, dir,
                     store::kCollectorFolder, store::kSpoolHint);
}

// --- erase, retain, compact

struct EraseFlags {
  std::string source, plan, apply;
  bool dry_run = false;
};
Result<Summary> run_erase(Context& context, const EraseFlags& flags) {
  SLM_TRY(const std::string dir, want_store(context, "store erase"));
  if (flags.source.empty() == flags.apply.empty())
    return fail(ErrorCode::kUsage, "erase what? either --source or --apply",
                "slmconv store erase --source NAME --dry-run");
  SLM_TRY(const auto done, store::erase_source(dir, {.source = flags.source,
                                                     .dry_run = flags.dry_run,
                                                     .plan = flags.plan,
                                                     .apply = flags.apply,
                                                     .keys = context.globals.identity,
                                                     .random = context.random,
                                                     .clock = context.clock}));
  Summary summary;
  summary.n_in = summary.n_out = done.n_raw + done.n_curated;
  summary.changed = done.done;
  summary.extra = {{"n_raw", done.n_raw},
                   {"n_curated", done.n_curated},
                   {"artefacts", json::value_from(done.artefacts)},
                   {"adapters", json::value_from(done.adapters)},
                   {"done", done.done}};
  summary.lines.push_back(
      fmt::format("{} {} raw and {} curated calls", done.done ? "erased" : "would erase", done.n_raw, done.n_curated));
  if (!done.artefacts.empty())
    summary.lines.push_back(fmt::format("{} made from them, to be made again: {}",
                                        done.done ? "gone too," : "would go,", fmt::join(done.artefacts, ", ")));
  if (!done.adapters.empty())
    summary.lines.push_back(
        fmt::format("trained on them, and kept (models remove): {}", fmt::join(done.adapters, ", ")));
  if (!flags.plan.empty())
    summary.lines.push_back(fmt::format("the admin goes on: slmconv store erase --apply {}", flags.plan));
  if (done.done) summary.lines.push_back("copies of keys.db made before can still open it until they expire");
  if (done.n_spools > 0)
    context.out->warn(fmt::format("{}{}", waiting(dir, done.n_spools),
                                  "; of an erased source they are dropped then, until then the collector's key opens "
                                  "them"));
  if (!done.clean) context.out->warn(kBusy);
  return summary;
}

Result<Summary> run_retain(Context& context, const store::RetainOptions& flags) {
  SLM_TRY(const std::string dir, want_store(context, "store retain"));
  if (flags.raw_days < 0 && flags.curated_days < 0)
    return fail(ErrorCode::kUsage, "keep for how long?", "slmconv store retain --raw-days 90");
  store::RetainOptions options = flags;
  options.keys = context.globals.identity;
  options.random = context.random;
  options.clock = context.clock;
  SLM_TRY(const auto done, store::retain_store(dir, options));
  Summary summary;
  summary.n_in = summary.n_out = done.n_raw + done.n_curated;
  summary.changed = done.done;
  summary.extra = {{"n_raw", done.n_raw}, {"n_curated", done.n_curated}, {"n_groups", done.n_groups}};
  summary.lines.push_back(fmt::format("{} {} raw and {} curated calls sealed before then",
                                      options.dry_run ? "would remove" : "removed", done.n_raw, done.n_curated));
  if (!done.clean) context.out->warn(kBusy);
  return summary;
}

Result<Summary> run_compact(Context& context) {
  SLM_TRY(const std::string dir, want_store(context, "store compact"));
  SLM_TRY(const auto done, store::compact_store(dir));
  Summary summary;
  summary.changed = true;
  summary.extra = {{"n_orphans", done.n_orphans},
                   {"n_finished", done.n_finished},
                   {"bytes_before", done.bytes_before},
                   {"bytes_after", done.bytes_after}};
  summary.lines.push_back(fmt::format("{} bytes, {} before; {} orphans and {} rows of erased groups removed",
                                      done.bytes_after, done.bytes_before, done.n_orphans, done.n_finished));
  if (!done.clean) context.out->warn(kBusy);
  return summary;
}

// --- backup, restore

Result<Summary> run_backup(Context& context, store::BackupOptions options) {
  SLM_TRY(const std::string dir, want_store(context, "store backup"));
  options.clock = context.clock;
  SLM_TRY(const auto done, store::backup_store(dir, options));
  Summary summary;
  summary.changed = true;
  summary.extra = {{"log", done.log.string()}, {"keys", done.keys.string()},  {"bytes", done.bytes},
                   {"n_files", done.n_files},  {"n_expired", done.n_expired}, {"n_spools", done.n_spools},
                   {"head", done.head}};
  summary.lines = {fmt::format("{} and {}: {} bytes, {} sealed files", done.log.string(), done.keys.string(),
                               done.bytes, done.n_files),
                   "key files are in neither: they have a place of their own"};
  if (done.n_spools > 0)
    summary.lines.push_back(
        fmt::format("{} spools of calls that wait for the store, beside the copy of keys.db", done.n_spools));
  if (done.n_expired > 0) summary.lines.push_back(fmt::format("{} older copies of keys.db removed", done.n_expired));
  return summary;
}

struct RestoreFlags {
  std::string store, from, keys_from;
};
Result<Summary> run_restore(const RestoreFlags& flags) {
  SLM_TRY(const auto report, store::restore_store(flags.store, {flags.from, flags.keys_from}));
  Summary summary;
  summary.n_in = summary.n_out = report.n_batches;
  summary.changed = true;
  summary.extra = {{"store", flags.store}, {"n_entries", report.n_batches}, {"head", report.head}};
  summary.lines = {
      fmt::format("{}: {} entries, verified, complete to head {}", flags.store, report.n_batches, report.head),
      "what was signed after the backup is missing: an identity that has seen a newer admin entry refuses "
      "this store, and anchors newer than it will say so"};
  return summary;
}

// --- anchors

struct AnchorFlags {
  AnchorTarget to;
  double every_s = 0;
};

Result<Summary> run_anchor(Context& context, const AnchorFlags& flags) {
  if (flags.to.file.empty() == flags.to.command.empty())
    return fail(ErrorCode::kUsage, "an anchor goes to --to FILE or through --command, one of them",
                "slmconv store anchor --to /mnt/other-host/heads.jsonl");
  SLM_TRY(const std::string dir, want_store(context, "store anchor"));
  static constexpr store::Role kAnyOf[] = {store::Role::kAuditor, store::Role::kCollector, store::Role::kCurator,
                                           store::Role::kTrainer, store::Role::kAdmin};
  SLM_TRY(const auto opened, store::open_store_any(dir, key_options(context), kAnyOf));
  SLM_CHECK(check_target(flags.to, dir));
  Summary summary;
  std::string last;
  while (true) {
    SLM_TRY(const std::string line, opened->anchor());
    SLM_CHECK(put_anchor(flags.to, line));
    ++summary.n_out;
    last = line;
    if (flags.every_s <= 0) break;
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(flags.every_s);
    while (!interrupted() && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (interrupted()) break;
  }
  summary.n_in = summary.n_out;
  summary.changed = true;
  const auto value = parse_json(last);
  const json::object anchor = value && value->is_object() ? value->get_object() : json::object{};
  summary.extra = {{"entry", get_int(anchor, "counter").value_or(0)}, {"head", get_string(anchor, "hash")}};
  summary.lines.push_back(fmt::format("{} heads anchored, the last is {}", summary.n_out, get_string(anchor, "hash")));
  return summary;
}

// --- a fleet

Result<Summary> run_bundle(Context& context, const std::string& out, bool new_store) {
  SLM_TRY(const std::string dir, want_store(context, "store bundle"));
  SLM_TRY(const auto done, store::make_bundle(dir, {.out = out,
                                                    .new_store = new_store,
                                                    .keys = context.globals.identity,
                                                    .random = context.random,
                                                    .clock = context.clock}));
  Summary summary;
  summary.n_in = summary.n_out = done.admin_entries;
  summary.changed = new_store;
  summary.extra = {{"bundle", out},
                   {"admin_entries", done.admin_entries},
                   {"admin", done.admin_fingerprint},
                   {"new_store", done.store_id.empty() ? json::value(nullptr) : json::value(done.store_id)}};
  summary.lines.push_back(done.store_id.empty()
                              ? fmt::format("{}: on the other machine, slmconv --store DIR store update {}", out, out)
                              : fmt::format("{}: on the other machine, slmconv init DIR --join {} --admin {}", out, out,
                                            done.admin_fingerprint));
  return summary;
}

Result<Summary> run_update(Context& context, const std::string& bundle) {
  SLM_TRY(const std::string dir, want_store(context, "store update"));
  SLM_TRY(const auto done, store::update_store(dir, bundle, key_options(context)));
  Summary summary;
  summary.n_in = summary.n_out = done.after - done.before;
  summary.changed = done.changed;
  summary.extra = {{"admin_entries_before", done.before}, {"admin_entries", done.after}};
  summary.lines.push_back(done.changed ? fmt::format("{} entries of the admin are new here", done.after - done.before)
                                       : std::string("nothing in it is new here"));
  return summary;
}

Result<Summary> run_merge(Context& context, const std::vector<std::string>& others) {
  SLM_TRY(const std::string dir, want_store(context, "store merge"));
  Summary summary;
  int64_t n_entries = 0, n_refused = 0;
  for (const std::string& other : others) {
    SLM_TRY(const auto done, store::merge_store(dir, other, key_options(context)));
    n_entries += done.n_entries;
    n_refused += done.n_refused;
    if (done.n_spools > 0) context.out->warn(waiting(other, done.n_spools));
    summary.n_out += done.n_calls;
    summary.changed |= done.n_entries > 0 || done.admin_updated;
    summary.lines.push_back(fmt::format(
        "{}: {} entries with {} raw calls from store {}{}", other, done.n_entries, done.n_calls, done.store_id,
        done.n_refused > 0 ? fmt::format("; {} groups erased here stay out", done.n_refused) : std::string()));
  }
  summary.n_in = summary.n_out;
  summary.extra = {{"n_entries", n_entries}, {"n_calls", summary.n_out}, {"n_refused", n_refused}};
  return summary;
}

void add_upkeep(CLI::App& sub, Context& context) {
  auto* erase =
      sub.add_subcommand("erase", "Erase a source: its calls, what was curated from them, what was made from it");
  auto erase_flags = std::make_shared<EraseFlags>();
  erase->add_option("--source", erase_flags->source, "The log's own name for it, or a pseudonym src_…")
      ->type_name("NAME");
  erase->add_flag("--dry-run", erase_flags->dry_run, "Only say what would go");
  erase->add_option("--plan", erase_flags->plan, "With the curator's key alone: write what is to go, for the admin")
      ->type_name("FILE");
  erase->add_option("--apply", erase_flags->apply, "With the admin's key alone: erase what a plan names")
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFile));
  erase->footer("--identity names a folder with the curator's and the admin's key: one finds, the other signs.");
  context.on(erase, "store erase", [&context, erase_flags] { return run_erase(context, *erase_flags); });

  auto* retain = sub.add_subcommand("retain", "Remove calls sealed longer ago; needs the admin's key");
  auto retain_flags = std::make_shared<store::RetainOptions>();
  retain->add_option("--raw-days", retain_flags->raw_days, "Keep raw calls so long")
      ->type_name("N")
      ->check(CLI::Range(0, 36500));
  retain->add_option("--curated-days", retain_flags->curated_days, "Keep curated calls so long")
      ->type_name("N")
      ->check(CLI::Range(0, 36500));
  retain->add_flag("--dry-run", retain_flags->dry_run, "Only say what would go");
  context.on(retain, "store retain", [&context, retain_flags] { return run_retain(context, *retain_flags); });

  auto* compact = sub.add_subcommand("compact", "Rewrite the files without what nothing needs; needs no key");
  context.on(compact, "store compact", [&context] { return run_compact(context); });

  auto* backup = sub.add_subcommand("backup", "Copy log.db and the sealed files to one folder, keys.db to another");
  auto backup_flags = std::make_shared<store::BackupOptions>();
  backup->add_option("DIR", backup_flags->to, "Folder for copies of log.db and the sealed files")->required();
  backup->add_option("--keys-to", backup_flags->keys_to, "Folder for copies of keys.db: another place")
      ->type_name("DIR")
      ->required();
  backup
      ->add_option("--expire-days", backup_flags->expire_days,
                   "Remove copies of keys.db older than this, so that what was erased can't be opened from them")
      ->type_name("N")
      ->check(CLI::Range(0, 36500));
  context.on(backup, "store backup", [&context, backup_flags] { return run_backup(context, *backup_flags); });

  auto* restore = sub.add_subcommand("restore", "Make a store from both halves of a backup");
  auto restore_flags = std::make_shared<RestoreFlags>();
  restore->add_option("STORE", restore_flags->store, "Folder to make")->required();
  restore->add_option("--from", restore_flags->from, "log-… folder that backup made")->type_name("DIR")->required();
  restore->add_option("--keys-from", restore_flags->keys_from, "keys-….db that the same backup made")
      ->type_name("FILE")
      ->required();
  context.on(restore, "store restore", [restore_flags] { return run_restore(*restore_flags); });
}

void add_fleet(CLI::App& sub, Context& context) {
  auto* anchor = sub.add_subcommand("anchor", "Sign the trail's head and put it off this host, for verify --anchor");
  auto anchor_flags = std::make_shared<AnchorFlags>();
  anchor->add_option("--to", anchor_flags->to.file, "File to append it to, on another host")->type_name("FILE");
  anchor->add_option("--command", anchor_flags->to.command, "Shell command that gets it on standard input")
      ->type_name("COMMAND");
  anchor->add_option("--every", anchor_flags->every_s, "Again every so many seconds, until interrupted")
      ->type_name("S")
      ->check(CLI::Range(1.0, 86400.0));
  context.on(anchor, "store anchor", [&context, anchor_flags] { return run_anchor(context, *anchor_flags); });

  auto* bundle =
      sub.add_subcommand("bundle", "Write what another store of this fleet needs: keys' wraps and the admin's entries");
  auto out = std::make_shared<std::string>();
  auto new_store = std::make_shared<bool>(false);
  bundle->add_option("--out", *out, "File to write")->type_name("FILE")->required();
  bundle->add_flag("--new-store", *new_store, "For a store still to be made (init --join); needs the admin's key");
  context.on(bundle, "store bundle", [&context, out, new_store] { return run_bundle(context, *out, *new_store); });

  auto* update = sub.add_subcommand("update", "Take over from a bundle what the admin signed since");
  auto file = std::make_shared<std::string>();
  update->add_option("BUNDLE", *file, "File that store bundle wrote")
      ->required()
      ->check(context.input(Context::Input::kFile));
  context.on(update, "store update", [&context, file] { return run_update(context, *file); });

  auto* merge = sub.add_subcommand("merge", "Bring in what other stores of this fleet hold, unopened");
  auto others = std::make_shared<std::vector<std::string>>();
  merge->add_option("OTHER", *others, "Folder of a store, or of a copy of one")->type_name("DIR")->required();
  context.on(merge, "store merge", [&context, others] { return run_merge(context, *others); });
}

}  // namespace

void add_store_upkeep(CLI::App& store, Context& context) {
  add_upkeep(store, context);
  add_fleet(store, context);
}

}  // namespace slm::cli
