#include "collect/write_queue.h"

#include <gtest/gtest.h>

#include "memory_store.h"

namespace slm::collect {
namespace {

ReadCall made(int i, size_t n_bytes = 10) {
  ReadCall read;
  read.meta.session = fmt::format("s{}", i);
  read.body = fmt::format("{} {}", i, std::string(n_bytes, 'x'));
  read.name = read.body;
  return read;
}

TEST(WriteQueue, KeepsTheOrderOverManyBlocks) {
  for (const size_t n_bytes : {10, 300'000}) {  // blocks by number and by bytes
    const int n = n_bytes == 10 ? 5000 : 60;
    MemoryStore store;
    auto queue = WriteQueue::open(store, {}).value();
    for (int i = 0; i < n; ++i) ASSERT_TRUE(queue->add(made(i, n_bytes)));
    ASSERT_TRUE(queue->finish());
    EXPECT_EQ(queue->n_added(), n);
    ASSERT_EQ(store.calls.size(), static_cast<size_t>(n));
    for (int i = 0; i < n; ++i) EXPECT_EQ(store.calls[static_cast<size_t>(i)].body.find(fmt::format("{} ", i)), 0u);
  }
}

TEST(WriteQueue, EqualCallsOfOneInputStayApartAndOfTheNextAreKnown) {
  MemoryStore store;
  auto queue = WriteQueue::open(store, {}).value();
  for (int input = 0; input < 2; ++input) {
    queue->begin_input();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(queue->add(made(7)));
  }
  ASSERT_TRUE(queue->finish());
  EXPECT_EQ(queue->n_added(), 3);
  EXPECT_EQ(queue->n_known(), 3);
}

TEST(WriteQueue, AnErrorOfTheStoreComesBackAndEndsIt) {
  MemoryStore store;
  auto queue = WriteQueue::open(store, {.batch_calls = 10}).value();
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(queue->add(made(i)));
  store.fail_adds = true;
  Status status;
  int n = 0;
  for (; status && n < 1'000'000; ++n) status = queue->add(made(2000 + n));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_LT(n, 100'000);  // soon: what waits is bounded
  EXPECT_FALSE(queue->add(made(-1)) && queue->finish());
  EXPECT_LT(queue->n_added(), 2000 + n);
}

TEST(WriteQueue, WhatIsLeftWithoutAnEndIsDropped) {
  MemoryStore store;
  {
    auto queue = WriteQueue::open(store, {}).value();
    for (int i = 0; i < 2000; ++i) ASSERT_TRUE(queue->add(made(i)));
  }
  EXPECT_TRUE(store.calls.empty());  // never committed
}

}  // namespace
}  // namespace slm::collect
