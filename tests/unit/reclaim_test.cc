#include "floodwall/reclaim.h"

#include <atomic>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "floodwall/budget.h"
#include "floodwall/guarded_pool.h"
#include "gtest/gtest.h"
#include "support/hang_guard.h"

namespace floodwall {
namespace {

TEST(Reclaim, AsksBeforeItDenies) {
  auto budget = Budget::Make("b", 1000);
  auto cache = Reservation::Make(budget, 900).ValueOrDie();
  std::vector<int64_t> asked;
  ReclaimerRegistration registration(
      [&](int64_t bytes) {
        asked.push_back(bytes);
        EXPECT_TRUE(cache.Resize(0).ok());
        return 900;
      },
      0);
  EXPECT_TRUE(budget->Reserve(50).ok());
  EXPECT_TRUE(asked.empty());
  EXPECT_TRUE(budget->Reserve(500).ok());
  EXPECT_EQ(asked, std::vector<int64_t>{500});
  EXPECT_FALSE(budget->Reserve(1000).ok());  // asked again, in vain
  EXPECT_EQ(asked.size(), 2U);
  budget->Release(550);
}

TEST(Reclaim, ServesAPoolInsteadOfDenying) {
  auto budget = Budget::Make("b", 10000);
  auto cache = Reservation::Make(budget, 9000).ValueOrDie();
  auto* pool = GuardedPool::Make(budget);
  ReclaimerRegistration registration(
      [&](int64_t) {
        EXPECT_TRUE(cache.Resize(0).ok());
        return 0;
      },
      0);
  uint8_t* block = nullptr;
  ASSERT_TRUE(pool->Allocate(5000, 64, &block).ok());
  EXPECT_EQ(pool->denied_count(), 0);
  pool->Free(block, 5000, 64);
}

TEST(Reclaim, GoesByPriorityAndTrustsNobody) {
  auto budget = Budget::Make("b", 100);
  auto cache = Reservation::Make(budget, 100).ValueOrDie();
  std::string order;
  ReclaimerRegistration last([&](int64_t) { return order += 'c', 0; }, -1);
  ReclaimerRegistration liar([&](int64_t) { return order += 'a', 1 << 30; }, 10);
  ReclaimerRegistration thrower(
      [&](int64_t) -> int64_t {
        order += 'b';
        throw std::runtime_error("cannot shrink");
      },
      5);
  {
    ReclaimerRegistration gone([&](int64_t) { return order += 'x', 0; }, 20);
  }
  EXPECT_FALSE(budget->Reserve(1).ok());
  EXPECT_EQ(order, "abc");
}

TEST(Reclaim, IsNotEnteredFromItself) {
  auto budget = Budget::Make("b", 100);
  int depth = 0;
  int deepest = 0;
  ReclaimerRegistration registration(
      [&](int64_t) {
        deepest = std::max(deepest, ++depth);
        EXPECT_FALSE(budget->Reserve(1000).ok());  // its own allocation is denied at once
        --depth;
        return 0;
      },
      0);
  EXPECT_FALSE(budget->Reserve(200).ok());
  EXPECT_EQ(deepest, 1);
}

TEST(Reclaim, SixtyFourThreadsShareOneCache) {
  testing::HangGuard guard(std::chrono::seconds(120));
  constexpr int64_t kLimit = 1 << 20;
  auto budget = Budget::Make("b", kLimit);
  std::mutex cache_mutex;
  std::vector<Reservation> cache;
  std::atomic<int> inside{0};
  std::atomic<int> most_inside{0};
  ReclaimerRegistration registration(
      [&](int64_t wanted) {
        const int now = ++inside;
        if (now > most_inside) most_inside = now;
        int64_t freed = 0;
        std::lock_guard lock(cache_mutex);
        while (freed < wanted && !cache.empty()) {
          freed += cache.back().bytes();
          cache.pop_back();
        }
        --inside;
        return freed;
      },
      0);
  std::atomic<int64_t> granted{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 64; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 200; ++i) {
        auto got = Reservation::Make(budget, 1 + static_cast<int64_t>(random() % (kLimit / 80)));
        if (!got.ok()) continue;
        ++granted;
        if (random() % 2 == 0) {
          std::lock_guard lock(cache_mutex);
          cache.push_back(std::move(*got));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LE(budget->peak_bytes(), kLimit);
  EXPECT_EQ(most_inside.load(), 1);
  EXPECT_GT(granted.load(), 6000);
  cache.clear();
  EXPECT_EQ(budget->used_bytes(), 0);
}

}  // namespace
}  // namespace floodwall
