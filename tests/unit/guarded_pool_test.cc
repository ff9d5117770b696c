#include "floodwall/guarded_pool.h"

#include <cstring>

#include "arrow/buffer.h"
#include "floodwall/error.h"
#include "gtest/gtest.h"

namespace floodwall {
namespace {

constexpr int64_t kAlign = 64;

TEST(GuardedPool, CapsExactly) {
  auto* pool = GuardedPool::Make(Budget::Make("p", 1024));
  uint8_t* a = nullptr;
  ASSERT_TRUE(pool->Allocate(1024, kAlign, &a).ok());
  uint8_t* b = nullptr;
  const arrow::Status denied = pool->Allocate(1, kAlign, &b);
  EXPECT_TRUE(denied.IsOutOfMemory());
  ASSERT_NE(ErrorDetail::From(denied), nullptr);
  EXPECT_EQ(pool->denied_count(), 1);
  pool->Free(a, 1024, kAlign);
  EXPECT_EQ(pool->bytes_allocated(), 0);
  EXPECT_EQ(pool->max_memory(), 1024);
}

TEST(GuardedPool, FailedReallocationKeepsTheOldBlock) {
  auto* pool = GuardedPool::Make(Budget::Make("p", 1024));
  uint8_t* p = nullptr;
  ASSERT_TRUE(pool->Allocate(512, kAlign, &p).ok());
  std::memset(p, 0x5a, 512);
  uint8_t* before = p;
  EXPECT_TRUE(pool->Reallocate(512, 2048, kAlign, &p).IsOutOfMemory());
  EXPECT_EQ(p, before);
  EXPECT_EQ(p[511], 0x5a);
  EXPECT_EQ(pool->bytes_allocated(), 512);
  ASSERT_TRUE(pool->Reallocate(512, 16, kAlign, &p).ok());
  EXPECT_EQ(pool->budget()->used_bytes(), 16);
  pool->Free(p, 16, kAlign);
  EXPECT_EQ(pool->budget()->used_bytes(), 0);
}

TEST(GuardedPool, ZeroBytesGiveAPointerAndCostNothing) {
  auto* pool = GuardedPool::Make(Budget::Make("p", 0));
  uint8_t* p = nullptr;
  ASSERT_TRUE(pool->Allocate(0, kAlign, &p).ok());
  EXPECT_NE(p, nullptr);
  pool->Free(p, 0, kAlign);
  EXPECT_TRUE(pool->Allocate(1, kAlign, &p).IsOutOfMemory());
}

TEST(GuardedPool, RecordingPoolServesAndCounts) {
  auto* pool = GuardedPool::Make(Budget::Make("p", 10), OnExceed::kRecord);
  uint8_t* p = nullptr;
  ASSERT_TRUE(pool->Allocate(100, kAlign, &p).ok());
  EXPECT_EQ(pool->denied_count(), 1);
  EXPECT_EQ(pool->budget()->peak_bytes(), 100);
  pool->Free(p, 100, kAlign);
}

TEST(GuardedPool, HonoursAlignment) {
  auto* pool = GuardedPool::Make(Budget::Make("p", 1 << 20));
  uint8_t* p = nullptr;
  ASSERT_TRUE(pool->Allocate(100, 4096, &p).ok());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 4096, 0U);
  pool->Free(p, 100, 4096);
}

TEST(GuardedPool, OutlivesEveryHandleToIt) {
  std::shared_ptr<arrow::Buffer> buffer;
  {
    auto* pool = GuardedPool::Make(Budget::Make("gone", 1 << 20));
    buffer = arrow::AllocateBuffer(1000, pool).ValueOrDie();
  }
  buffer.reset();  // would be a use after free if the pool had died with its scope
}

}  // namespace
}  // namespace floodwall
