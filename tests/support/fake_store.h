// A store in memory, for tests of rooms that only need its calls and keys: no sealing, no roles, no files but
// artefacts' folder. Keys are fixed, so everything is reproducible.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "call/call.h"
#include "core/file.h"
#include "core/hash.h"
#include "store/store.h"

namespace slm::test {

class FakeStore : public store::Store {
 public:
  explicit FakeStore(std::filesystem::path dir = {}) : dir_(std::move(dir)) {}

  // Adds a raw (or curated) call of its own batch; the id's last bytes are its number if it has none.
  CallId add(Call call, Space space = Space::kRaw) {
    auto& calls = calls_[space];
    if (call.meta.id == CallId{}) {
      const auto n = static_cast<uint32_t>(calls.size() + 1);
      for (int i = 0; i < 4; ++i) call.meta.id.bytes[static_cast<size_t>(15 - i)] = static_cast<uint8_t>(n >> (8 * i));
    }
    store::StoredCall stored;
    stored.id = call.meta.id;
    stored.tag = stored.id.bytes;
    stored.source = call.meta.source;
    stored.group = sha256_hex("group " + call.meta.source).substr(0, 32);
    stored.meta = canonical_json(to_json(call.meta));
    stored.body = canonical_json(to_json(call.body));
    calls.push_back(std::move(stored));
    return call.meta.id;
  }
  // Calls of a space as a reader gets them.
  std::vector<Call> read(Space space) {
    std::vector<Call> out;
    for (const auto& stored : calls_[space]) {
      Call call;
      call.meta = *call_meta_from_json(*parse_json(stored.meta));
      call.body = *call_body_from_json(*parse_json(stored.body));
      out.push_back(std::move(call));
    }
    return out;
  }
  std::vector<store::StoredCall>& stored(Space space) { return calls_[space]; }
  int64_t n_scans() const { return n_scans_; }

  const std::filesystem::path& dir() const override { return dir_; }
  store::Role role() const override { return store::Role::kCurator; }
  const store::Info& opened_info() const override { return info_; }
  Result<store::Tag> content_tag(std::string_view content, std::optional<int64_t> time_ms, uint64_t n) const override {
    store::Tag tag;
    const Digest d =
        keyed("tag", std::string(content) + "/" + std::to_string(time_ms.value_or(0)) + "/" + std::to_string(n));
    std::copy_n(d.begin(), tag.size(), tag.begin());
    return tag;
  }
  Result<std::string> pseudonym(std::string_view kind, std::string_view value) const override {
    return std::string(kind.substr(0, 3)) + "_" + to_hex(keyed(kind, value)).substr(0, 16);
  }
  Result<CallId> new_call_id(const store::Tag& tag) const override { return CallId{tag}; }
  Result<double> split_point(std::string_view group) const override {
    return static_cast<double>(get_u64(keyed("split", group).data()) >> 11) * 0x1.0p-53;
  }
  Result<Digest> surrogate_bytes(std::string_view input) const override { return keyed("surrogate", input); }
  Result<std::string> keyed_digest(std::string_view input) const override { return to_hex(keyed("digest", input)); }

  Result<std::unique_ptr<store::Appender>> append(Space space, const store::AppendOptions&) override {
    return std::unique_ptr<store::Appender>(std::make_unique<FakeAppender>(calls_[space]));
  }
  Status scan(Space space, const store::ScanOptions& options,
              const std::function<Result<bool>(store::StoredCall&)>& visit) override {
    ++n_scans_;
    const size_t n = calls_[space].size();  // what is added meanwhile isn't seen
    for (size_t i = 0; i < n; ++i) {
      store::StoredCall call = calls_[space][i];
      if (options.only != nullptr && !std::binary_search(options.only->begin(), options.only->end(), call.id)) continue;
      if (!options.body) call.body.clear();
      SLM_TRY(const bool more, visit(call));
      if (!more) break;
    }
    return {};
  }
  Result<int64_t> next_batch() override { return static_cast<int64_t>(calls_[Space::kRaw].size()); }
  Status seal_file(const std::filesystem::path& path, std::string_view, ByteSpan plaintext) override {
    return write_file_atomic(path, plaintext);
  }
  Result<Bytes> open_sealed_file(const std::filesystem::path& path, std::string_view) override {
    SLM_TRY(const std::string text, read_file(path));
    return Bytes(text.begin(), text.end());
  }
  Status audit(std::string_view, std::string_view) override { return {}; }

 private:
  class FakeAppender : public store::Appender {
   public:
    explicit FakeAppender(std::vector<store::StoredCall>& calls) : calls_(calls) {
      for (const auto& call : calls) tags_.insert(call.tag);
    }
    Result<bool> add(store::NewCall call) override {
      if (!tags_.insert(call.tag).second) {
        ++n_known_;
        return false;
      }
      calls_.push_back({call.id, call.tag, call.source, call.raw_group, call.meta, call.body});
      ++n_added_;
      return true;
    }
    Status flush() override { return {}; }
    int64_t n_added() const override { return n_added_; }
    int64_t n_known() const override { return n_known_; }

   private:
    std::vector<store::StoredCall>& calls_;
    std::set<store::Tag> tags_;
    int64_t n_added_ = 0, n_known_ = 0;
  };

  static Digest keyed(std::string_view what, std::string_view input) {
    return sha256(as_bytes("fake key " + std::string(what) + "\n" + std::string(input)));
  }

  std::filesystem::path dir_;
  store::Info info_;
  std::map<Space, std::vector<store::StoredCall>> calls_;
  int64_t n_scans_ = 0;
};

}  // namespace slm::test
