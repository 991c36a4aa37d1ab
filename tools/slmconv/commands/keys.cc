#include "commands/keys.h"

#include <fmt/format.h>

#include "commands/store.h"
#include "crypto/keyfile.h"
#include "store/store.h"

namespace slm::cli {
namespace {

struct GrantFlags {
  std::string role, out;
  bool passphrase = false;
};

Result<Summary> run_list(Context& context) {
  SLM_TRY(const std::string dir, want_store(context, "keys list"));
  SLM_TRY(const auto rows, store::list_keys(dir));
  for (const auto& row : rows)
    context.out->row({{"fingerprint", row.fingerprint},
                      {"role", row.role},
                      {"opens", row.partition.empty() ? json::value(nullptr) : json::value(row.partition)},
                      {"epoch", row.partition.empty() ? json::value(nullptr) : json::value(row.epoch)},
                      {"granted", format_utc(row.granted_ms).substr(0, 16)}});
  context.out->end_table();
  Summary summary;
  summary.n_in = summary.n_out = static_cast<int64_t>(rows.size());
  return summary;
}

Result<Summary> run_grant(Context& context, const GrantFlags& flags) {
  SLM_TRY(const std::string dir, want_store(context, "keys grant"));
  const auto role = store::parse_role(flags.role);
  if (!role)
    return fail(ErrorCode::kUsage, fmt::format("no role is called {}", flags.role),
                "collector, curator, trainer or auditor");
  store::GrantOptions options;
  options.role = *role;
  options.out = flags.out;
  options.admin_keys = context.globals.identity;
  options.random = context.random;
  options.clock = context.clock;
  crypto::SecretBytes passphrase;
  if (flags.passphrase) {
    SLM_TRY(passphrase, crypto::find_passphrase({}, "passphrase for the new key"));
    options.passphrase = as_text(passphrase.span());
  }
  auto granted = store::grant_key(dir, options);
  crypto::cleanse(options.passphrase.data(), options.passphrase.size());
  if (!granted) return fail(std::move(granted).error());
  Summary summary;
  summary.n_in = summary.n_out = 1;
  summary.changed = true;
  summary.extra = {
      {"fingerprint", granted->fingerprint}, {"role", flags.role}, {"key", flags.out}, {"pending", granted->pending}};
  summary.lines.push_back(fmt::format("{} is a {}'s key, fingerprint {}", flags.out, flags.role, granted->fingerprint));
  if (granted->pending)
    context.out->warn(
        "pending: no key in the admin's folder holds all that this role opens, so the new key can't open it yet; "
        "grant again from a folder that holds such a key");
  return summary;
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
  grant->add_option("ROLE", flags->role, "collector, curator, trainer or auditor")->required();
  grant->add_option("--out", flags->out, "Key file to write")->type_name("KEYFILE")->required();
  grant->add_flag("--passphrase", flags->passphrase, "Protect the new key file (see init)");
  context.on(grant, "keys grant", [&context, flags] { return run_grant(context, *flags); });
}

}  // namespace slm::cli
