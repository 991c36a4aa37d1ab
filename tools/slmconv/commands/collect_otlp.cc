#include "commands/collect_otlp.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "commands/store.h"

namespace slm::cli {

namespace {

Summary summarise(const collect::OtlpReport& report) {
  Summary summary;
  summary.n_out = report.n_added;
  summary.n_in = report.n_added;
  summary.dropped = report.dropped;
  for (const auto& [reason, n] : report.dropped) summary.n_in += n;
  summary.changed = report.n_added > 0;
  summary.extra = {
      {"n_requests", report.n_requests}, {"n_refused", report.n_refused}, {"n_turned_away", report.n_turned_away},
      {"n_spans", report.n_spans},       {"n_logs", report.n_logs},       {"n_calls", report.n_calls},
      {"n_failed", report.n_failed}};
  summary.lines.push_back(fmt::format("{} requests, {} spans, {} log records: {} calls, {} stored", report.n_requests,
                                      report.n_spans, report.n_logs, report.n_calls, report.n_added));
  std::string left_out;
  for (const auto& [reason, n] : report.dropped)
    left_out += fmt::format("{}{} {}", left_out.empty() ? "" : ", ", n, reason);
  if (!left_out.empty()) summary.lines.push_back("left out: " + left_out);
  if (report.n_turned_away > 0)
    summary.lines.push_back(fmt::format("told to send again later: {} requests", report.n_turned_away));
  return summary;
}

}  // namespace

Result<Summary> run_otlp(Context& context, const std::string& listen, collect::OtlpOptions options,
                         const LiveFlags& live) {
  SLM_TRY(options.listen, http::parse_address(listen));
  options.certificate = live.proxy.certificate;
  options.key = live.proxy.key;
  options.client_ca = live.proxy.client_ca;
  options.token_file = live.proxy.token_file;
  options.durable = live.durability == "durable";
  options.spool_bytes = live.spool_mb << 20;
  options.n_threads = context.globals.threads > 0 ? context.globals.threads : 1;
  http::raise_file_limit();
  SLM_TRY(const auto store, open_store(context, store::Role::kCollector));
  SLM_CHECK(check_target(live.anchor, store->dir()));
  options.key_file = collector_key_file(context, *store);
  SLM_TRY(const auto receiver, collect::OtlpReceiver::start(std::move(options), *store));
  context.out->metrics({{"listening_port", receiver->port()}}, true);
  context.out->note(fmt::format("receiving OTLP at port {}: POST /v1/traces, /v1/logs", receiver->port()));
  Anchoring anchoring(*store, live.anchor, live.anchor_every_s);
  while (!interrupted() && !receiver->failed()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  context.out->note("ending: storing the traces that are held");
  const Status drained = receiver->drain();
  Summary summary = summarise(receiver->report());
  if (!drained) {
    summary.code = drained.error().code;
    summary.message = drained.error().message;
    summary.hint = drained.error().hint;
  }
  anchoring.finish(summary);
  return summary;
}

}  // namespace slm::cli
