#include "floodwall/limit_scope.h"

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "arrow/buffer.h"
#include "arrow/result.h"
#include "floodwall/error.h"
#include "gtest/gtest.h"

namespace floodwall {
namespace {

constexpr int64_t kAlignment = 64;

uint8_t* Allocate(int64_t size) {
  uint8_t* out = nullptr;
  EXPECT_TRUE(RoutingPool::Instance()->Allocate(size, kAlignment, &out).ok());
  return out;
}

TEST(LimitScope, BlocksRememberTheirScope) {
  auto* pool = RoutingPool::Instance();
  auto outer = LimitScope::Enter("outer", 1 << 20, OnExceed::kDeny);
  uint8_t* first = Allocate(1000);
  auto inner = LimitScope::Enter("inner", 1 << 20, OnExceed::kDeny);
  uint8_t* second = Allocate(5000);
  EXPECT_EQ(inner->budget()->used_bytes(), 5064);
  EXPECT_EQ(outer->budget()->used_bytes(), 6128);
  // Grown and freed where they belong, whatever scope the thread is in.
  ASSERT_TRUE(pool->Reallocate(1000, 3000, kAlignment, &first).ok());
  EXPECT_EQ(inner->budget()->used_bytes(), 5064);
  inner->Leave();
  inner->Leave();
  ASSERT_TRUE(pool->Reallocate(5000, 100, kAlignment, &second).ok());
  EXPECT_EQ(inner->budget()->used_bytes(), 164);
  std::thread([&] { pool->Free(second, 100, kAlignment); }).join();
  pool->Free(first, 3000, kAlignment);
  EXPECT_EQ(outer->budget()->used_bytes(), 0);
}

#ifdef __linux__
TEST(LimitScope, HoldsCodeThatAsksForArrowsDefaultPool) {
  auto scope = LimitScope::Enter("defaults", 1 << 20, OnExceed::kDeny);
  const auto allocate = [](int64_t bytes) { return arrow::AllocateBuffer(bytes); };
  ASSERT_TRUE(allocate(4 << 20).ok());  // libarrow looks for its pool itself: nothing is held yet
  ASSERT_TRUE(RoutingPool::RouteDefaults(true).ok());
  auto buffer = allocate(1024);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(scope->budget()->used_bytes(), 1088);
  EXPECT_TRUE(allocate(4 << 20).status().IsOutOfMemory());
  EXPECT_EQ(scope->denied_count(), 1);
  ASSERT_TRUE(RoutingPool::RouteDefaults(false).ok());
  ASSERT_TRUE(allocate(4 << 20).ok());
  EXPECT_EQ(scope->budget()->used_bytes(), 1088);
  buffer->reset();
  EXPECT_EQ(scope->budget()->used_bytes(), 0);
}
#endif

TEST(LimitScope, KeepsContentsAndAlignmentThroughReallocation) {
  auto* pool = RoutingPool::Instance();
  auto scope = LimitScope::Enter("s", 64 << 20, OnExceed::kDeny);
  for (const int64_t alignment : {16, 64, 512}) {
    uint8_t* block = nullptr;
    ASSERT_TRUE(pool->Allocate(0, alignment, &block).ok());
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(pool->Reallocate(0, 100, alignment, &block).ok());
    std::memset(block, 7, 100);
    ASSERT_TRUE(pool->Reallocate(100, 3 << 20, alignment, &block).ok());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % static_cast<uintptr_t>(alignment), 0U);
    EXPECT_EQ(block[0], 7);
    EXPECT_EQ(block[99], 7);
    ASSERT_TRUE(pool->Reallocate(3 << 20, 0, alignment, &block).ok());
    pool->Free(block, 0, alignment);
    EXPECT_EQ(scope->budget()->used_bytes(), 0);
  }
  EXPECT_TRUE(pool->Allocate(-1, 64, nullptr).IsInvalid());
}

TEST(LimitScope, DeniesAndKeepsTheFacts) {
  auto scope = LimitScope::Enter("s", 1000, OnExceed::kDeny);
  uint8_t* out = nullptr;
  EXPECT_TRUE(scope->last_refusal().ok());
  EXPECT_TRUE(RoutingPool::Instance()->Allocate(2000, kAlignment, &out).IsOutOfMemory());
  EXPECT_EQ(scope->denied_count(), 1);
  const ErrorDetail* detail = ErrorDetail::From(scope->last_refusal());
  ASSERT_NE(detail, nullptr);
  EXPECT_EQ(detail->limit_bytes, 1000);
  auto record = LimitScope::Enter("r", 1000, OnExceed::kRecord);
  scope->Leave();
  record->Leave();
}

TEST(LimitScope, OtherThreadsCountWhileOnlyOneHasAScope) {
  auto* pool = RoutingPool::Instance();
  auto scope = LimitScope::Enter("s", 1 << 20, OnExceed::kDeny);
  uint8_t* block = nullptr;
  std::thread([&] { block = Allocate(100); }).join();
  EXPECT_EQ(scope->budget()->used_bytes(), 164);
  pool->Free(block, 100, kAlignment);
  std::atomic<int> step{0};
  std::thread other([&] {
    auto own = LimitScope::Enter("own", 1 << 20, OnExceed::kDeny);
    step = 1;
    while (step != 2) std::this_thread::yield();
  });
  while (step != 1) std::this_thread::yield();
  std::thread([&] { block = Allocate(100); }).join();  // for whom does this one work?
  EXPECT_EQ(scope->budget()->used_bytes(), 0);
  step = 2;
  other.join();
  pool->Free(block, 100, kAlignment);
}

TEST(LimitScope, SurvivesScopesThatComeAndGoUnderLoad) {
  auto* pool = RoutingPool::Instance();
  // Not mimalloc, in whose uninstrumented code ThreadSanitizer sees races.
  pool->set_upstream(arrow::system_memory_pool());
  constexpr int kThreads = 8;
  struct Passed {
    std::atomic<uint8_t*> block{nullptr};
    int64_t size = 777;
  };
  std::vector<Passed> passed(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < 3000; ++i) {
        // Even threads make scopes; odd ones work for whoever is the only one.
        std::shared_ptr<LimitScope> scope;
        if (t % 2 == 0) scope = LimitScope::Enter("s", 1 << 20, OnExceed::kDeny);
        uint8_t* block = nullptr;
        const int64_t size = 1 + static_cast<int64_t>(random() % 4000);
        if (pool->Allocate(size, kAlignment, &block).ok()) {
          block[0] = 1;
          pool->Free(block, size, kAlignment);
        }
        // One block at a time goes to another thread, which frees it after the scope has ended.
        uint8_t* gift = nullptr;
        if (pool->Allocate(777, kAlignment, &gift).ok()) {
          gift = passed[static_cast<size_t>((t + 1) % kThreads)].block.exchange(gift);
          if (gift != nullptr) pool->Free(gift, 777, kAlignment);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (auto& slot : passed) {
    if (uint8_t* block = slot.block.load()) pool->Free(block, slot.size, kAlignment);
  }
  auto scope = LimitScope::Enter("after", 1 << 20, OnExceed::kDeny);
  uint8_t* block = Allocate(100);
  EXPECT_EQ(scope->budget()->used_bytes(), 164);
  pool->Free(block, 100, kAlignment);
}

}  // namespace
}  // namespace floodwall
