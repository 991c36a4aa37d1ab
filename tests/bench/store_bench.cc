// Sealing and reading back: calls of 2 KB from 16 sources, as an importer hands them over.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "core/hash.h"
#include "store/store.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path = fs::temp_directory_path() / fmt::format("slm_store_bench_{}", getpid());
  Folder() { fs::remove_all(path); }
  ~Folder() { fs::remove_all(path); }
};

std::string text_of(int64_t i, size_t n_bytes) {
  std::string out;
  while (out.size() < n_bytes)
    out += fmt::format("call {} asks for article {} in colour {}; ", i, i * 7919 % 1009, i * 31 % 17);
  out.resize(n_bytes);
  return out;
}

class Bench {
 public:
  Bench() {
    InitOptions options;
    options.keys_dir = folder_.path / "keys";
    options.random = random_.get();
    options.clock = clock_.get();
    fs::create_directories(folder_.path);
    init_store(folder_.path / "store", options).value();
  }
  std::unique_ptr<Store> open(Role role) {
    OpenOptions options;
    options.identity = folder_.path / "keys";
    options.role = role;
    options.write = role == Role::kCollector;
    options.random = random_.get();
    options.clock = clock_.get();
    return std::move(Store::open(folder_.path / "store", options).value());
  }
  void append(Store& store, int64_t n) {
    auto appender = store.append(Store::Space::kRaw).value();
    for (int64_t i = 0; i < n; ++i, ++next_) {
      NewCall call;
      call.meta = fmt::format("{{\"session\":\"s{}\"}}", next_ / 4);
      call.body = text_of(next_, 2000);
      call.source = fmt::format("source-{}", next_ % 16);
      call.tag = store.content_tag(call.body, std::nullopt, 0).value();
      call.id = store.new_call_id(call.tag).value();
      if (!appender->add(std::move(call)).value()) std::abort();
    }
    if (!appender->flush()) std::abort();
  }

 private:
  Folder folder_;
  std::unique_ptr<Random> random_ = os_random();
  std::unique_ptr<Clock> clock_ = system_clock();
  int64_t next_ = 0;
};

void Append(benchmark::State& state) {
  Bench bench;
  const auto store = bench.open(Role::kCollector);
  for (auto _ : state) bench.append(*store, state.range(0));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Append)->Arg(10000)->Unit(benchmark::kMillisecond)->UseRealTime();

void Scan(benchmark::State& state) {
  constexpr int64_t kCalls = 20000;
  Bench bench;
  bench.append(*bench.open(Role::kCollector), kCalls);
  const auto store = bench.open(Role::kCurator);
  const bool body = state.range(0) != 0;
  for (auto _ : state) {
    int64_t n = 0, bytes = 0;
    const auto visit = [&](StoredCall& call) -> Result<bool> {
      ++n;
      bytes += static_cast<int64_t>(call.body.size());
      return true;
    };
    const auto done = store->scan(Store::Space::kRaw, {.body = body, .purpose = "bench"}, visit);
    if (!done || n != kCalls || bytes != (body ? kCalls * 2000 : 0)) state.SkipWithError("not what was stored");
  }
  state.SetItemsProcessed(state.iterations() * kCalls);
}
BENCHMARK(Scan)->Arg(0)->Arg(1)->ArgName("body")->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace slm::store
