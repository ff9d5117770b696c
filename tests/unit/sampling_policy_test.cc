#include "monitor/sampling_policy.h"

#include <gtest/gtest.h>

#include "support/set_probe.h"

namespace floodwall {
namespace {

using Level = MemoryPressureLevel;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1000 * kMs;

class SamplingPolicyTest : public ::testing::Test {
 protected:
  SamplingPolicy::Decision Take(const MemoryStatus& status, int64_t now_ns) {
    return policy_.Take(*monitor_, status, now_ns);
  }
  /// Arrow's use and peak in MiB.
  SamplingPolicy::Decision Take(int64_t arrow, int64_t peak, int64_t now_ns) {
    return Take(MemoryStatus{arrow * kMiB, peak * kMiB, 10 * kMiB, 100'000 * kMiB}, now_ns);
  }

  std::unique_ptr<MemoryMonitor> monitor_ =
      MemoryMonitor::Make({.max_arrow_bytes = 1000 * kMiB,
                           .min_available_bytes = 100 * kMiB,
                           .probe = std::make_shared<testing::SetProbe>()})
          .ValueOrDie();
  SamplingPolicy policy_{{.min_seconds = 0.01, .max_seconds = 1, .calm_seconds = 1}};
};

TEST_F(SamplingPolicyTest, LooksBeforeTheNextLevelCanBeReached) {
  // 600 MiB to WARNING at the first guess of 1 GiB a second.
  EXPECT_EQ(Take(100, 100, 0).next_ns / kMs, 585);
  // Grew by 100 MiB in 25 ms, 4000 MiB a second: the 500 MiB that are left last 125 ms.
  EXPECT_EQ(Take(200, 200, 25 * kMs).next_ns / kMs, 125);
  EXPECT_EQ(policy_.growth_per_second() / kMiB, 4000);
  // The fastest growth is remembered while memory stands still.
  EXPECT_EQ(Take(200, 200, 2 * kSecond).next_ns / kMs, 125);
  EXPECT_EQ(Take(680, 680, 3 * kSecond).next_ns / kMs, 10) << "never below the shortest";
  EXPECT_EQ(Take(700, 700, 4 * kSecond).next_ns / kMs, 50) << "200 MiB from CRITICAL";
  EXPECT_EQ(Take(2000, 2000, 5 * kSecond).next_ns / kMs, 1000) << "it cannot get worse";
}

TEST_F(SamplingPolicyTest, TheTightestConstraintDecides) {
  const auto at = [&](int64_t available_mib) {
    return Take(MemoryStatus{0, 0, -1, available_mib * kMiB}, 0).next_ns / kMs;
  };
  EXPECT_EQ(at(100'000), 683);  // Arrow: 700 of 1024 MiB a second
  EXPECT_EQ(at(712), 500);      // 512 above twice the minimum
  EXPECT_EQ(at(-1), 683) << "unknown is no constraint";
}

TEST_F(SamplingPolicyTest, TellsAWorseLevelAtOnceAndAMilderOneWhenItLasts) {
  EXPECT_EQ(Take(100, 100, 0).level, Level::kNormal);
  EXPECT_EQ(Take(950, 950, kSecond).level, Level::kCritical);
  EXPECT_EQ(Take(650, 950, 2 * kSecond).level, Level::kCritical);
  const auto soon = Take(650, 950, 2 * kSecond + 400 * kMs);
  EXPECT_EQ(soon.level, Level::kCritical);
  EXPECT_LE(soon.next_ns, 600 * kMs) << "due when the milder level has lasted";
  EXPECT_EQ(Take(650, 950, 3 * kSecond).level, Level::kNormal);
}

TEST_F(SamplingPolicyTest, ARelapseStartsTheCalmAgain) {
  Take(950, 950, 0);
  EXPECT_EQ(Take(100, 950, kSecond).level, Level::kCritical);
  EXPECT_EQ(Take(920, 950, kSecond + 500 * kMs).level, Level::kCritical);
  EXPECT_EQ(Take(100, 950, 2 * kSecond).level, Level::kCritical);
  EXPECT_EQ(Take(100, 950, 2 * kSecond + 900 * kMs).level, Level::kCritical);
  EXPECT_EQ(Take(100, 950, 3 * kSecond).level, Level::kNormal);
}

TEST_F(SamplingPolicyTest, AMilderLevelNeedsSomeSpace) {
  Take(710, 710, 0);
  for (int64_t second = 1; second < 10; ++second) {
    EXPECT_EQ(Take(690, 710, second * kSecond).level, Level::kWarning) << "within 5 %";
  }
  Take(600, 710, 11 * kSecond);
  EXPECT_EQ(Take(600, 710, 12 * kSecond).level, Level::kNormal);
}

TEST_F(SamplingPolicyTest, APeakBetweenTwoSamplesIsSeen) {
  EXPECT_EQ(Take(100, 2000, 0).level, Level::kNormal) << "the peak of an earlier job";
  EXPECT_EQ(Take(100, 2000, kSecond).level, Level::kNormal);
  EXPECT_EQ(Take(100, 2001, 2 * kSecond).level, Level::kEmergency);
  EXPECT_EQ(policy_.judged().arrow_bytes, 2001 * kMiB);
}

TEST_F(SamplingPolicyTest, EqualSecondsGiveAFixedPace) {
  SamplingPolicy fixed({.min_seconds = 0.25, .max_seconds = 0.25});
  for (const int64_t arrow : {0, 100, 699, 899, 5000}) {
    EXPECT_EQ(fixed.Take(*monitor_, {arrow * kMiB, 0, -1, -1}, arrow * kMs).next_ns, 250 * kMs);
  }
}

}  // namespace
}  // namespace floodwall
