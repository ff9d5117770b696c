#include <chrono>
#include <cstdlib>
#include <latch>
#include <random>
#include <thread>
#include <vector>

#include "floodwall/bytes.h"
#include "floodwall/guarded_pool.h"
#include "gtest/gtest.h"

namespace floodwall {
namespace {

std::chrono::seconds StressTime() {
  const char* text = std::getenv("FLOODWALL_STRESS_SECONDS");
  return std::chrono::seconds(text != nullptr ? std::atoi(text) : 2);
}

struct Block {
  uint8_t* data;
  int64_t size;
};

TEST(GuardedPoolStress, EightThreadsNeverPassTheCapAndReturnToZero) {
  constexpr int kThreads = 8;
  constexpr int64_t kCap = 8 * kMiB;
  auto budget = Budget::Make("stress", kCap);
  // glibc below, which the sanitizers understand: mimalloc inside the wheel hands memory from one
  // thread to another in code that ThreadSanitizer cannot see.
  auto* pool = GuardedPool::Make(budget, OnExceed::kDeny, arrow::system_memory_pool());
  std::atomic<int64_t> granted{0};
  std::atomic<bool> overshoot{false};
  std::latch start(kThreads);
  const auto deadline = std::chrono::steady_clock::now() + StressTime();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 random(static_cast<uint64_t>(t));
        std::vector<Block> blocks;
        start.arrive_and_wait();
        for (int round = 0; round % 256 != 0 || std::chrono::steady_clock::now() < deadline;
             ++round) {
          const auto size = static_cast<int64_t>(random() % (512 * kKiB));
          const uint64_t action = random() % 3;
          if (action == 0 || blocks.empty()) {
            uint8_t* data = nullptr;
            if (pool->Allocate(size, 64, &data).ok()) {
              if (size > 0) data[0] = data[size - 1] = static_cast<uint8_t>(t);
              blocks.push_back({data, size});
              ++granted;
            }
          } else {
            Block& block = blocks[random() % blocks.size()];
            if (action == 1) {
              if (pool->Reallocate(block.size, size, 64, &block.data).ok()) block.size = size;
            } else {
              pool->Free(block.data, block.size, 64);
              block = blocks.back();
              blocks.pop_back();
            }
          }
          if (budget->used_bytes() > kCap) overshoot = true;
        }
        for (const Block& block : blocks) pool->Free(block.data, block.size, 64);
      });
    }
  }
  EXPECT_FALSE(overshoot);
  EXPECT_LE(budget->peak_bytes(), kCap);
  EXPECT_GT(budget->peak_bytes(), kCap / 2);  // the cap was really under pressure
  EXPECT_GT(pool->denied_count(), 0);
  EXPECT_GT(granted, 1000);
  EXPECT_EQ(budget->used_bytes(), 0);
  EXPECT_EQ(pool->bytes_allocated(), 0);
}

}  // namespace
}  // namespace floodwall
