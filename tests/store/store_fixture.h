// A store in a temporary folder, its keys beside it, and shorthand to fill and read it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "store/store.h"

namespace slm::store::testing {

namespace fs = std::filesystem;

// What a Result holds, or a failed test and an empty value.
#define ASSERT_OK(expr)                                                                           \
  do {                                                                                            \
    auto&& slm_test_result = (expr);                                                              \
    ASSERT_TRUE(slm_test_result.has_value()) << #expr << ": " << slm_test_result.error().message; \
  } while (false)
#define EXPECT_CODE(expr, want)                                                                          \
  do {                                                                                                   \
    auto&& slm_test_result = (expr);                                                                     \
    EXPECT_FALSE(slm_test_result.has_value()) << #expr << " succeeded";                                  \
    if (!slm_test_result) {                                                                              \
      EXPECT_EQ(slm_test_result.error().code, want) << #expr << ": " << slm_test_result.error().message; \
    }                                                                                                    \
  } while (false)

struct TestCall {
  std::string source, meta, body;
  std::string raw_group = {};
  bool operator==(const TestCall&) const = default;
};

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    base_ = fs::temp_directory_path() / ("slm_store_test_" + std::to_string(getpid()) + "_" +
                                         ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(base_);
    fs::create_directories(base_);
    dir_ = base_ / "store";
    keys_ = base_ / "keys";
  }
  void TearDown() override { fs::remove_all(base_); }

  void init(std::optional<uint64_t> demo_seed = {}) {
    InitOptions options;
    options.keys_dir = keys_;
    options.demo_seed = demo_seed;
    options.random = random_.get();
    options.clock = clock_.get();
    ASSERT_OK(init_store(dir_, options));
  }

  Result<std::unique_ptr<Store>> open(Role role) { return open_as(role, keys_); }
  Result<std::unique_ptr<Store>> open_as(Role role, const fs::path& identity) {
    OpenOptions options;
    options.identity = identity;
    options.role = role;
    options.random = random_.get();
    options.clock = clock_.get();
    return Store::open(dir_, options);
  }

  // Appends calls; tags follow from the bodies. The number added.
  static Result<int64_t> append(Store& store, Store::Space space, const std::vector<TestCall>& calls,
                                const AppendOptions& options = {}) {
    SLM_TRY(const auto appender, store.append(space, options));
    for (const TestCall& call : calls) {
      NewCall next;
      SLM_TRY(next.tag, store.content_tag(call.body, std::nullopt, 0));
      SLM_TRY(next.id, store.new_call_id(next.tag));
      next.source = call.source;
      next.meta = call.meta;
      next.body = call.body;
      next.raw_group = call.raw_group;
      SLM_CHECK(appender->add(std::move(next)));
    }
    SLM_CHECK(appender->flush());
    return appender->n_added();
  }

  static Result<std::vector<StoredCall>> read(Store& store, Store::Space space, ScanOptions options) {
    std::vector<StoredCall> out;
    SLM_CHECK(store.scan(space, options, [&](StoredCall& call) -> Result<bool> {
      out.push_back(std::move(call));
      return true;
    }));
    return out;
  }
  static ScanOptions with_body() {
    ScanOptions options;
    options.body = true;
    options.purpose = "test";
    return options;
  }

  fs::path base_, dir_, keys_;
  std::unique_ptr<Random> random_ = os_random();
  std::unique_ptr<Clock> clock_ = system_clock();
};

}  // namespace slm::store::testing
