#include "floodwall/budget.h"

#include <thread>

#include "floodwall/error.h"
#include "gtest/gtest.h"

namespace floodwall {
namespace {

TEST(Budget, CountsUpToItsLimitExactly) {
  auto budget = Budget::Make("job", 100);
  EXPECT_TRUE(budget->Reserve(100).ok());
  EXPECT_EQ(budget->available_bytes(), 0);
  EXPECT_FALSE(budget->TryReserve(1));
  budget->Release(100);
  EXPECT_EQ(budget->used_bytes(), 0);
  EXPECT_EQ(budget->peak_bytes(), 100);
}

TEST(Budget, DenialNamesTheHolders) {
  auto root = Budget::Make("job", 100);
  auto join = Budget::Make("join", Budget::kUnlimited, root);
  auto scan = Budget::Make("scan", Budget::kUnlimited, root);
  ASSERT_TRUE(join->Reserve(60).ok());
  ASSERT_TRUE(scan->Reserve(30).ok());
  const arrow::Status status = scan->Reserve(20);
  ASSERT_TRUE(status.IsOutOfMemory());
  const ErrorDetail* detail = ErrorDetail::From(status);
  ASSERT_NE(detail, nullptr);
  EXPECT_EQ(detail->requested_bytes, 20);
  EXPECT_EQ(detail->limit_bytes, 100);
  EXPECT_EQ(detail->used_bytes, 90);
  ASSERT_EQ(detail->holders.size(), 2U);
  EXPECT_EQ(detail->holders[0], (std::pair<std::string, int64_t>{"join", 60}));
  EXPECT_NE(status.message().find("join 60 B"), std::string::npos);
  join->Release(60);
  scan->Release(30);
}

TEST(Budget, RefusalByAnAncestorLeavesNothingBehind) {
  auto root = Budget::Make("root", 10);
  auto child = Budget::Make("child", 100, root);
  EXPECT_FALSE(child->TryReserve(11));
  EXPECT_EQ(child->used_bytes(), 0);
  EXPECT_EQ(child->peak_bytes(), 0);
  EXPECT_EQ(root->used_bytes(), 0);
}

TEST(Budget, HugeRequestsNeverMakeSmallOnesFail) {
  auto budget = Budget::Make("shared", 1000);
  std::atomic<bool> stop{false};
  std::jthread greedy([&] {
    while (!stop) EXPECT_FALSE(budget->TryReserve(1001));
  });
  for (int i = 0; i < 200000; ++i) {
    ASSERT_TRUE(budget->TryReserve(1));
    budget->Release(1);
  }
  stop = true;
}

TEST(Budget, SiblingsWhoseLimitsFitNeverDenyEachOther) {
  auto root = Budget::Make("root", 150);
  auto busy = Budget::Make("busy", 100, root);
  auto calm = Budget::Make("calm", 50, root);
  std::atomic<bool> stop{false};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!stop) {
        if (busy->TryReserve(60)) busy->Release(60);
      }
    });
  }
  // `busy` grants one request of 60 at a time, so 90 of the root's 150 are always left.
  int64_t denied = 0;
  for (int i = 0; i < 5000000; ++i) {
    if (calm->TryReserve(50)) {
      calm->Release(50);
    } else {
      ++denied;
    }
  }
  stop = true;
  threads.clear();
  EXPECT_EQ(denied, 0);
  EXPECT_LE(root->peak_bytes(), 150);
  EXPECT_EQ(root->used_bytes(), 0);
}

TEST(Budget, ForcedBytesShowInThePeak) {
  auto budget = Budget::Make("b", 10);
  budget->ForceReserve(15);
  EXPECT_EQ(budget->peak_bytes(), 15);
  EXPECT_FALSE(budget->TryReserve(1));
  budget->Release(15);
  EXPECT_TRUE(budget->TryReserve(1));
}

TEST(Reservation, ReleasesWhatItHolds) {
  auto budget = Budget::Make("b", 10);
  {
    auto reservation = Reservation::Make(budget, 8).ValueOrDie();
    EXPECT_FALSE(reservation.Resize(11).ok());
    EXPECT_EQ(reservation.bytes(), 8);
    ASSERT_TRUE(reservation.Resize(3).ok());
    Reservation moved = std::move(reservation);
    EXPECT_EQ(budget->used_bytes(), 3);
  }
  EXPECT_EQ(budget->used_bytes(), 0);
}

TEST(Budget, RestartsWithAnotherLimitOnceNothingIsHeld) {
  auto budget = Budget::Make("b", 100);
  ASSERT_TRUE(budget->TryReserve(90));
  EXPECT_FALSE(budget->Restart(10));
  EXPECT_EQ(budget->limit_bytes(), 100);
  budget->Release(90);
  EXPECT_TRUE(budget->Restart(10));
  EXPECT_EQ(budget->limit_bytes(), 10);
  EXPECT_EQ(budget->peak_bytes(), 0);
  EXPECT_FALSE(budget->TryReserve(11));
}

TEST(Budget, AnotherLimitHoldsFromThenOn) {
  auto budget = Budget::Make("job", 100);
  ASSERT_TRUE(budget->Reserve(80).ok());
  budget->SetLimit(200);
  EXPECT_TRUE(budget->TryReserve(100));
  budget->SetLimit(100);
  EXPECT_EQ(budget->used_bytes(), 180);
  EXPECT_EQ(budget->available_bytes(), 0);
  EXPECT_FALSE(budget->TryReserve(1));
  budget->Release(180);
  EXPECT_TRUE(budget->TryReserve(100));
  budget->Release(100);
}

}  // namespace
}  // namespace floodwall
