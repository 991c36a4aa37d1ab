#include "collect/proxy_recorder.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "core/log.h"
#include "core/random.h"

namespace slm::collect {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kRetry = std::chrono::milliseconds(500);
constexpr int64_t kBatchCalls = 4096, kBatchBytes = int64_t{32} << 20;

int64_t size_of(const Exchange& exchange) {
  return static_cast<int64_t>(exchange.request.size() + exchange.response.size());
}

struct Item {
  Exchange exchange;
  std::function<void(bool)> committed;
  Clock::time_point at;
  int64_t n_bytes = 0;
};

class RecorderImpl final : public Recorder {
 public:
  RecorderImpl(store::Store& store, RecorderOptions options) : store_(store), options_(options) {}
  ~RecorderImpl() override { (void)stop(); }

  Status open() {
    std::array<uint8_t, 16> run{};
    os_random()->fill(run);
    run_ = to_hex(run);
    SLM_TRY(appender_,
            store_.append(store::Store::Space::kRaw, {.batch_calls = 1 << 20, .batch_bytes = int64_t{1} << 30}));
    writer_ = std::thread([this] { write(); });
    return {};
  }

  bool admits() const override { return options_.on_failure != OnStoreFailure::kClosed || !failing_; }
  bool begin(std::function<void()>) override {
    ++counts_.begun;
    return true;
  }
  bool reserve(int64_t n) override {
    if (counts_.waiting_bytes.fetch_add(n) + n <= options_.max_bytes) return true;
    counts_.waiting_bytes -= n;
    return false;
  }

  void finish(Exchange exchange, std::function<void(bool)> committed) override {
    Item item{std::move(exchange), std::move(committed), Clock::now(), 0};
    item.n_bytes = size_of(item.exchange);
    ++counts_.waiting;
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      first = queue_.empty();
      queue_.push_back(std::move(item));
    }
    if (first) wake_.notify_one();
  }

  const RecorderOptions& options() const override { return options_; }
  const RecorderCounts& counts() const override { return counts_; }
  bool failing() const override { return failing_; }

  Status stop() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    if (writer_.joinable()) writer_.join();
    return status_;
  }

 private:
  void write() {
    // What is recorded mustn't slow what passes: a thread's priority is its own on Linux.
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 10);
    for (;;) {
      std::deque<Item> items;
      bool last = false;
      {
        std::unique_lock lock(mutex_);
        const auto ready = [this] { return stopping_ || !queue_.empty(); };
        if (n_pending_ > 0)
          wake_.wait_for(lock, kRetry, ready);
        else
          wake_.wait(lock, ready);
        if (options_.durability == Durability::kFast && !stopping_)
          wake_.wait_for(lock, std::chrono::duration<double, std::milli>(options_.commit_ms),
                         [this] { return stopping_; });
        items.swap(queue_);
        last = stopping_;
      }
      store_items(items);
      if (!last) continue;
      const std::lock_guard lock(mutex_);
      if (!queue_.empty()) continue;
      if (n_pending_ > 0) counts_.missed += n_pending_;
      return;
    }
  }

  void store_items(std::deque<Item>& items) {
    std::vector<Item> batch;
    for (Item& item : items) {
      const int64_t n_bytes = item.n_bytes;
      if (auto added = add(std::move(item.exchange)); !added) note_failure(added.error());
      counts_.waiting_bytes -= n_bytes;
      --counts_.waiting;
      batch.push_back(std::move(item));
    }
    const bool ok = flush();
    for (const Item& item : batch) {
      if (!item.committed) continue;
      const auto us = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - item.at).count();
      counts_.commit_us_sum += us;
      if (us > counts_.commit_us_max) counts_.commit_us_max = us;
      item.committed(ok || options_.on_failure == OnStoreFailure::kOpen);
    }
  }

  bool flush() {
    if (n_pending_ == 0) return !failing_;
    if (auto done = appender_->flush(); !done) {
      note_failure(done.error());
      return false;
    }
    counts_.stored += n_pending_;
    n_pending_ = 0;
    ++counts_.commits;
    if (failing_.exchange(false)) log_note("the store takes calls again");
    status_ = {};
    return true;
  }

  void note_failure(const Error& error) {
    ++counts_.commit_errors;
    status_ = fail(error);
    if (!failing_.exchange(true)) log_warn(fmt::format("the store takes no calls: {}", error.message));
  }

  Status add(Exchange exchange) {
    const dialects::LoggedCall logged = record_call(std::move(exchange));
    CallMeta meta = logged.call.meta;
    if (options_.no_hci && meta.flags.hci) {
      ++counts_.excluded;
      return {};
    }
    // The same exchange twice is two calls: the tag is of random bits, not of the content.
    store::NewCall call;
    SLM_TRY(call.tag, store_.content_tag(fmt::format("live {} {}", run_, n_made_++), std::nullopt, 0));
    SLM_TRY(meta.id, store_.new_call_id(call.tag));
    call.id = meta.id;
    call.source = meta.source;
    for (std::string* name : {&meta.session, &meta.group})
      if (!name->empty()) {
        SLM_TRY(*name, store_.pseudonym("ses", *name));
      }
    if (!meta.source.empty()) {
      SLM_TRY(meta.source, store_.pseudonym("src", meta.source));
    }
    call.meta = json::serialize(to_json(meta));
    call.body = json::serialize(to_json(logged.call.body));
    counts_.failed_calls += meta.flags.failed;
    counts_.partial += meta.flags.partial;
    counts_.truncated += meta.flags.truncated;
    counts_.undecoded += meta.flags.undecoded;
    SLM_CHECK(appender_->add(std::move(call)));
    ++n_pending_;
    return {};
  }

  store::Store& store_;
  const RecorderOptions options_;
  RecorderCounts counts_;
  std::unique_ptr<store::Appender> appender_;  // the writer's
  std::thread writer_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  std::atomic<bool> failing_{false};
  int64_t n_pending_ = 0;
  std::string run_;  // random, so that no two runs make the same tags
  uint64_t n_made_ = 0;
  Status status_;
};

}  // namespace

Result<std::unique_ptr<Recorder>> Recorder::start(store::Store& store, RecorderOptions options) {
  auto recorder = std::make_unique<RecorderImpl>(store, options);
  SLM_CHECK(recorder->open());
  return std::unique_ptr<Recorder>(std::move(recorder));
}

}  // namespace slm::collect
