#include "spill/record_sorter.h"

#include <algorithm>
#include <random>

#include "floodwall/guarded_pool.h"
#include "gtest/gtest.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

std::vector<SpillRecord> Random(size_t count, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::vector<SpillRecord> out(count);
  for (SpillRecord& record : out) {
    record.key = static_cast<int64_t>(random() % (count / 4 + 1)) - 100;
    record.value = static_cast<int64_t>(random() % 1000);
  }
  return out;
}

/// Sorts, reads twice, and compares.
void Check(SpillDirectory* directory, int64_t memory, arrow::MemoryPool* pool,
           std::vector<SpillRecord> records) {
  RecordSorter sorter(directory, memory, pool);
  for (const SpillRecord& record : records) ASSERT_TRUE(sorter.Add(record).ok());
  std::sort(records.begin(), records.end());
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(sorter.Rewind().ok());
    SpillRecord found;
    for (const SpillRecord& expected : records) {
      ASSERT_TRUE(sorter.Next(&found).ValueOrDie());
      ASSERT_EQ(found, expected);
    }
    EXPECT_FALSE(sorter.Next(&found).ValueOrDie());
  }
  EXPECT_EQ(sorter.size(), static_cast<int64_t>(records.size()));
}

TEST(RecordSorter, SortsInMemoryWithoutAFile) {
  testing::TemporaryDirectory root;
  SpillDirectory directory(root.path(), -1);
  Check(&directory, 1 << 20, arrow::default_memory_pool(), {});
  Check(&directory, 1 << 20, arrow::default_memory_pool(), Random(5000, 1));
  EXPECT_EQ(directory.bytes_spilled(), 0);
}

TEST(RecordSorter, SortsManyRunsInSeveralRounds) {
  testing::TemporaryDirectory root;
  SpillDirectory directory(root.path(), -1);
  // 256 KiB hold 16384 records and merge three runs at a time.
  Check(&directory, RecordSorter::kMinimumBytes, arrow::default_memory_pool(), Random(300000, 2));
  EXPECT_GT(directory.bytes_spilled(), 300000 * 16 * 2);
  EXPECT_EQ(directory.bytes_used(), 0);
}

TEST(RecordSorter, StaysWithinItsMemoryAndGoesOnWhenDeniedMore) {
  testing::TemporaryDirectory root;
  SpillDirectory directory(root.path(), -1);
  auto* pool = GuardedPool::Make(Budget::Make("sort", 1 << 20));
  Check(&directory, 512 << 10, pool, Random(200000, 3));
  EXPECT_LE(pool->max_memory(), (512 << 10) + (64 << 10));
  auto* tight = GuardedPool::Make(Budget::Make("sort", 700 << 10));
  Check(&directory, 640 << 10, tight, Random(200000, 4));
  EXPECT_GT(tight->max_memory(), 0);
}

}  // namespace
}  // namespace floodwall
