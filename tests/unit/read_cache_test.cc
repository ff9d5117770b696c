#include "monitor/read_cache.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace floodwall {

struct ReadCacheForTest {
  /// What a writer leaves that is interrupted in the middle of a write.
  static void BeginWrite(ReadCache* cache) {
    ReadCache::Slot& slot = cache->slots_[(cache->published_ + 1) % 2];
    slot.number = 0;
    slot.rss = -77;
  }
};

namespace {

TEST(ReadCache, StartsEmptyAndForgetsAcrossForks) {
  ReadCache cache;
  EXPECT_FALSE(cache.Load(0));
  ASSERT_TRUE(cache.TryClaim(0));
  cache.Publish({.rss = 5}, 0);
  EXPECT_EQ(cache.Load(0)->rss, 5);
  EXPECT_FALSE(cache.Load(1));
}

TEST(ReadCache, LetsOneThreadWriteAndIgnoresAParentsClaim) {
  ReadCache cache;
  EXPECT_TRUE(cache.TryClaim(3));
  EXPECT_FALSE(cache.TryClaim(3));
  EXPECT_TRUE(cache.TryClaim(4));
  cache.Publish({.rss = 1}, 4);
  EXPECT_TRUE(cache.TryClaim(4));
}

TEST(ReadCache, AWriterThatIsInterruptedKeepsNobodyWaiting) {
  ReadCache cache;
  ASSERT_TRUE(cache.TryClaim(0));
  ReadCacheForTest::BeginWrite(&cache);
  EXPECT_FALSE(cache.Load(0)) << "nothing was published yet";
  for (int64_t i = 1; i <= 4; ++i) {
    cache.Publish({.rss = i}, 0);
    ASSERT_TRUE(cache.TryClaim(0));
    ReadCacheForTest::BeginWrite(&cache);
    EXPECT_EQ(cache.Load(0)->rss, i);
  }
  // A child of that moment has no figures, and is not kept from writing its own.
  EXPECT_FALSE(cache.Load(1));
  ASSERT_TRUE(cache.TryClaim(1));
  cache.Publish({.rss = 9}, 1);
  EXPECT_EQ(cache.Load(1)->rss, 9);
}

TEST(ReadCache, NeverShowsFiguresOfTwoWrites) {
  ReadCache cache;
  ASSERT_TRUE(cache.TryClaim(0));
  cache.Publish({.rss = 0, .available = 0, .judged_rss = 0, .judged_available = 0}, 0);
  std::atomic<bool> stop = false;
  std::vector<std::thread> readers;
  std::atomic<int64_t> torn = 0, loads = 0;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const auto got = *cache.Load(0);
        ++loads;
        if (got.available != got.rss || got.judged_rss != got.rss || got.read_ns != got.rss) ++torn;
      }
    });
  }
  // Readers may start late on a busy machine: both sides must have done their share.
  for (int64_t i = 0; i < 200'000 || loads < 100'000; ++i) {
    if (!cache.TryClaim(0)) continue;
    cache.Publish({.rss = i, .available = i, .judged_rss = i, .judged_available = i, .read_ns = i},
                  0);
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
}

}  // namespace
}  // namespace floodwall
