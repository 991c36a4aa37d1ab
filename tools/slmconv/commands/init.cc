#include "commands/init.h"

#include <fmt/format.h>

#include "crypto/keyfile.h"
#include "store/manage.h"

namespace slm::cli {
namespace {

struct InitFlags {
  std::string store, keys, join, admin;
  bool passphrase = false;
  std::optional<uint64_t> demo_seed;
};

Result<Summary> run_join(const std::string& dir, const InitFlags& flags) {
  if (flags.demo_seed || flags.passphrase || !flags.keys.empty())
    return fail(ErrorCode::kUsage, "--join makes no keys: the fleet has them",
                "keys for this machine come from the fleet's admin: slmconv keys grant");
  SLM_TRY(const store::Info info, store::join_store(dir, {flags.join, flags.admin}));
  Summary summary;
  summary.changed = true;
  summary.extra = {
      {"store", dir}, {"store_id", info.store_id}, {"fleet_id", info.fleet_id}, {"admin", info.admin_fingerprint}};
  summary.lines = {
      fmt::format("made the store {} of fleet {}", dir, info.fleet_id),
      fmt::format("admin fingerprint {}{}", info.admin_fingerprint,
                  flags.admin.empty() ? ": not checked; compare it with what init printed" : ": as expected"),
      fmt::format("next: slmconv --store {} --identity KEYFILE collect PATH", dir)};
  return summary;
}

Result<Summary> run_init(Context& context, const InitFlags& flags) {
  const std::string dir = flags.store.empty() ? context.globals.store : flags.store;
  if (dir.empty()) return fail(ErrorCode::kUsage, "init needs the folder of the store to make", "slmconv init STORE");
  if (flags.demo_seed && flags.passphrase)
    return fail(ErrorCode::kUsage,
                "--demo-seed and --passphrase exclude each other: keys from a known seed are no secret");
  if (!flags.join.empty()) return run_join(dir, flags);
  store::InitOptions options;
  options.keys_dir = flags.keys;
  options.demo_seed = flags.demo_seed;
  options.random = context.random;
  options.clock = context.clock;
  crypto::SecretBytes passphrase;
  if (flags.passphrase) {
    SLM_TRY(passphrase, crypto::find_passphrase({}, "passphrase for the new keys"));
    options.passphrase = as_text(passphrase.span());
  }
  auto made = store::init_store(dir, options);
  crypto::cleanse(options.passphrase.data(), options.passphrase.size());
  if (!made) return fail(std::move(made).error());

  Summary summary;
  json::array keys;
  for (const auto& file : made->key_files) keys.emplace_back(file.string());
  summary.changed = true;
  summary.extra = {{"store", dir},
                   {"store_id", made->info.store_id},
                   {"fleet_id", made->info.fleet_id},
                   {"admin", made->info.admin_fingerprint},
                   {"demo", made->info.demo},
                   {"keys", std::move(keys)}};
  const std::string keys_dir = made->key_files.front().parent_path().string();
  summary.lines = {
      fmt::format("made the store {}", dir),
      fmt::format("keys of admin, collector, curator, trainer and auditor: {}{}", keys_dir,
                  flags.passphrase ? " (under a passphrase)" : " (no passphrase: for one person on one machine)"),
      fmt::format("admin fingerprint {}: note it; `slmconv store verify --admin` checks it",
                  made->info.admin_fingerprint),
      "recovery.key opens everything: move it to a place off this machine",
      flags.keys.empty() ? fmt::format("next: slmconv --store {} collect PATH", dir)
                         : fmt::format("next: slmconv --store {} --identity {} collect PATH", dir, keys_dir)};
  if (made->info.demo)
    context.out->warn(
        "--demo-seed: the keys follow from a known number and protect nothing; never put real calls in this store");
  return summary;
}

}  // namespace

void add_init(CLI::App& app, Context& context) {
  auto* sub = app.add_subcommand("init", "Make a sealed store and the keys of its roles");
  auto flags = std::make_shared<InitFlags>();
  sub->add_option("STORE", flags->store, "Folder to make (or --store)")->type_name("DIR");
  sub->add_option("--keys", flags->keys,
                  "Folder for the key files, outside the store; default: slmconv/keys/ID in the user's configuration")
      ->type_name("DIR");
  sub->add_flag(
      "--passphrase", flags->passphrase,
      "Protect the key files; asked on the terminal, or the first line of the file that SLMCONV_PASSPHRASE_FILE names");
  // Said on the command line each time: no configuration file can make a store insecure unnoticed.
  sub->add_option("--demo-seed", flags->demo_seed, "INSECURE: reproducible keys and ids, for demonstrations and tests")
      ->type_name("N")
      ->configurable(false);
  sub->add_option("--join", flags->join, "Make a further store of a fleet, from what store bundle --new-store wrote")
      ->type_name("BUNDLE")
      ->check(context.input(Context::Input::kFile));
  sub->add_option("--admin", flags->admin, "With --join: fingerprint that the fleet's admin must have")
      ->type_name("FINGERPRINT");
  sub->footer(
      "Examples:\n"
      "  slmconv init store  # keys go to ~/.config/slmconv/keys/…\n"
      "  slmconv init store --keys ../keys --passphrase");
  context.on(sub, "init", [&context, flags] { return run_init(context, *flags); });
}

}  // namespace slm::cli
