#include "commands/audit.h"

#include <fmt/format.h>

#include "commands/store.h"
#include "core/file.h"
#include "store/manage.h"

namespace slm::cli {
namespace {

json::object whole_row(const store::AuditRow& row) {
  return {{"row", row.n},       {"store", row.store},     {"counter", row.counter}, {"time", format_utc(row.time_ms)},
          {"actor", row.actor}, {"role", row.role},       {"action", row.action},   {"n_calls", row.n_calls},
          {"facts", row.facts}, {"details", row.details}, {"hash", row.hash}};
}

struct AuditFlags {
  store::AuditQuery query;
  std::string out;
};

Result<Summary> run_audit(Context& context, const AuditFlags& flags) {
  SLM_TRY(const std::string dir, want_store(context, context.command));
  Summary summary;
  std::string lines;
  store::AuditQuery query = flags.query;
  query.purpose = context.command;
  SLM_CHECK(store::read_audit(dir, query, {context.globals.identity, {}, context.random, context.clock},
                              [&](const store::AuditRow& row) -> Result<bool> {
                                ++summary.n_out;
                                if (!flags.out.empty()) {
                                  lines += json::serialize(whole_row(row)) + "\n";
                                } else if (context.out->is_json()) {
                                  context.out->row(whole_row(row));
                                } else {
                                  context.out->row({{"row", row.n},
                                                    {"time", format_utc(row.time_ms).substr(0, 16)},
                                                    {"role", row.role},
                                                    {"actor", row.actor.substr(0, 8)},
                                                    {"action", row.action},
                                                    {"calls", row.n_calls},
                                                    {"facts", json::serialize(row.facts)},
                                                    {"details", row.details}});
                                }
                                return true;
                              }));
  if (flags.out.empty())
    context.out->end_table();
  else
    SLM_CHECK(write_file_atomic(flags.out, lines, 0600));
  summary.n_in = summary.n_out;
  if (!flags.out.empty()) {
    summary.changed = true;
    summary.extra = {{"file", flags.out}};
    summary.lines.push_back(fmt::format("{} entries in {}", summary.n_out, flags.out));
  }
  return summary;
}

void add_query(CLI::App* sub, const std::shared_ptr<AuditFlags>& flags) {
  sub->add_option("--action", flags->query.action, "Only these: read, append, grant, erase, …")->type_name("ACTION");
  sub->add_option("--actor", flags->query.actor, "Only those of the identity whose fingerprint begins so")
      ->type_name("FINGERPRINT");
  sub->add_option("--from", flags->query.from, "From this row on")->type_name("N")->check(CLI::PositiveNumber);
}

}  // namespace

void add_audit(CLI::App& app, Context& context) {
  auto* audit = app.add_subcommand("audit", "Who did what: the trail, with the details that only an auditor opens");
  audit->require_subcommand(1);
  auto* show = audit->add_subcommand("show", "The newest entries; that they were read is an entry too");
  auto shown = std::make_shared<AuditFlags>();
  shown->query.limit = 50;
  add_query(show, shown);
  show->add_option("--limit", shown->query.limit, "How many, the newest")->type_name("N")->capture_default_str();
  context.on(show, "audit show", [&context, shown] { return run_audit(context, *shown); });

  auto* out = audit->add_subcommand("export", "All entries as JSON lines");
  auto exported = std::make_shared<AuditFlags>();
  add_query(out, exported);
  out->add_option("--out", exported->out, "File to write")->type_name("FILE")->required();
  context.on(out, "audit export", [&context, exported] { return run_audit(context, *exported); });
}

}  // namespace slm::cli
