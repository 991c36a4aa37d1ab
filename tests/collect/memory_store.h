// A store in memory, for tests of the importer: keeps what it is given, in the order given.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <map>
#include <set>

#include "core/hash.h"
#include "store/store.h"

namespace slm::collect {

// An atomic that can be copied, so that a store can be made anew.
template <class T>
class Shared {
 public:
  Shared(T value = {}) : value_(value) {}
  Shared(const Shared& other) : value_(other.value_.load()) {}
  Shared& operator=(const Shared& other) {
    value_ = other.value_.load();
    return *this;
  }
  operator T() const { return value_; }
  void operator+=(T n) { value_ += n; }

 private:
  std::atomic<T> value_;
};

class MemoryStore final : public store::Store {
 public:
  std::vector<store::NewCall> calls;  // committed
  std::set<store::Tag> tags;
  std::set<store::Tag> meanwhile;  // what another import commits while this one runs: seen when a batch is
  Shared<bool> fail_adds = false;
  void set_dir(std::filesystem::path dir) { dir_ = std::move(dir); }
  int n_committed() const { return n_committed_; }

  const std::filesystem::path& dir() const override { return dir_; }
  store::Role role() const override { return store::Role::kCollector; }
  const store::Info& opened_info() const override { return info_; }
  Result<store::Tag> content_tag(std::string_view content, std::optional<int64_t> time_ms,
                                 uint64_t occurrence) const override {
    const std::string text = fmt::format("{}|{}|{}", content, time_ms ? *time_ms / 1000 : -1, occurrence);
    const Digest digest = sha256(as_bytes(text));
    store::Tag tag;
    std::copy_n(digest.begin(), tag.size(), tag.begin());
    return tag;
  }
  Result<std::string> pseudonym(std::string_view kind, std::string_view value) const override {
    return fmt::format("{}_{}", kind, sha256_hex(value).substr(0, 12));
  }
  Result<CallId> new_call_id(const store::Tag& tag) const override { return CallId{tag}; }
  Result<double> split_point(std::string_view) const override { return unused(); }
  Result<Digest> surrogate_bytes(std::string_view) const override { return unused(); }
  Result<std::string> keyed_digest(std::string_view) const override { return unused(); }
  Result<std::unique_ptr<store::Appender>> append(Space, const store::AppendOptions& options) override {
    return std::make_unique<MemoryAppender>(*this, options);
  }
  Status scan(Space, const store::ScanOptions&, const std::function<Result<bool>(store::StoredCall&)>&) override {
    return unused();
  }
  Result<int64_t> next_batch() override { return unused(); }
  Status seal_file(const std::filesystem::path&, std::string_view, ByteSpan) override { return unused(); }
  Result<Bytes> open_sealed_file(const std::filesystem::path&, std::string_view) override { return unused(); }
  Status audit(std::string_view, std::string_view) override { return unused(); }

 private:
  static tl::unexpected<Error> unused() { return fail(ErrorCode::kUnexpected, "not in this test"); }

  class MemoryAppender final : public store::Appender {
   public:
    MemoryAppender(MemoryStore& store, const store::AppendOptions& options) : store_(store), options_(options) {}
    Result<bool> add(store::NewCall call) override {
      if (store_.fail_adds) return fail(ErrorCode::kIo, "no space");
      if (!store_.tags.insert(call.tag).second) {
        ++n_known_;
        return false;
      }
      ++n_added_;
      pending_.push_back(std::move(call));
      if (static_cast<int64_t>(pending_.size()) >= options_.batch_calls) (void)flush();
      return true;
    }
    Status flush() override {
      const auto known = static_cast<int64_t>(
          std::erase_if(pending_, [&](const store::NewCall& call) { return store_.meanwhile.contains(call.tag); }));
      n_added_ -= known;
      n_known_ += known;
      for (auto& call : pending_) store_.calls.push_back(std::move(call));
      store_.n_committed_ += static_cast<int>(pending_.size());
      pending_.clear();
      return {};
    }
    int64_t n_added() const override { return n_added_; }
    int64_t n_known() const override { return n_known_; }

   private:
    MemoryStore& store_;
    store::AppendOptions options_;
    std::vector<store::NewCall> pending_;
    int64_t n_added_ = 0, n_known_ = 0;
  };

  Shared<int> n_committed_ = 0;
  std::filesystem::path dir_ = "/nowhere";
  store::Info info_;
};

}  // namespace slm::collect
