#include "collect/proxy_recorder.h"

#include <fmt/format.h>
#include <sched.h>
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

#include "collect/call_writer.h"
#include "collect/proxy_marks.h"
#include "collect/proxy_spool.h"
#include "core/log.h"
#include "core/random.h"
#include "store/collector_files.h"

namespace slm::collect {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kRetry = std::chrono::milliseconds(500);
// fast: what may wait for its commit is what the writer lately committed in this time; more holds new requests, never
// longer than kMaxHold, and never any that is under way.
constexpr double kBacklog_s = 0.05;
constexpr int64_t kMinBacklog = 64;
constexpr auto kMaxHold = std::chrono::milliseconds(250);

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
  RecorderImpl(store::Store& store, RecorderOptions options) : store_(store), options_(std::move(options)) {}
  ~RecorderImpl() override { (void)stop(); }

  Status open() {
    std::array<uint8_t, 16> run{};
    os_random()->fill(run);
    run_ = to_hex(run);
    SLM_TRY(marks_, Marks::open(store_.dir() / "collector"));
    SLM_CHECK(recover());
    SLM_TRY(appender_, append());
    if (options_.on_failure == OnStoreFailure::kSpool) {
      const auto ask = [] { return crypto::find_passphrase({}, "passphrase of the collector's key: "); };
      SLM_TRY(auto identity, crypto::read_key_file(options_.key_file, ask));
      SLM_TRY(spool_, Spool::open({marks_->spool_path(), options_.spool_bytes, is_durable()}, std::move(identity)));
      SLM_CHECK(drain_spool());
    } else if (store::is_waiting_spool(marks_->spool_path())) {
      log_warn(fmt::format("{} holds calls of an earlier run; --on-store-failure spool brings them into the store",
                           marks_->spool_path().string()));
    }
    writer_ = std::thread([this] { write(); });
    releaser_ = std::thread([this] { release(); });
    return {};
  }

  bool admits() const override { return options_.on_failure != OnStoreFailure::kClosed || !failing_; }

  bool begin(std::function<void(bool)> go) override {
    ++counts_.begun;
    marks_->begin();
    if (!is_durable() && (counts_.waiting < backlog_ || failing_)) return true;
    {
      const std::lock_guard lock(mark_mutex_);
      held_.push_back({std::move(go), Clock::now()});
    }
    if (is_durable())
      mark_wake_.notify_one();
    else
      ++counts_.held;
    return false;
  }

  void take_back() override {
    --counts_.begun;
    marks_->take_back();
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
    // A writer that gathers is woken once more when there is enough.
    if (first || counts_.waiting == backlog_ / 2) wake_.notify_one();
  }

  const RecorderOptions& options() const override { return options_; }
  const RecorderCounts& counts() const override { return counts_; }
  bool failing() const override { return failing_; }

  Status stop() override {
    {
      const std::scoped_lock lock(mutex_, mark_mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    mark_wake_.notify_one();
    if (writer_.joinable()) writer_.join();
    if (releaser_.joinable()) releaser_.join();
    return status_;
  }

 private:
  bool is_durable() const { return options_.durability == Durability::kDurable; }
  // Batches end where this thread says: a failed one is known by its calls.
  Result<std::unique_ptr<store::Appender>> append() {
    return store_.append(store::Store::Space::kRaw, {.batch_calls = 1 << 20, .batch_bytes = int64_t{1} << 30});
  }

  Status recover() {
    SLM_TRY(const int64_t lost, marks_->recover([this](const store::Tag& tag) -> Result<bool> {
      // What is stored isn't taken again; what isn't is dropped with the appender.
      SLM_TRY(const auto probe, append());
      store::NewCall call;
      call.tag = tag;
      SLM_TRY(const bool added, probe->add(std::move(call)));
      return !added;
    }));
    counts_.lost_before = lost;
    if (lost > 0) log_warn(fmt::format("the last run was ended before {} of the calls it had begun were stored", lost));
    return {};
  }

  // durable: calls begun reach the disk together; then each goes on. fast: those held go on when fewer wait.
  void release() {
    for (;;) {
      std::vector<Held> go;
      {
        std::unique_lock lock(mark_mutex_);
        const auto ready = [this] { return stopping_ || (is_durable() && !held_.empty()); };
        if (is_durable())
          mark_wake_.wait(lock, ready);
        else
          mark_wake_.wait_for(lock, std::chrono::milliseconds(10), ready);
        if (stopping_ && held_.empty()) return;
        size_t n = held_.size();
        if (!is_durable() && !stopping_ && !failing_) {
          n = static_cast<size_t>(std::clamp<int64_t>(backlog_ - counts_.waiting, 0, static_cast<int64_t>(n)));
          while (n < held_.size() && Clock::now() - held_[n].since > kMaxHold) ++n;
        }
        const auto end = held_.begin() + static_cast<ptrdiff_t>(n);
        go.assign(std::make_move_iterator(held_.begin()), std::make_move_iterator(end));
        held_.erase(held_.begin(), end);
      }
      const bool marked = !is_durable() || sync_marks();
      if (!marked && options_.on_failure != OnStoreFailure::kClosed)
        counts_.unmarked += static_cast<int64_t>(go.size());
      for (const Held& one : go) one.go(marked || options_.on_failure != OnStoreFailure::kClosed);
    }
  }

  // False: a loss of power may take the marks of calls begun with it.
  bool sync_marks() {
    const Status synced = options_.sync_marks ? options_.sync_marks() : marks_->sync();
    if (!synced && !marks_fail_)
      log_warn(fmt::format("{}: {}", synced.error().message,
                           options_.on_failure == OnStoreFailure::kClosed
                               ? "requests are turned away until they can be"
                               : "requests go on without, and are counted as unmarked"));
    if (synced && marks_fail_) log_note("calls begun are marked on the disk again");
    marks_fail_ = !synced;
    return !marks_fail_;
  }

  void write() {
    // What is recorded mustn't slow what passes: a thread's scheduling is its own on Linux.
    const sched_param ordinary{};
    sched_setscheduler(0, SCHED_OTHER, &ordinary);
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 10);
    for (;;) {
      std::deque<Item> items;
      bool last = false;
      {
        std::unique_lock lock(mutex_);
        const auto ready = [this] { return stopping_ || !queue_.empty(); };
        if (failing_)
          wake_.wait_for(lock, kRetry, ready);
        else
          wake_.wait(lock, ready);
        if (!is_durable() && !stopping_ && static_cast<int64_t>(queue_.size()) < backlog_ / 2)
          wake_.wait_for(lock, std::chrono::duration<double, std::milli>(options_.commit_ms),
                         [this] { return stopping_ || static_cast<int64_t>(queue_.size()) >= backlog_ / 2; });
        items.swap(queue_);
        last = stopping_;
      }
      const auto begun = Clock::now();
      const auto n = static_cast<double>(items.size());
      store_items(items, last);
      const double s = std::chrono::duration<double>(Clock::now() - begun).count();
      // Small batches say little: their cost is the commit's, not the calls'.
      if (n >= static_cast<double>(kMinBacklog) && s > 0)
        backlog_ =
            std::max(kMinBacklog, static_cast<int64_t>(0.5 * static_cast<double>(backlog_) + 0.5 * kBacklog_s * n / s));
      if (!last) continue;
      const std::lock_guard lock(mutex_);
      if (!queue_.empty()) continue;
      give_up_rest();
      return;
    }
  }

  void store_items(std::deque<Item>& items, bool last) {
    for (Item& item : items) {
      if (auto made = make_call(std::move(item.exchange)); !made) {
        note_failure(made.error());
        miss(1);
      }
      counts_.waiting_bytes -= item.n_bytes;
      --counts_.waiting;
    }
    const bool tries = !failing_ || last || Clock::now() >= retry_at_;
    bool safe = tries && save();
    if (!safe) safe = put_aside();
    const bool ok = safe || options_.on_failure == OnStoreFailure::kOpen;
    for (const Item& item : items) {
      if (!item.committed) continue;
      const auto us = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - item.at).count();
      counts_.commit_us_sum += us;
      if (us > counts_.commit_us_max) counts_.commit_us_max = us;
      item.committed(ok);
    }
  }

  // Commits what is unsaved. False: the store takes nothing.
  bool save() {
    if (unsaved_.empty() && !failing_) return true;
    const auto n = static_cast<int64_t>(unsaved_.size());
    if (n > 0) marks_->will_finish(n, unsaved_.front().tag);
    Status done = add_and_flush();
    if (!done) {
      note_failure(done.error());
      return false;
    }
    marks_->finish(n);
    unsaved_.clear();
    n_in_appender_ = 0;
    counts_.stored = appender_->n_added();
    ++counts_.commits;
    if (spool_ != nullptr && !spool_->empty())
      if (auto drained = drain_spool(); !drained) {
        note_failure(drained.error());
        return true;  // what was unsaved is saved; the rest lies where it lay
      }
    if (failing_.exchange(false)) log_note("the store takes calls again");
    status_ = {};
    return true;
  }

  Status add_and_flush() {
    SLM_CHECK(appender_->flush());  // what failed before goes first
    for (; n_in_appender_ < unsaved_.size(); ++n_in_appender_) SLM_CHECK(appender_->add(unsaved_[n_in_appender_]));
    return appender_->flush();
  }

  // While the store fails. True: what is unsaved is safe all the same.
  bool put_aside() {
    if (spool_ == nullptr) {
      // It stays in memory as long as there is room; what the appender holds can't be taken back.
      int64_t n_bytes = 0, n_kept = 0;
      for (const auto& call : unsaved_) {
        n_bytes += static_cast<int64_t>(call.meta.size() + call.body.size());
        if (n_bytes > options_.max_bytes && static_cast<size_t>(n_kept) >= n_in_appender_) break;
        ++n_kept;
      }
      miss(static_cast<int64_t>(unsaved_.size()) - n_kept);
      unsaved_.resize(static_cast<size_t>(n_kept));
      return false;
    }
    bool safe = true;
    for (const auto& call : unsaved_) {
      const auto put = spool_->put(call);
      if (put && *put) {
        ++counts_.spooled;
        marks_->finish(1);
      } else {
        safe = false;
        miss(1);
      }
    }
    // What the appender holds of them is committed with the next batch, and known when the spool is drained.
    unsaved_.clear();
    n_in_appender_ = 0;
    return safe;
  }

  Status drain_spool() {
    int64_t n = 0;
    const auto take = [&](store::NewCall call) -> Status {
      SLM_CHECK(appender_->add(std::move(call)));
      return ++n % 1000 == 0 ? appender_->flush() : Status();
    };
    SLM_CHECK(spool_->read(take));
    if (spool_->damaged()) log_warn("the spool's end doesn't open; what lies there is lost");
    SLM_CHECK(appender_->flush());
    counts_.stored = appender_->n_added();
    if (n > 0) log_note(fmt::format("{} spooled calls are in the store now", n));
    return spool_->clear();
  }

  void miss(int64_t n) {
    if (n <= 0) return;
    counts_.missed += n;
    marks_->miss(n);
  }

  void give_up_rest() {
    if (unsaved_.empty()) return;
    miss(static_cast<int64_t>(unsaved_.size()));
    unsaved_.clear();
  }

  void note_failure(const Error& error) {
    ++counts_.commit_errors;
    retry_at_ = Clock::now() + kRetry;
    status_ = fail(error);
    if (!failing_.exchange(true)) log_warn(fmt::format("the store takes no calls: {}", error.message));
  }

  Status make_call(Exchange exchange) {
    const dialects::LoggedCall logged = record_call(std::move(exchange));
    const Flags& flags = logged.call.meta.flags;
    if (options_.no_hci && flags.hci) {
      ++counts_.excluded;
      marks_->finish(1);
      return {};
    }
    // The same exchange twice is two calls: the tag is of random bits, not of the content.
    SLM_TRY(const store::Tag tag, store_.content_tag(fmt::format("live {} {}", run_, n_made_++), std::nullopt, 0));
    SLM_TRY(store::NewCall call,
            new_call(store_, logged.call.meta, body_text(logged.call.body), tag,
                     [this](std::string_view kind, std::string_view value) { return store_.pseudonym(kind, value); }));
    counts_.failed_calls += flags.failed;
    counts_.partial += flags.partial;
    counts_.truncated += flags.truncated;
    counts_.undecoded += flags.undecoded;
    unsaved_.push_back(std::move(call));
    return {};
  }

  store::Store& store_;
  const RecorderOptions options_;
  RecorderCounts counts_;
  std::unique_ptr<Marks> marks_;
  std::thread writer_, releaser_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  bool stopping_ = false;  // under both mutexes
  std::mutex mark_mutex_;
  std::condition_variable mark_wake_;
  struct Held {
    std::function<void(bool)> go;
    Clock::time_point since;
  };
  std::vector<Held> held_;
  std::atomic<int64_t> backlog_{1000};  // calls that may wait
  std::atomic<bool> failing_{false};
  bool marks_fail_ = false;  // the releaser's

  // The writer's.
  std::unique_ptr<store::Appender> appender_;
  std::unique_ptr<Spool> spool_;
  std::vector<store::NewCall> unsaved_;  // neither committed nor spooled
  size_t n_in_appender_ = 0;             // of these, from the front
  Clock::time_point retry_at_{};
  std::string run_;  // random, so that no two runs make the same tags
  uint64_t n_made_ = 0;
  Status status_;
};

}  // namespace

Result<std::unique_ptr<Recorder>> Recorder::start(store::Store& store, RecorderOptions options) {
  auto recorder = std::make_unique<RecorderImpl>(store, std::move(options));
  SLM_CHECK(recorder->open());
  return std::unique_ptr<Recorder>(std::move(recorder));
}

}  // namespace slm::collect
