#include "pool/mapped_pool.h"

#include <cstring>
#include <random>
#include <vector>

#include "floodwall/guarded_pool.h"
#include "gtest/gtest.h"

namespace floodwall {
namespace {

constexpr int64_t kAlign = 64;
constexpr int64_t kMiB = 1 << 20;

TEST(MappedPool, RoundsByASixteenthAtMost) {
  for (const int64_t size : {MappedPool::kSmallest, MappedPool::kSmallest + 1, 3 * kMiB + 7,
                             300 * kMiB - 1, int64_t{5} << 32}) {
    const int64_t rounded = MappedPool::Rounded(size);
    EXPECT_GE(rounded, size);
    EXPECT_LE(rounded, size + size / 16 + 4096);
    EXPECT_EQ(rounded % 4096, 0);
    EXPECT_EQ(MappedPool::Rounded(rounded), rounded);
  }
}

TEST(MappedPool, ContentsSurviveEveryReallocation) {
  auto* pool = MappedPool::Make(Budget::Make("p", 64 * kMiB));
  std::mt19937 random(1);
  const std::vector<int64_t> sizes{
      0,         1,    1000,     (64 << 10) - 1, 64 << 10, (64 << 10) + 1,
      100 << 10, kMiB, kMiB + 1, 3 * kMiB,       5 * kMiB};
  uint8_t* block = nullptr;
  int64_t size = 0;
  ASSERT_TRUE(pool->Allocate(size, kAlign, &block).ok());
  int64_t written = 0;
  for (int round = 0; round < 400; ++round) {
    const int64_t next = sizes[random() % sizes.size()];
    ASSERT_TRUE(pool->Reallocate(size, next, kAlign, &block).ok());
    written = std::min(written, next);
    for (int64_t i = 0; i < written; i += 997) {
      ASSERT_EQ(block[i], static_cast<uint8_t>(i * 31)) << "byte " << i << " of " << next;
    }
    for (int64_t i = 0; i < next; ++i) block[i] = static_cast<uint8_t>(i * 31);
    size = written = next;
  }
  pool->Free(block, size, kAlign);
  pool->ReleaseUnused();
  EXPECT_EQ(pool->kept_bytes(), 0);
}

TEST(MappedPool, KeepsAQuarterOfWhatTheBudgetHasLeft) {
  auto budget = Budget::Make("p", 64 * kMiB);
  auto* blocks = MappedPool::Make(budget);
  auto* pool = GuardedPool::Make(budget, OnExceed::kDeny, blocks);
  std::vector<uint8_t*> held(50);
  for (auto& block : held) ASSERT_TRUE(pool->Allocate(kMiB, kAlign, &block).ok());
  EXPECT_EQ(blocks->kept_bytes(), 0);
  for (auto* block : held) {
    std::memset(block, 1, kMiB);
    pool->Free(block, kMiB, kAlign);
    EXPECT_LE(blocks->kept_bytes(),
              std::max(MappedPool::kSlack, budget->available_bytes() / 4 + kMiB));
  }
  EXPECT_GE(blocks->kept_bytes(), 8 * kMiB);
  // A request that needs the room gets it.
  uint8_t* large = nullptr;
  ASSERT_TRUE(pool->Allocate(60 * kMiB, kAlign, &large).ok());
  EXPECT_LE(blocks->kept_bytes(), MappedPool::kSlack);
  pool->Free(large, 60 * kMiB, kAlign);
  blocks->ReleaseUnused();
  EXPECT_EQ(blocks->kept_bytes(), 0);
}

}  // namespace
}  // namespace floodwall
