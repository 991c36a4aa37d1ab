#include "collect/otlp_receiver.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include "call/dialects/otlp.h"
#include "collect/call_writer.h"
#include "collect/otlp_intake.h"
#include "core/hash.h"
#include "http/server.h"

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
};

class Receiver final : public OtlpReceiver, public dialects::CallSink {
 public:
  Receiver(OtlpOptions options, std::vector<std::string> tokens, std::unique_ptr<CallWriter> writer)
      : options_(std::move(options)), tokens_(std::move(tokens)), writer_(std::move(writer)) {}
  ~Receiver() override { (void)Receiver::drain(); }

  Status open() {
    http::ServerOptions server;
    server.listen.address = options_.listen;
    if (!options_.certificate.empty()) {
      SLM_TRY(server.listen.tls, http::tls_server({options_.certificate, options_.key, options_.client_ca}));
    }
    server.max_body_bytes = options_.max_body_bytes;
    server.max_decoded_bytes = options_.max_decoded_bytes;
    loops_ = std::make_unique<http::Loops>(options_.n_threads);
    worker_ = std::thread([this] { work(); });
    SLM_TRY(server_, http::Server::open(*loops_, server, [this](http::Request request, http::Answer answer) {
              answer(respond(request));
            }));
    return {};
  }

  uint16_t port() const override { return server_->port(); }
  bool failed() const override { return failed_; }
  int64_t n_stored() const override { return n_stored_; }

  Status drain() override {
    if (server_ != nullptr) server_->stop();
    if (loops_ != nullptr) loops_->stop();
    if (worker_.joinable()) {
      {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
      }
      wake_.notify_one();
      worker_.join();
    }
    return status_;
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
    if (status_) status_ = writer_->add(logged);
    if (!status_) {
      failed_ = true;
      report_.dropped["missed"] += 1;
    }
    return true;
  }
  void skip(std::string_view reason) override { report_.dropped[std::string(reason)] += 1; }

 private:
  // On a loop's thread.
  http::Response respond(const http::Request& request) {
    n_requests_ += 1;
    const std::string_view target = request.head.target;
    const OtlpRequest asked{request.head.method, target.substr(0, target.find('?')),
                            http::value_of(request.head, "Content-Type"), request.body};
    constexpr std::string_view kBearer = "Bearer ";
    const std::string_view shown = http::value_of(request.head, "Authorization");
    if (!tokens_.empty() && (!shown.starts_with(kBearer) || !is_one_of(tokens_, shown.substr(kBearer.size())))) {
      n_refused_ += 1;
      return to_response(refuse_otlp(asked, 401, "a token is needed"));
    }
    Work work;
    OtlpAnswer answer = read_otlp(asked, work.batch);
    if (answer.status != 200) {
      n_refused_ += 1;
      return to_response(answer);
    }
    work.n_bytes = request.body.size();
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ || failed_ || (waiting_bytes_ + work.n_bytes > options_.max_bytes && waiting_bytes_ > 0)) {
        n_turned_away_ += 1;
        return to_response(refuse_otlp(asked, 503, "no room now"));
      }
      waiting_bytes_ += work.n_bytes;
      waiting_.push_back(std::move(work));
    }
    wake_.notify_one();
    return to_response(answer);
  }

  static http::Response to_response(const OtlpAnswer& answer) {
    http::Response out;
    out.status = answer.status;
    out.content_type = answer.content_type;
    out.body = answer.body;
    if (answer.retry_after_s > 0) out.fields.push_back({"Retry-After", std::to_string(answer.retry_after_s)});
    return out;
  }

  void work() {
    const auto hold_ms = static_cast<int64_t>(options_.hold_s * 1000);
    int64_t flushed_ms = steady_ms();
    int64_t n_flushed = 0;
    for (bool last = false; !last;) {
      std::deque<Work> taken;
      {
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, std::chrono::milliseconds(100), [&] { return stopping_ || !waiting_.empty(); });
        taken.swap(waiting_);
        waiting_bytes_ = 0;
        last = stopping_;
      }
      const int64_t now_ms = steady_ms();
      for (auto& work : taken) {
        report_.n_spans += static_cast<int64_t>(work.batch.spans.size()) + work.batch.n_bad_spans;
        report_.n_logs += static_cast<int64_t>(work.batch.logs.size()) + work.batch.n_bad_logs;
        joiner_.add(std::move(work.batch), now_ms, *this);
      }
      last ? joiner_.finish(*this) : joiner_.expire(now_ms - hold_ms, *this);
      const bool is_due = last || now_ms - flushed_ms >= kFlushMs;
      if (is_due && status_ && report_.n_calls > n_flushed) {
        status_ = writer_->flush();
        failed_ = failed_ || !status_;
        n_flushed = report_.n_calls;
        n_stored_ = writer_->n_added();
      }
      if (is_due) flushed_ms = now_ms;
    }
  }

  static constexpr int64_t kFlushMs = 1000;

  const OtlpOptions options_;
  const std::vector<std::string> tokens_;
  std::unique_ptr<CallWriter> writer_;
  std::unique_ptr<http::Loops> loops_;
  std::shared_ptr<http::Server> server_;

  std::mutex mutex_;  // of what waits
  std::condition_variable wake_;
  std::deque<Work> waiting_;
  uint64_t waiting_bytes_ = 0;
  bool stopping_ = false;

  dialects::OtlpJoiner joiner_;  // from here: the worker's
  OtlpReport report_;
  Status status_;
  std::atomic<bool> failed_{false};
  std::atomic<int64_t> n_requests_{0}, n_refused_{0}, n_turned_away_{0}, n_stored_{0};
  std::thread worker_;
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
  auto receiver = std::make_unique<Receiver>(std::move(options), std::move(tokens), std::move(writer));
  SLM_CHECK(receiver->open());
  return std::unique_ptr<OtlpReceiver>(std::move(receiver));
}

}  // namespace slm::collect
