#include "collect/otlp_receiver.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include "call/dialects/otlp.h"
#include "collect/call_writer.h"
#include "collect/otlp_intake.h"
#include "collect/otlp_journal.h"
#include "core/hash.h"
#include "core/log.h"
#include "http/server.h"
#include "store/collector_files.h"

namespace slm::collect {

namespace {

using Steady = std::chrono::steady_clock;

int64_t steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Steady::now().time_since_epoch()).count();
}

Result<std::vector<std::string>> read_tokens(const std::filesystem::path& path) {
  std::vector<std::string> tokens;
  if (path.empty()) return tokens;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) tokens.push_back(line);
  }
  if (tokens.empty()) return fail(ErrorCode::kUsage, fmt::format("{}: no token in it", path.string()));
  return tokens;
}

bool is_one_of(const std::vector<std::string>& tokens, std::string_view shown) {
  const Digest digest = sha256(as_bytes(shown));  // what is compared says nothing of how much of a token was right
  bool found = false;
  for (const auto& token : tokens) found = sha256(as_bytes(token)) == digest || found;
  return found;
}

struct Work {
  otel::Batch batch;
  uint64_t n_bytes = 0;
  int file = OtlpJournal::kNoRoom;  // of the journal
};
// A request that waits for the journal.
struct Asked {
  http::Request request;
  Work work;
  OtlpAnswer answer;
  http::Answer send;
};

OtlpRequest otlp_request(const http::Request& request) {
  const std::string_view target = request.head.target;
  return {request.head.method, target.substr(0, target.find('?')), http::value_of(request.head, "Content-Type"),
          request.body};
}

class Receiver final : public OtlpReceiver, public dialects::CallSink {
 public:
  Receiver(OtlpOptions options, std::vector<std::string> tokens, store::Store& store,
           std::unique_ptr<CallWriter> writer)
      : options_(std::move(options)), tokens_(std::move(tokens)), store_(store), writer_(std::move(writer)) {}
  ~Receiver() override { (void)Receiver::drain(); }

  Status open() {
    http::ServerOptions server;
    server.listen.address = options_.listen;
    if (!options_.certificate.empty()) {
      SLM_TRY(server.listen.tls, http::tls_server({options_.certificate, options_.key, options_.client_ca}));
    }
    server.max_body_bytes = options_.max_body_bytes;
    server.max_decoded_bytes = options_.max_decoded_bytes;
    if (options_.durable) {
      SLM_CHECK(open_journal());
      // What one of its files can't hold will never be taken.
      const auto most = static_cast<uint64_t>(options_.spool_bytes / 2 - kRecordBytes);
      server.max_body_bytes = std::min(server.max_body_bytes, most);
      server.max_decoded_bytes = std::min(server.max_decoded_bytes, most);
    } else if (!store::waiting_spools(store_.dir()).empty()) {
      log_warn(
          fmt::format("{}: spools hold what an earlier run took; --durability durable reads again what --otlp took",
                      (store_.dir() / store::kCollectorFolder).string()));
    }
    loops_ = std::make_unique<http::Loops>(options_.n_threads);
    worker_ = std::thread([this] { work(); });
    SLM_TRY(server_, http::Server::open(*loops_, server, [this](http::Request request, http::Answer answer) {
              respond(std::move(request), std::move(answer));
            }));
    return {};
  }

  uint16_t port() const override { return server_->port(); }
  bool failed() const override { return failed_; }
  int64_t n_stored() const override { return n_stored_; }

  Status drain() override {
    if (server_ != nullptr) server_->stop();
    set(stopping_);
    if (keeper_.joinable()) keeper_.join();
    if (loops_ != nullptr) loops_->stop();
    set(ending_);
    if (worker_.joinable()) worker_.join();
    return status_ ? journal_status_ : status_;
  }

  OtlpReport report() const override {
    OtlpReport out = report_;
    out.n_requests = n_requests_;
    out.n_refused = n_refused_;
    out.n_turned_away = n_turned_away_;
    out.n_added = writer_->n_added();
    if (writer_->n_known() > 0) out.dropped["already_stored"] = writer_->n_known();
    if (writer_->n_erased() > 0) out.dropped["erased_source"] = writer_->n_erased();
    return out;
  }

  // The worker's own, as a sink.
  bool call(const dialects::LoggedCall& logged) override {
    report_.n_calls += 1;
    if (options_.no_hci && logged.call.meta.flags.hci) {
      report_.dropped["human_facing"] += 1;
      return true;
    }
    report_.n_failed += logged.call.meta.flags.failed;
    if (status_) status_ = writer_->add(read_call(logged));
    if (!status_) {
      failed_ = true;
      report_.dropped["missed"] += 1;
    }
    return true;
  }
  void skip(std::string_view reason) override { report_.dropped[std::string(reason)] += 1; }

 private:
  void set(bool& flag) {
    {
      const std::lock_guard lock(mutex_);
      flag = true;
    }
    asked_wake_.notify_one();
    wake_.notify_one();
  }

  Status open_journal() {
    const auto ask = [] { return crypto::find_passphrase({}, "passphrase of the collector's key: "); };
    SLM_TRY(auto identity, crypto::read_key_file(options_.key_file, ask));
    SLM_TRY(journal_, OtlpJournal::open(store_.dir() / store::kCollectorFolder, options_.spool_bytes, hold_ms(),
                                        std::move(identity)));
    // One moment for all: the journal holds them until traces of that moment are stored.
    const int64_t now_ms = steady_ms();
    SLM_CHECK(journal_->replay(now_ms, [this, now_ms](const OtlpRequest& request) {
      otel::Batch batch;
      if (read_otlp(request, batch).status == 200) take(std::move(batch), now_ms);
    }));
    keeper_ = std::thread([this] { keep(); });
    return {};
  }

  // On a loop's thread.
  void respond(http::Request request, http::Answer send) {
    n_requests_ += 1;
    const OtlpRequest asked = otlp_request(request);
    constexpr std::string_view kBearer = "Bearer ";
    const std::string_view shown = http::value_of(request.head, "Authorization");
    if (!tokens_.empty() && (!shown.starts_with(kBearer) || !is_one_of(tokens_, shown.substr(kBearer.size())))) {
      n_refused_ += 1;
      return send(to_response(refuse_otlp(asked, 401, "a token is needed")));
    }
    Work work;
    const OtlpAnswer answer = read_otlp(asked, work.batch);
    if (answer.status != 200) {
      n_refused_ += 1;
      return send(to_response(answer));
    }
    work.n_bytes = request.body.size();
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ || failed_ || (waiting_bytes_ + work.n_bytes > options_.max_bytes && waiting_bytes_ > 0)) {
        n_turned_away_ += 1;
        return send(to_response(refuse_otlp(asked, 503, "no room now")));
      }
      waiting_bytes_ += work.n_bytes;
      if (journal_ == nullptr)
        waiting_.push_back(std::move(work));
      else
        asked_.push_back({std::move(request), std::move(work), answer, std::move(send)});
    }
    if (journal_ != nullptr) return asked_wake_.notify_one();
    wake_.notify_one();
    send(to_response(answer));
  }

  // The journal's thread: what came meanwhile shares one write to the disk.
  void keep() {
    for (;;) {
      std::deque<Asked> asked;
      {
        std::unique_lock lock(mutex_);
        asked_wake_.wait(lock, [&] { return stopping_ || !asked_.empty(); });
        asked.swap(asked_);
      }
      if (asked.empty()) return;
      Status kept;
      for (Asked& one : asked) {
        if (!kept) break;
        const auto file = journal_->put(otlp_request(one.request), steady_ms());
        if (file)
          one.work.file = *file;
        else
          kept = fail(file.error());
      }
      if (kept) kept = journal_->sync();
      for (Asked& one : asked) {
        const bool is_kept = kept && one.work.file != OtlpJournal::kNoRoom;
        one.send(to_response(is_kept ? one.answer : refuse_otlp(otlp_request(one.request), 503, "no room now")));
      }
      const std::lock_guard lock(mutex_);
      for (Asked& one : asked) {
        if (kept && one.work.file != OtlpJournal::kNoRoom) {
          waiting_.push_back(std::move(one.work));
        } else {
          n_turned_away_ += 1;
          waiting_bytes_ -= one.work.n_bytes;
        }
      }
      if (!kept) {
        journal_status_ = kept;
        failed_ = true;
      }
      wake_.notify_one();
    }
  }

  static http::Response to_response(const OtlpAnswer& answer) {
    http::Response out;
    out.status = answer.status;
    out.content_type = answer.content_type;
    out.body = answer.body;
    if (answer.retry_after_s > 0) out.fields.push_back({"Retry-After", std::to_string(answer.retry_after_s)});
    return out;
  }

  // The worker's, and before it begins.
  void take(otel::Batch batch, int64_t now_ms) {
    report_.n_spans += static_cast<int64_t>(batch.spans.size()) + batch.n_bad_spans;
    report_.n_logs += static_cast<int64_t>(batch.logs.size()) + batch.n_bad_logs;
    joiner_.add(std::move(batch), now_ms, *this);
  }

  void work() {
    int64_t flushed_ms = steady_ms();
    int64_t n_flushed = 0;
    for (bool last = false; !last;) {
      std::deque<Work> taken;
      {
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, std::chrono::milliseconds(100), [&] { return ending_ || !waiting_.empty(); });
        taken.swap(waiting_);
        for (const Work& work : taken) waiting_bytes_ -= work.n_bytes;
        last = ending_;
      }
      const int64_t now_ms = steady_ms();
      for (auto& work : taken) {
        take(std::move(work.batch), now_ms);
        if (journal_ != nullptr) journal_->taken(work.file, now_ms);
      }
      const int64_t then_ms = last ? std::numeric_limits<int64_t>::max() : now_ms - hold_ms();
      last ? joiner_.finish(*this) : joiner_.expire(then_ms, *this);
      const bool is_due = last || now_ms - flushed_ms >= kFlushMs;
      if (!is_due) continue;
      flushed_ms = now_ms;
      if (status_ && report_.n_calls > n_flushed) {
        status_ = writer_->flush();
        n_flushed = report_.n_calls;
        n_stored_ = writer_->n_added();
      }
      if (status_ && journal_ != nullptr) status_ = journal_->clear_before(then_ms);
      failed_ = failed_ || !status_;
    }
  }

  int64_t hold_ms() const { return static_cast<int64_t>(options_.hold_s * 1000); }

  static constexpr int64_t kFlushMs = 1000;
  static constexpr int64_t kRecordBytes = 4096;  // of a record but its body, and of a file but its records

  const OtlpOptions options_;
  const std::vector<std::string> tokens_;
  store::Store& store_;
  std::unique_ptr<CallWriter> writer_;
  std::unique_ptr<OtlpJournal> journal_;  // durable
  std::unique_ptr<http::Loops> loops_;
  std::shared_ptr<http::Server> server_;

  std::mutex mutex_;  // of what waits
  std::condition_variable asked_wake_, wake_;
  std::deque<Asked> asked_;   // for the journal
  std::deque<Work> waiting_;  // for the worker
  uint64_t waiting_bytes_ = 0;
  bool stopping_ = false, ending_ = false;  // nothing more for the journal, for the worker

  dialects::OtlpJoiner joiner_;  // from here: the worker's
  OtlpReport report_;
  Status status_;
  std::atomic<bool> failed_{false};
  std::atomic<int64_t> n_requests_{0}, n_refused_{0}, n_turned_away_{0}, n_stored_{0};
  Status journal_status_;  // the keeper's
  std::thread keeper_, worker_;
};

}  // namespace

Result<std::unique_ptr<OtlpReceiver>> OtlpReceiver::start(OtlpOptions options, store::Store& store) {
  if (options.certificate.empty() != options.key.empty())
    return fail(ErrorCode::kUsage, "--cert and --key belong together");
  if (!http::is_loopback(options.listen) &&
      (options.certificate.empty() || (options.client_ca.empty() && options.token_file.empty())))
    return fail(ErrorCode::kUsage,
                fmt::format("{} isn't this machine alone: spans hold call text", options.listen.host),
                "--cert FILE --key FILE, and --client-ca FILE or --token-file FILE");
  SLM_TRY(auto tokens, read_tokens(options.token_file));
  SLM_TRY(auto writer, CallWriter::open(store, {}));
  auto receiver = std::make_unique<Receiver>(std::move(options), std::move(tokens), store, std::move(writer));
  SLM_CHECK(receiver->open());
  return std::unique_ptr<OtlpReceiver>(std::move(receiver));
}

}  // namespace slm::collect
