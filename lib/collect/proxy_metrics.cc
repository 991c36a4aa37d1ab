#include "collect/proxy_metrics.h"

#include <fmt/format.h>

namespace slm::collect {

std::string prometheus_text(const ProxyCounts& p, const Recorder& recorder) {
  const RecorderCounts& r = recorder.counts();
  struct Row {
    const char* name;
    const char* type;
    const char* help;
    int64_t value;
  };
  const Row rows[] = {
      {"connections_total", "counter", "Connections accepted from clients", p.connections},
      {"connections_open", "gauge", "Connections from clients that are open", p.open_connections},
      {"requests_total", "counter", "Requests read", p.requests},
      {"requests_open", "gauge", "Requests under way", p.open_requests},
      {"requests_refused_total", "counter", "Requests refused: malformed, too large, too slow, no upstream", p.refused},
      {"requests_unauthenticated_total", "counter", "Requests without a valid token", p.unauthenticated},
      {"requests_turned_away_total", "counter", "Requests answered 503 because the store takes no calls",
       p.turned_away},
      {"requests_unrecorded_total", "counter", "Requests passed of which no call is made", p.unrecorded},
      {"requests_excluded_total", "counter", "Requests of human-facing routes: passed, not recorded", p.excluded},
      {"upstream_failures_total", "counter", "Requests without an answer from the upstream", p.upstream_failures},
      {"upstream_broken_total", "counter", "Answers that broke off", p.upstream_broken},
      {"clients_gone_total", "counter", "Clients that left before their answer's end", p.clients_gone},
      {"request_body_bytes_total", "counter", "Bytes of request bodies passed", p.request_bytes},
      {"response_body_bytes_total", "counter", "Bytes of response bodies passed", p.response_bytes},
      {"calls_begun_total", "counter", "Calls begun", r.begun},
      {"calls_stored_total", "counter", "Calls committed to the store", r.stored},
      {"calls_missed_total", "counter", "Calls passed and never stored", r.missed},
      {"calls_spooled_total", "counter", "Calls put into the spool", r.spooled},
      {"calls_excluded_total", "counter", "Calls left out because their answer speaks to a human", r.excluded},
      {"calls_partial_total", "counter", "Calls stored whose answer broke off", r.partial},
      {"calls_truncated_total", "counter", "Calls stored in part: longer than is recorded", r.truncated},
      {"calls_undecoded_total", "counter", "Calls stored as they came: not readable", r.undecoded},
      {"calls_held_total", "counter", "Requests held because calls end faster than they are committed", r.held},
      {"calls_unmarked_total", "counter",
       "Calls forwarded before their begin was on the disk: its sync failed (durable)", r.unmarked},
      {"calls_waiting", "gauge", "Calls over and not yet committed", r.waiting},
      {"calls_waiting_bytes", "gauge", "Bodies held in memory for recording", r.waiting_bytes},
      {"calls_lost_before", "gauge", "Calls that the run before this one had begun and didn't store", r.lost_before},
      {"commits_total", "counter", "Batches committed", r.commits},
      {"commit_errors_total", "counter", "Commits that failed", r.commit_errors},
      {"commit_wait_microseconds_total", "counter", "Time that answers waited for their commit (durable)",
       r.commit_us_sum},
      {"store_failing", "gauge", "1 while the store takes no calls", recorder.failing() ? 1 : 0},
  };
  std::string out;
  for (const Row& row : rows)
    out += fmt::format("# HELP slmconv_{0} {1}\n# TYPE slmconv_{0} {2}\nslmconv_{0} {3}\n", row.name, row.help,
                       row.type, row.value);
  return out;
}

}  // namespace slm::collect
