#include "merge/run_context.h"

#include <memory>

#include "gtest/gtest.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

TEST(RunContext, TakesThePoolsOfAFinishedMerge) {
  MergeOptions options;
  options.max_memory_bytes = 1000;
  auto first = std::make_unique<RunContext>(options);
  GuardedPool* const index = first->index_pool;
  GuardedPool* const encode = first->encode_pool;
  ASSERT_TRUE(first->budget->TryReserve(900));
  first->budget->Release(900);
  first.reset();

  options.max_memory_bytes = 2000;
  RunContext second(options);
  EXPECT_EQ(second.index_pool, index);
  EXPECT_EQ(second.encode_pool, encode);
  EXPECT_EQ(second.budget->limit_bytes(), 2000);
  EXPECT_EQ(second.budget->peak_bytes(), 0);
  // Two at once never share.
  RunContext third(options);
  EXPECT_NE(third.index_pool, index);
  EXPECT_NE(third.budget, second.budget);
}

TEST(RunContext, LeavesPoolsThatStillHoldBytesAlone) {
  MergeOptions options;
  options.max_memory_bytes = 100000;
  auto first = std::make_unique<RunContext>(options);
  GuardedPool* const pool = first->payload_pool;
  uint8_t* block = nullptr;
  ASSERT_TRUE(pool->Allocate(64, &block).ok());
  first.reset();
  RunContext second(options);
  EXPECT_NE(second.payload_pool, pool);
  pool->Free(block, 64);
}

TEST(RunContext, AnOldControlDoesNotShowTheNextMerge) {
  MergeOptions options;
  options.control = std::make_shared<MergeControl>();
  const auto control = options.control;
  auto first = std::make_unique<RunContext>(options);
  ASSERT_TRUE(first->budget->TryReserve(10));
  EXPECT_EQ(control->progress().used_bytes, 10);
  first->budget->Release(10);
  first.reset();
  options.control = nullptr;
  RunContext second(options);
  ASSERT_TRUE(second.budget->TryReserve(20));
  EXPECT_EQ(control->progress().used_bytes, 0);
  second.budget->Release(20);
}

TEST(UsableCpus, AreNoMoreThanTheContainersQuota) {
  testing::TemporaryDirectory root;
  const int without = UsableCpus(root.path());
  EXPECT_GE(without, 1);
  root.Write("proc/self/cgroup", "0::/\n");
  root.Write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  root.Write("sys/fs/cgroup/cpu.max", "20000 100000\n");
  EXPECT_EQ(UsableCpus(root.path()), 1);
  root.Write("sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(UsableCpus(root.path()), without < 2 ? without : 2);
  root.Write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(UsableCpus(root.path()), without);
}

}  // namespace
}  // namespace floodwall
