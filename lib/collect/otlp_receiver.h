// S1, live: an OTLP/HTTP receiver. Spans and log records are joined by trace into calls, which are sealed into the
// store.
//
// A trace is held for `hold_s` after its first part came, so that its spans and the log records that carry their text
// meet; then its calls are stored. An answer of 200 says that a batch was read and is held: in memory, gone when the
// process is killed; or, durable, in a sealed journal on the disk (otlp_journal.h), which the next start reads again.
// drain() stores what is held.
// Units: s, bytes as named.
// Memory: waiting batches at most max_bytes, held traces at most kMaxHeldBytes of text (dialects/held.h); beyond the
//   first exporters are told to send again later, beyond the second the oldest trace goes as it is.
// Errors: kUsage (address, TLS files; a listener off this machine without TLS and client authentication), what reading
//   the key file and the journal return; later what the store or the journal returns: failed().
// Threads: start, drain and the counts from one thread.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "http/net.h"
#include "store/store.h"

namespace slm::collect {

struct OtlpOptions {
  http::Address listen;
  std::filesystem::path certificate, key;  // of the listener: then it speaks TLS
  std::filesystem::path client_ca;         // exporters show a certificate of these authorities
  std::filesystem::path token_file;        // exporters send Authorization: Bearer and one of its lines
  bool no_hci = false;                     // calls whose answer speaks to a human aren't kept
  double hold_s = 30;
  int n_threads = 1;
  bool durable = false;                             // answers wait for the journal
  int64_t spool_bytes = int64_t{256} << 20;         // of the journal
  std::filesystem::path key_file;                   // of the collector's identity: what the journal is sealed to
  uint64_t max_body_bytes = uint64_t{16} << 20;     // of one request as sent
  uint64_t max_decoded_bytes = uint64_t{64} << 20;  // and without its coding
  uint64_t max_bytes = uint64_t{128} << 20;         // of batches that wait
};

// Asked for after drain().
struct OtlpReport {
  int64_t n_requests = 0, n_refused = 0, n_turned_away = 0;
  int64_t n_spans = 0, n_logs = 0;  // received
  int64_t n_calls = 0;              // that they gave
  int64_t n_added = 0, n_failed = 0;
  std::map<std::string, int64_t> dropped;  // reason → n: spans and records that are no call, calls known or left out
};

class OtlpReceiver {
 public:
  // `store`: opened by a collector for writing; used by the receiver's thread alone until it is gone.
  static Result<std::unique_ptr<OtlpReceiver>> start(OtlpOptions options, store::Store& store);
  virtual ~OtlpReceiver() = default;
  virtual uint16_t port() const = 0;
  virtual bool failed() const = 0;       // the store or the journal refuses; nothing more is accepted
  virtual int64_t n_stored() const = 0;  // so far; from any thread
  // Accepts no more, stores what is held. Errors: what the store, or the journal, returned first.
  virtual Status drain() = 0;
  virtual OtlpReport report() const = 0;
};

}  // namespace slm::collect
