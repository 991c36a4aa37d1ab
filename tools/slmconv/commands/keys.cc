#include "commands/keys.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/store.h"
#include "crypto/keyfile.h"
#include "store/manage.h"
#include "store/requests.h"

namespace slm::cli {
namespace {

struct GrantFlags {
  std::string role, out, recovery;
  bool passphrase = false, no_passphrase = false;
  std::string request, fingerprint;  // of a key made elsewhere
  std::string to, fleet_of, admin;   // for such a request
};

constexpr const char* kRoles = "collector, curator, trainer or auditor";
Result<store::Role> want_role(const std::string& name) {
  const auto role = store::parse_role(name);
  if (!role) return fail(ErrorCode::kUsage, fmt::format("no role is called {}", name), kRoles);
  if (*role == store::Role::kAdmin)
    return fail(ErrorCode::kUsage, "a fleet has one admin: its key can't be granted", kRoles);
  return *role;
}

constexpr const char* kPending =
    "pending: no key in the admin's folder holds all that this role opens, so the new key can't open it yet; "
    "who holds it runs `slmconv keys rewrap`";

store::KeyOptions key_options(const Context& context) {
  return {context.globals.identity, {}, context.random, context.clock};
}

Result<Summary> run_list(Context& context) {
  SLM_TRY(const std::string dir, want_store(context, "keys list"));
  SLM_TRY(const auto rows, store::list_keys(dir));
  for (const auto& row : rows)
    context.out->row({{"fingerprint", row.fingerprint},
                      {"role", row.role},
                      {"opens", row.partition.empty() ? json::value(nullptr) : json::value(row.partition)},
                      {"epoch", row.partition.empty() ? json::value(nullptr) : json::value(row.epoch)},
                      {"granted", format_utc(row.granted_ms).substr(0, 16)},
                      {"state", row.revoked   ? "revoked"
                                : row.pending ? "pending"
                                              : "good"}});
  context.out->end_table();
  Summary summary;
  summary.n_in = summary.n_out = static_cast<int64_t>(rows.size());
  return summary;
}

Result<Summary> run_grant_request(Context& context, const std::string& dir, const GrantFlags& flags, store::Role role) {
  if (flags.passphrase)
    return fail(ErrorCode::kUsage, "the private half isn't here: its owner protects it",
                "slmconv keys grant ROLE --request FILE");
  SLM_TRY(const auto granted, store::grant_request(dir, {.request_file = flags.request,
                                                         .role = role,
                                                         .fingerprint = flags.fingerprint,
                                                         .admin_keys = context.globals.identity,
                                                         .random = context.random,
                                                         .clock = context.clock}));
  Summary summary;
  summary.n_in = summary.n_out = 1;
  summary.changed = true;
  summary.extra = {{"fingerprint", granted.fingerprint},
                   {"role", flags.role},
                   {"request", flags.request},
                   {"pending", granted.pending}};
  summary.lines.push_back(fmt::format("{} is a {}'s key now", granted.fingerprint, flags.role));
  if (flags.fingerprint.empty())
    context.out->warn(
        "compare that fingerprint with its owner's: whoever carried the request could have put a key of "
        "their own in its place (--fingerprint does it before granting)");
  if (granted.pending) context.out->warn(kPending);
  return summary;
}

Result<crypto::SecretBytes> ask_new_passphrase() {
  auto passphrase = crypto::find_passphrase({}, "passphrase for the new key");
  if (!passphrase && passphrase.error().code == ErrorCode::kWrongKey)
    passphrase.error().hint =
        "SLMCONV_PASSPHRASE_FILE names a file with it; --no-passphrase leaves the key file unprotected";
  return passphrase;
}

// Whether the admin's key lies under a passphrase: then a key made with it does, too.
bool admin_is_protected(const Context& context, const std::string& dir) {
  std::filesystem::path file = context.globals.identity;
  if (file.empty()) {
    const auto info = store::Store::info(dir);
    if (!info) return false;  // told by what follows
    file = store::default_keys_dir(info->store_id);
  }
  std::error_code ec;
  if (std::filesystem::is_directory(file, ec)) file /= "admin.key";
  bool asked = false;
  (void)crypto::read_key_file(file, [&]() -> Result<crypto::SecretBytes> {
    asked = true;
    return fail(ErrorCode::kWrongKey, "not asked for here");
  });
  return asked;
}

Result<Summary> run_request(Context& context, const GrantFlags& flags) {
  SLM_TRY(const store::Role role, want_role(flags.role));
  if (flags.fleet_of.empty() == context.globals.store.empty())
    return fail(ErrorCode::kUsage, "for which fleet? either --store or --bundle",
                "slmconv store bundle --out FILE, where the store is");
  store::KeyRequest request;
  request.fleet_of = flags.fleet_of.empty() ? context.globals.store : flags.fleet_of;
  request.admin_fingerprint = flags.admin;
  request.role = role;
  request.key_file = flags.out;
  request.request_file = flags.to;
  request.random = context.random;
  // A key for one's own machine is protected unless its owner says otherwise.
  if (!flags.no_passphrase) {
    SLM_TRY(const auto passphrase, ask_new_passphrase());
    request.passphrase = as_text(passphrase.span());
  }
  auto made = store::request_key(request);
  crypto::cleanse(request.passphrase.data(), request.passphrase.size());
  if (!made) return fail(std::move(made).error());
  Summary summary;
  summary.n_in = summary.n_out = 1;
  summary.changed = true;
  summary.extra = {{"fingerprint", made->fingerprint},
                   {"admin", made->admin_fingerprint},
                   {"role", flags.role},
                   {"key", flags.out},
                   {"request", flags.to}};
  summary.lines = {
      fmt::format("{} stays here; the admin, whose fingerprint must be {}, grants {}:", flags.out,
                  made->admin_fingerprint, flags.to),
      fmt::format("slmconv --store DIR keys grant {} --request FILE --fingerprint {}", flags.role, made->fingerprint)};
  return summary;
}

Result<Summary> run_grant(Context& context, const GrantFlags& flags) {
  SLM_TRY(const std::string dir, want_store(context, context.command));
  // Not one of the roles: it runs no command.
  const bool recovery = flags.role == "recovery" && flags.request.empty() && flags.recovery.empty();
  SLM_TRY(const store::Role role, recovery ? Result<store::Role>(store::Role::kTrainer) : want_role(flags.role));
  if (flags.out.empty() == flags.request.empty())
    return fail(ErrorCode::kUsage, "grant to which key? either --out for a new one or --request for one made elsewhere",
                "slmconv keys grant ROLE --out KEYFILE");
  if (!flags.request.empty()) return run_grant_request(context, dir, flags, role);
  if (!flags.fingerprint.empty())
    return fail(ErrorCode::kUsage, "--fingerprint is that of a key made elsewhere", "add --request FILE");
  store::GrantOptions options;
  options.role = role;
  options.out = flags.out;
  options.admin_keys = context.globals.identity;
  if (!flags.recovery.empty()) options.more_keys.push_back(flags.recovery);
  options.random = context.random;
  options.clock = context.clock;
  if (flags.passphrase || (!flags.no_passphrase && admin_is_protected(context, dir))) {
    SLM_TRY(const auto passphrase, ask_new_passphrase());
    options.passphrase = as_text(passphrase.span());
  }
  auto granted = recovery ? store::grant_recovery(dir, options) : store::grant_key(dir, options);
  crypto::cleanse(options.passphrase.data(), options.passphrase.size());
  if (!granted) return fail(std::move(granted).error());
  Summary summary;
  summary.n_in = summary.n_out = 1;
  summary.changed = true;
  summary.extra = {
      {"fingerprint", granted->fingerprint}, {"role", flags.role}, {"key", flags.out}, {"pending", granted->pending}};
  summary.lines.push_back(fmt::format("{} is a {} key, fingerprint {}", flags.out, flags.role, granted->fingerprint));
  if (granted->pending) context.out->warn(kPending);
  return summary;
}

Result<Summary> run_rewrap(Context& context) {
  SLM_TRY(const std::string dir, want_store(context, "keys rewrap"));
  SLM_TRY(const auto done, store::rewrap_keys(dir, key_options(context)));
  Summary summary;
  summary.n_in = done.n_wraps + done.n_pending;
  summary.n_out = done.n_wraps;
  if (done.n_pending > 0) summary.dropped["pending"] = done.n_pending;
  summary.changed = done.n_wraps > 0;
  summary.extra = {{"n_wraps", done.n_wraps}, {"n_pending", done.n_pending}};
  summary.lines.push_back(fmt::format("{} keys wrapped to those they were granted to", done.n_wraps));
  if (done.n_pending > 0) context.out->warn(fmt::format("{} stay pending: no key at hand holds them", done.n_pending));
  return summary;
}

Result<Summary> run_rotate(Context& context, const std::vector<std::string>& what) {
  SLM_TRY(const std::string dir, want_store(context, "keys rotate"));
  SLM_TRY(const auto done, store::rotate_keys(dir, what, key_options(context)));
  Summary summary;
  summary.n_in = summary.n_out = static_cast<int64_t>(done.keys.size());
  summary.changed = true;
  summary.extra = {{"keys", json::value_from(done.keys)}, {"n_wraps", done.n_wraps}};
  summary.lines = {fmt::format("new: {}; wrapped to {} recipients", fmt::join(done.keys, ", "), done.n_wraps),
                   "old epochs stay readable to those who held them; what is written from now on goes to the new ones",
                   "stores that joined this fleet take them over with `store update`"};
  return summary;
}

Result<Summary> run_revoke(Context& context, const std::string& fingerprint) {
  SLM_TRY(const std::string dir, want_store(context, "keys revoke"));
  SLM_TRY(const auto done, store::revoke_key(dir, fingerprint, key_options(context)));
  Summary summary;
  summary.n_in = summary.n_out = 1;
  summary.changed = true;
  summary.extra = {{"fingerprint", done.fingerprint},
                   {"role", done.role},
                   {"wraps_deleted", done.n_wraps_deleted},
                   {"keys", json::value_from(done.new_keys)}};
  summary.lines = {fmt::format("{} {} is revoked; {} wraps deleted, its last entries in {} stores are named", done.role,
                               done.fingerprint, done.n_wraps_deleted, done.n_heads),
                   done.new_keys.empty() ? std::string("it could open nothing, so nothing was rotated")
                                         : fmt::format("new: {}", fmt::join(done.new_keys, ", ")),
                   "this protects what comes after: what it copied before, it can still open"};
  return summary;
}

void add_protection_flags(CLI::App& sub, GrantFlags& flags) {
  auto* yes = sub.add_flag("--passphrase", flags.passphrase,
                           "Protect the new key file (see init); the default where the admin's key is protected");
  sub.add_flag("--no-passphrase", flags.no_passphrase, "Leave it unprotected")->excludes(yes);
}

}  // namespace

void add_keys(CLI::App& app, Context& context) {
  auto* keys = app.add_subcommand("keys", "Who may open and write what");
  keys->require_subcommand(1);
  auto* list = keys->add_subcommand("list", "Identities that the admin signed, and the epochs they hold");
  context.on(list, "keys list", [&context] { return run_list(context); });

  auto* grant =
      keys->add_subcommand("grant", "Make a further identity; --identity names the admin's key or the folder with it");
  auto flags = std::make_shared<GrantFlags>();
  grant
      ->add_option(
          "ROLE", flags->role,
          "collector, curator, trainer, auditor; or recovery: a further key to be kept offline, with which the "
          "one before may be revoked")
      ->required();
  grant->add_option("--out", flags->out, "Key file to write")->type_name("KEYFILE");
  add_protection_flags(*grant, *flags);
  grant->add_option("--request", flags->request, "Instead of a new key: one made elsewhere, as keys request wrote it")
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFile));
  grant->add_option("--fingerprint", flags->fingerprint, "What the request's owner read out; 8 digits or more")
      ->type_name("FINGERPRINT");
  context.on(grant, "keys grant", [&context, flags] { return run_grant(context, *flags); });

  auto* request = keys->add_subcommand(
      "request", "Make a key here and a request for the admin elsewhere: the private half never travels");
  auto wanted = std::make_shared<GrantFlags>();
  request->add_option("ROLE", wanted->role, kRoles)->required();
  request->add_option("--out", wanted->out, "Key file to write; it stays here")->type_name("KEYFILE")->required();
  request->add_option("--to", wanted->to, "Request to write, for the admin")->type_name("FILE")->required();
  request->add_option("--bundle", wanted->fleet_of, "A bundle of the fleet's, where no --store of it is at hand")
      ->type_name("FILE")
      ->check(context.input(Context::Input::kFile));
  request->add_option("--admin", wanted->admin, "Fingerprint that init printed: whose fleet it must be")
      ->type_name("FINGERPRINT");
  request->add_flag("--no-passphrase", wanted->no_passphrase,
                    "Leave the key file unprotected; else the passphrase is asked for, or read from the file that "
                    "SLMCONV_PASSPHRASE_FILE names");
  context.on(request, "keys request", [&context, wanted] { return run_request(context, *wanted); });

  auto* recover = keys->add_subcommand(
      "recover", "Grant a new key from the offline recovery key, where every key of a role was lost");
  auto recovery = std::make_shared<GrantFlags>();
  recover->add_option("ROLE", recovery->role, "collector, curator, trainer or auditor")->required();
  recover->add_option("--recovery", recovery->recovery, "recovery.key, as init made it")
      ->type_name("KEYFILE")
      ->required();
  recover->add_option("--out", recovery->out, "Key file to write")->type_name("KEYFILE")->required();
  add_protection_flags(*recover, *recovery);
  recover->footer(
      "The admin's key is needed too (--identity): it signs the new identity, the recovery key opens what is\n"
      "wrapped to it. Revoke the lost key next: slmconv keys revoke FINGERPRINT");
  context.on(recover, "keys recover", [&context, recovery] { return run_grant(context, *recovery); });

  auto* rewrap = keys->add_subcommand(
      "rewrap", "Wrap what was granted and is pending; --identity names a holder's key, or a folder of keys");
  context.on(rewrap, "keys rewrap", [&context] { return run_rewrap(context); });

  auto* rotate = keys->add_subcommand(
      "rotate", "New epochs; --identity names a folder with the admin's key and those of readers, who make them");
  auto what = std::make_shared<std::vector<std::string>>();
  rotate
      ->add_option("PARTITION", *what,
                   "raw-meta (with it the pseudonym key), raw-body, curated-meta, curated-body, audit, pseudonym, all")
      ->required();
  context.on(rotate, "keys rotate", [&context, what] { return run_rotate(context, *what); });

  auto* revoke = keys->add_subcommand("revoke", "End an identity and rotate what it could open");
  auto fingerprint = std::make_shared<std::string>();
  revoke->add_option("FINGERPRINT", *fingerprint, "As keys list shows it; 8 digits are enough")->required();
  context.on(revoke, "keys revoke", [&context, fingerprint] { return run_revoke(context, *fingerprint); });
}

}  // namespace slm::cli
