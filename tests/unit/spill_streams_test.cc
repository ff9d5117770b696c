#include "spill/spill_streams.h"

#include <map>
#include <random>

#include "floodwall/guarded_pool.h"
#include "gtest/gtest.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

TEST(SpillStreams, GivesEachStreamBackInOrder) {
  testing::TemporaryDirectory root;
  SpillDirectory directory(root.path(), -1);
  auto streams = SpillStreams::Make(&directory, 5, 64, arrow::default_memory_pool()).ValueOrDie();
  std::mt19937 random(7);
  std::map<int, std::string> expected;
  for (int i = 0; i < 2000; ++i) {
    const int stream = static_cast<int>(random() % 4);  // the last stays empty
    const std::string piece(random() % 200, static_cast<char>('a' + i % 26));
    expected[stream] += piece;
    ASSERT_TRUE(streams->Append(stream, piece.data(), static_cast<int64_t>(piece.size())).ok());
  }
  ASSERT_TRUE(streams->Finish().ok());
  for (int s = 0; s < 5; ++s) {
    ASSERT_EQ(streams->bytes(s), static_cast<int64_t>(expected[s].size()));
    auto reader = SpillStreams::Reader::Make(streams.get(), s).ValueOrDie();
    std::string found;
    while (reader.left() > 0) {
      std::string piece(static_cast<size_t>(
                            std::min<int64_t>(reader.left(), 1 + static_cast<int>(random() % 150))),
                        ' ');
      ASSERT_TRUE(reader.Read(piece.data(), static_cast<int64_t>(piece.size())).ok());
      found += piece;
    }
    EXPECT_EQ(found, expected[s]) << s;
    char more = 0;
    EXPECT_FALSE(reader.Read(&more, 1).ok());
  }
}

TEST(SpillStreams, HoldsABlockForEachStreamInUseUntilFinish) {
  testing::TemporaryDirectory root;
  SpillDirectory directory(root.path(), -1);
  auto* pool = GuardedPool::Make(Budget::Make("spill", 1 << 20));
  auto streams = SpillStreams::Make(&directory, 100, 4096, pool).ValueOrDie();
  ASSERT_TRUE(streams->Append(3, "abc", 3).ok());
  ASSERT_TRUE(streams->Append(4, "abc", 3).ok());
  EXPECT_EQ(pool->bytes_allocated(), 2 * 4096);
  ASSERT_TRUE(streams->Finish().ok());
  EXPECT_LT(pool->bytes_allocated(), 100);
}

TEST(SpillStreams, SaysWhenMemoryIsDenied) {
  testing::TemporaryDirectory root;
  SpillDirectory directory(root.path(), -1);
  auto* pool = GuardedPool::Make(Budget::Make("spill", 8192));
  auto streams = SpillStreams::Make(&directory, 3, 4096, pool).ValueOrDie();
  ASSERT_TRUE(streams->Append(0, "abc", 3).ok());
  ASSERT_TRUE(streams->Append(1, "abc", 3).ok());
  EXPECT_TRUE(streams->Append(2, "abc", 3).IsOutOfMemory());
}

}  // namespace
}  // namespace floodwall
