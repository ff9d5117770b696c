#include "floodwall/trim.h"

#include <cstring>
#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace floodwall {
namespace {

TEST(Trim, ReturnsWhatTheHeapKeeps) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's heap stands in for glibc's";
#endif
  constexpr size_t kBlock = 64 << 10;  // below glibc's mmap threshold: kept in the heap when freed
  std::vector<std::unique_ptr<char[]>> blocks;
  for (int i = 0; i < 512; ++i) {
    blocks.push_back(std::make_unique<char[]>(kBlock));
    std::memset(blocks.back().get(), 1, kBlock);
  }
  // The newest block stays, so that the heap cannot simply shrink from its end.
  auto last = std::move(blocks.back());
  blocks.clear();
  const TrimResult result = Trim(/*force=*/true);
  EXPECT_FALSE(result.skipped);
  EXPECT_GT(result.returned_bytes(), 16 << 20);
  EXPECT_EQ(last[0], 1);
}

TEST(Trim, StopsTryingWhenNothingComesBack) {
  Trim(true);
  Trim(true);
  const TrimResult result = Trim();  // at once after a call that had nothing left to give
  EXPECT_TRUE(result.skipped);
  EXPECT_EQ(result.returned_bytes(), 0);
}

}  // namespace
}  // namespace floodwall
