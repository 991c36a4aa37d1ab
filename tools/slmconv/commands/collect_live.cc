#include "commands/collect_live.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "commands/store.h"

namespace slm::cli {

namespace {

Summary summarise(const collect::ProxyCounts& proxy, const collect::RecorderCounts& recorder, bool durable) {
  Summary summary;
  summary.n_in = summary.n_out = recorder.stored;
  const auto drop = [&](const char* reason, int64_t n) {
    if (n > 0) summary.dropped[reason] = n;
    summary.n_in += std::max<int64_t>(n, 0);
  };
  drop("human_facing", recorder.excluded);
  drop("missed", recorder.missed);
  summary.changed = recorder.stored > 0;
  summary.extra = {{"n_connections", proxy.connections.load()},
                   {"n_requests", proxy.requests.load()},
                   {"n_refused", proxy.refused.load()},
                   {"n_unauthenticated", proxy.unauthenticated.load()},
                   {"n_turned_away", proxy.turned_away.load()},
                   {"n_unrecorded", proxy.unrecorded.load()},
                   {"n_excluded_routes", proxy.excluded.load()},
                   {"n_upstream_failures", proxy.upstream_failures.load()},
                   {"n_upstream_broken", proxy.upstream_broken.load()},
                   {"n_clients_gone", proxy.clients_gone.load()},
                   {"n_begun", recorder.begun.load()},
                   {"n_spooled", recorder.spooled.load()},
                   {"n_unmarked", recorder.unmarked.load()},
                   {"n_failed", recorder.failed_calls.load()},
                   {"n_partial", recorder.partial.load()},
                   {"n_truncated", recorder.truncated.load()},
                   {"n_undecoded", recorder.undecoded.load()},
                   {"n_commits", recorder.commits.load()},
                   {"n_lost_before", recorder.lost_before.load()}};
  summary.lines.push_back(fmt::format("{} requests on {} connections; {} calls begun, {} stored", proxy.requests.load(),
                                      proxy.connections.load(), recorder.begun.load(), recorder.stored.load()));
  if (proxy.unrecorded > 0)
    summary.lines.push_back(fmt::format("passed and not recorded: {}", proxy.unrecorded.load()));
  if (recorder.unmarked > 0)
    summary.lines.push_back(
        fmt::format("forwarded without a mark on the disk: {}; a loss of power before their end "
                    "would have gone unreported",
                    recorder.unmarked.load()));
  if (durable && recorder.stored > 0) {
    const double mean_ms = static_cast<double>(recorder.commit_us_sum) / 1e3 / static_cast<double>(recorder.stored);
    const double max_ms = static_cast<double>(recorder.commit_us_max) / 1e3;
    summary.extra["commit_wait_mean_ms"] = mean_ms;
    summary.extra["commit_wait_max_ms"] = max_ms;
    summary.lines.push_back(
        fmt::format("answers waited {:.1f} ms for their commit on average, at most {:.1f} ms", mean_ms, max_ms));
  }
  return summary;
}

}  // namespace

void add_live_flags(CLI::App& sub, LiveFlags& flags) {
  auto& p = flags.proxy;
  const char* const kGroup = "Live capture";
  sub.add_option("--listen", flags.listen, "Record what passes: HOST:PORT of a reverse proxy for --upstream")
      ->type_name("ADDR")
      ->group(kGroup);
  sub.add_option("--upstream", flags.upstreams, "Provider to pass requests to; several by path: /PREFIX=URL")
      ->type_name("[/PREFIX=]URL")
      ->allow_extra_args(false)  // once each: what follows isn't another
      ->group(kGroup);
  sub.add_option("--admin", flags.admin, "HOST:PORT on this machine for /metrics (Prometheus) and /health")
      ->type_name("ADDR")
      ->group(kGroup);
  sub.add_option("--ca", p.ca, "PEM file of authorities whose provider certificates are trusted; else the system's")
      ->check(CLI::ExistingFile)
      ->group(kGroup);
  sub.add_option("--cert", p.certificate, "PEM certificate chain of the listener, which then speaks TLS")
      ->check(CLI::ExistingFile)
      ->group(kGroup);
  sub.add_option("--key", p.key, "PEM private key of --cert")->check(CLI::ExistingFile)->group(kGroup);
  sub.add_option("--client-ca", p.client_ca, "PEM file of authorities: clients must show one of their certificates")
      ->check(CLI::ExistingFile)
      ->group(kGroup);
  sub.add_option("--token-file", p.token_file,
                 "Tokens, one a line: clients must send Proxy-Authorization: Bearer TOKEN")
      ->check(CLI::ExistingFile)
      ->group(kGroup);
  sub.add_option("--session-header", p.session_header, "Request header that names the session")->group(kGroup);
  sub.add_option("--session-field", p.session_field, "Field of the request's JSON that names it, e.g. metadata.session")
      ->group(kGroup);
  sub.add_option("--site-header", p.site_header, "Request header that names the call site")->group(kGroup);
  sub.add_option("--source-header", p.source_header, "Request header that names the source")->group(kGroup);
  sub.add_option("--human-facing", p.human_routes, "Path prefix whose calls speak to humans: passed, never recorded")
      ->type_name("/PREFIX")
      ->allow_extra_args(false)
      ->group(kGroup);
  sub.add_option("--durability", flags.durability,
                 "fast: committed at most 100 ms after the answer (--otlp: later); durable: the answer waits until it "
                 "is on disk")
      ->check(CLI::IsMember({"fast", "durable"}))
      ->group(kGroup);
  sub.add_option("--on-store-failure", flags.on_store_failure,
                 "open: pass and count what is missed; spool: keep calls in a sealed file; closed: turn requests away")
      ->check(CLI::IsMember({"open", "spool", "closed"}))
      ->group(kGroup);
  sub.add_option("--spool-mb", flags.spool_mb,
                 "Size of that file, and of what --otlp keeps on the disk; taken at the start")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->group(kGroup);
  sub.add_option("--memory-mb", flags.memory_mb, "Bodies being recorded, over all connections")
      ->check(CLI::Range(int64_t{32}, int64_t{1} << 20))
      ->group(kGroup);
  sub.add_option("--max-connections", p.max_connections, "Connections from clients")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->group(kGroup);
  sub.add_option("--max-header-bytes", p.max_head_bytes, "Longest request header that is read")
      ->check(CLI::Range(size_t{1024}, size_t{1} << 20))
      ->group(kGroup);
  sub.add_option("--upstream-timeout", p.upstream_s, "Seconds to wait for a provider's next byte")
      ->check(CLI::Range(0.1, 86400.0))
      ->group(kGroup);
  sub.add_option("--anchor", flags.anchor.file, "File on another host that gets the trail's signed head")
      ->type_name("FILE")
      ->group(kGroup);
  sub.add_option("--anchor-command", flags.anchor.command, "Shell command that gets it on standard input")
      ->type_name("CMD")
      ->group(kGroup);
  sub.add_option("--anchor-every", flags.anchor_every_s, "Seconds between two heads; the last one goes at the end")
      ->check(CLI::Range(0.1, 86400.0))
      ->group(kGroup);
  sub.add_option("--drain-timeout", p.drain_s, "Seconds that requests under way have to end after SIGTERM or SIGINT")
      ->check(CLI::Range(0.0, 86400.0))
      ->group(kGroup);
}

std::filesystem::path collector_key_file(const Context& context, const store::Store& store) {
  const std::filesystem::path keys = context.globals.identity.empty()
                                         ? store::default_keys_dir(store.opened_info().store_id)
                                         : std::filesystem::path(context.globals.identity);
  return std::filesystem::is_directory(keys) ? keys / "collector.key" : keys;
}

Result<Summary> run_live(Context& context, LiveFlags flags) {
  using collect::Durability;
  using collect::OnStoreFailure;
  collect::ProxyOptions options = std::move(flags.proxy);
  SLM_TRY(options.listen, http::parse_address(flags.listen));
  if (!flags.admin.empty()) {
    SLM_TRY(options.admin, http::parse_address(flags.admin));
  }
  for (const std::string& text : flags.upstreams) {
    SLM_TRY(auto upstream, collect::parse_upstream(text));
    options.upstreams.push_back(std::move(upstream));
  }
  if (options.certificate.empty() != options.key.empty())
    return fail(ErrorCode::kUsage, "--cert and --key belong together");
  if (!options.client_ca.empty() && options.certificate.empty())
    return fail(ErrorCode::kUsage, "--client-ca needs TLS", "--cert FILE --key FILE");
  options.recorder.durability = flags.durability == "durable" ? Durability::kDurable : Durability::kFast;
  options.recorder.on_failure = flags.on_store_failure == "spool"    ? OnStoreFailure::kSpool
                                : flags.on_store_failure == "closed" ? OnStoreFailure::kClosed
                                                                     : OnStoreFailure::kOpen;
  options.recorder.spool_bytes = flags.spool_mb << 20;
  options.recorder.max_bytes = flags.memory_mb << 20;
  options.n_threads = context.globals.threads > 0 ? context.globals.threads : 1;
  const int64_t files = http::raise_file_limit();
  // A request under way needs a connection to a provider too; most clients' connections are idle.
  options.max_connections = std::max<int64_t>(1, std::min(options.max_connections, files / 4 * 3));
  SLM_TRY(const auto store, open_store(context, store::Role::kCollector));
  SLM_CHECK(check_target(flags.anchor, store->dir()));
  options.recorder.key_file = collector_key_file(context, *store);
  const bool durable = options.recorder.durability == Durability::kDurable;
  SLM_TRY(const auto proxy, collect::Proxy::start(std::move(options), *store));
  context.out->metrics({{"listening_port", proxy->port()}, {"admin_port", proxy->admin_port()}}, true);
  context.out->note(fmt::format("listening at port {}", proxy->port()));
  Anchoring anchoring(*store, flags.anchor, flags.anchor_every_s);
  while (!interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  context.out->note("ending: letting requests under way finish");
  const Status drained = proxy->drain();
  Summary summary = summarise(proxy->counts(), proxy->recorder().counts(), durable);
  if (!drained) {
    summary.code = drained.error().code;
    summary.message = drained.error().message;
    summary.hint = drained.error().hint;
  }
  anchoring.finish(summary);
  return summary;
}

}  // namespace slm::cli
