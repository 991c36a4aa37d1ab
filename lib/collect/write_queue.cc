#include "collect/write_queue.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace slm::collect {

namespace {

constexpr size_t kBlockBytes = 1 << 20, kBlockCalls = 512, kMaxWaiting = 4 * kBlockBytes;

// What crosses at once, so that a lock is taken by the megabyte.
struct Block {
  bool begins_input = false;
  std::vector<ReadCall> calls;
  size_t n_bytes = 0;
};

}  // namespace

struct WriteQueue::Impl {
  explicit Impl(std::unique_ptr<CallWriter> to) : writer(std::move(to)) {
    thread = std::thread([this] { write(); });
  }

  ~Impl() {
    if (!thread.joinable()) return;
    {
      const std::lock_guard lock(mutex);
      ended = dropped = true;
    }
    changed.notify_all();
    thread.join();
  }

  void write() {
    while (true) {
      Block block;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return ended || !blocks.empty(); });
        if (dropped || blocks.empty()) return;
        block = std::move(blocks.front());
        blocks.pop_front();
        n_waiting -= block.n_bytes;
      }
      changed.notify_all();
      if (block.begins_input) writer->begin_input();
      for (ReadCall& read : block.calls) {
        auto added = writer->add(std::move(read));
        if (added) continue;
        const std::lock_guard lock(mutex);
        status = std::move(added);
        dropped = true;
        changed.notify_all();
        return;
      }
    }
  }

  // Hands the block over once there is room.
  Status send() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return dropped || blocks.empty() || n_waiting + filling.n_bytes <= kMaxWaiting; });
    if (!dropped) {
      n_waiting += filling.n_bytes;
      blocks.push_back(std::exchange(filling, {}));
    }
    changed.notify_all();
    return status;
  }

  std::unique_ptr<CallWriter> writer;
  Block filling;  // the reader's
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Block> blocks;
  size_t n_waiting = 0;  // bytes in blocks
  Status status;
  bool ended = false, dropped = false;  // no more comes; what waits isn't wanted
  std::thread thread;
};

WriteQueue::WriteQueue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WriteQueue::~WriteQueue() = default;

Result<std::unique_ptr<WriteQueue>> WriteQueue::open(store::Store& store, const store::AppendOptions& options) {
  SLM_TRY(auto writer, CallWriter::open(store, options));
  return std::unique_ptr<WriteQueue>(new WriteQueue(std::make_unique<Impl>(std::move(writer))));
}

Status WriteQueue::add(ReadCall read) {
  Block& block = impl_->filling;
  block.n_bytes += read.body.size() + read.name.size();
  block.calls.push_back(std::move(read));
  return block.n_bytes < kBlockBytes && block.calls.size() < kBlockCalls ? Status{} : impl_->send();
}

void WriteQueue::begin_input() {
  // An error shows at the next add().
  if (!impl_->filling.calls.empty()) (void)impl_->send();
  impl_->filling.begins_input = true;
}

Status WriteQueue::finish() {
  (void)impl_->send();
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->ended = true;
  }
  impl_->changed.notify_all();
  impl_->thread.join();
  return impl_->status ? impl_->writer->flush() : impl_->status;
}

int64_t WriteQueue::n_added() const { return impl_->writer->n_added(); }
int64_t WriteQueue::n_known() const { return impl_->writer->n_known(); }
int64_t WriteQueue::n_erased() const { return impl_->writer->n_erased(); }

}  // namespace slm::collect
