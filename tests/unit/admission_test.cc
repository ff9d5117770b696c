#include "floodwall/admission.h"

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "support/hang_guard.h"

namespace floodwall {
namespace {

using std::chrono::milliseconds;

TEST(Admission, PromisesWhatIsFree) {
  auto budget = Budget::Make("shared", 1000);
  auto first = Admission::Wait(budget, "first", 600, milliseconds(0)).ValueOrDie();
  EXPECT_EQ(first->budget()->limit_bytes(), 600);
  const arrow::Status late = Admission::Wait(budget, "second", 500, milliseconds(30)).status();
  EXPECT_TRUE(late.IsOutOfMemory());
  const ErrorDetail* detail = ErrorDetail::From(late);
  ASSERT_NE(detail, nullptr);
  ASSERT_EQ(detail->holders.size(), 1U);
  EXPECT_EQ(detail->holders[0], std::pair(std::string("first"), int64_t{600}));
  EXPECT_EQ(detail->requested_bytes, 500);
  first.reset();
  EXPECT_TRUE(Admission::Wait(budget, "second", 500, milliseconds(0)).ok());
}

TEST(Admission, RefusesAtOnceWhatCanNeverFit) {
  auto root = Budget::Make("root", 100);
  auto budget = Budget::Make("shared", 1000, root);
  const arrow::Status status = Admission::Wait(budget, "x", 101, std::chrono::hours(1)).status();
  ASSERT_NE(ErrorDetail::From(status), nullptr);
  EXPECT_EQ(ErrorDetail::From(status)->kind, ErrorKind::kMemoryLimitTooSmall);
}

TEST(Admission, CountsWhatNobodyWasPromised) {
  auto budget = Budget::Make("shared", 1000);
  auto stray = Reservation::Make(budget, 300).ValueOrDie();
  EXPECT_FALSE(Admission::Wait(budget, "x", 800, milliseconds(0)).ok());
  auto admitted = Admission::Wait(budget, "x", 700, milliseconds(0)).ValueOrDie();
  // Its own use is part of what it was promised.
  ASSERT_TRUE(admitted->budget()->Reserve(650).ok());
  ASSERT_TRUE(stray.Resize(0).ok());
  EXPECT_TRUE(Admission::Wait(budget, "y", 300, milliseconds(0)).ok());
  EXPECT_FALSE(Admission::Wait(budget, "y", 301, milliseconds(0)).ok());
  admitted->budget()->Release(650);
}

TEST(Admission, StopsWaitingWhenAsked) {
  auto budget = Budget::Make("shared", 10);
  auto first = Admission::Wait(budget, "first", 10, milliseconds(0)).ValueOrDie();
  int asked = 0;
  auto status =
      Admission::Wait(budget, "x", 1, std::chrono::hours(1), [&] { return ++asked == 3; }).status();
  EXPECT_TRUE(status.IsCancelled());
  first.reset();
  EXPECT_TRUE(Admission::Wait(budget, "y", 10, milliseconds(0)).ok());  // nobody waits before it
}

TEST(Admission, SmallNeedsDoNotOvertakeALargeOne) {
  testing::HangGuard guard(std::chrono::seconds(60));
  auto budget = Budget::Make("shared", 100);
  auto first = Admission::Wait(budget, "first", 60, milliseconds(0)).ValueOrDie();
  std::atomic<bool> waits{false};
  std::thread large([&] {
    auto admitted = Admission::Wait(budget, "large", 90, std::chrono::minutes(1), [&] {
      waits = true;
      return false;
    });
    EXPECT_TRUE(admitted.ok());
  });
  while (!waits) std::this_thread::yield();
  EXPECT_FALSE(Admission::Wait(budget, "small", 10, milliseconds(0)).ok());
  first.reset();
  large.join();
}

TEST(Admission, SixtyFourOperationsAllGetWhatTheyAsked) {
  testing::HangGuard guard(std::chrono::seconds(120));
  constexpr int64_t kLimit = 10000;
  auto budget = Budget::Make("shared", kLimit);
  std::atomic<int> served{0};
  std::atomic<int> late{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 64; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 40; ++i) {
        const int64_t need = 1 + static_cast<int64_t>(random() % kLimit);
        // Some lose patience; whoever was admitted is never denied.
        const milliseconds patience(random() % 4 == 0 ? random() % 20 : 60000);
        auto admitted = Admission::Wait(budget, std::to_string(t), need, patience);
        if (!admitted.ok()) {
          EXPECT_TRUE(admitted.status().IsOutOfMemory());
          EXPECT_LT(patience.count(), 60000);
          ++late;
          continue;
        }
        const auto& own = (*admitted)->budget();
        EXPECT_TRUE(own->Reserve(need / 2).ok());
        EXPECT_TRUE(own->Reserve(need - need / 2).ok());
        EXPECT_FALSE(own->TryReserve(1));
        own->Release(need);
        ++served;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(served + late, 64 * 40);
  EXPECT_GE(served.load(), 64 * 40 / 2);
  EXPECT_LE(budget->peak_bytes(), kLimit);
  EXPECT_EQ(budget->used_bytes(), 0);
}

}  // namespace
}  // namespace floodwall
