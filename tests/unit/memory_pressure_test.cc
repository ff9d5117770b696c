#include "floodwall/memory_pressure.h"

#include <gtest/gtest.h>

namespace floodwall {
namespace {

using enum MemoryPressureLevel;

TEST(MemoryPressure, JudgesUseAtItsEdges) {
  EXPECT_EQ(JudgeUse(69.9, 100), kNormal);
  EXPECT_EQ(JudgeUse(70, 100), kWarning);
  EXPECT_EQ(JudgeUse(90, 100), kWarning);
  EXPECT_EQ(JudgeUse(90.1, 100), kCritical);
  EXPECT_EQ(JudgeUse(100, 100), kCritical);
  EXPECT_EQ(JudgeUse(100.1, 100), kEmergency);
}

TEST(MemoryPressure, AllowsNothingUnderALimitOfZero) {
  EXPECT_EQ(JudgeUse(0, 0), kNormal);
  EXPECT_EQ(JudgeUse(1, 0), kEmergency);
}

TEST(MemoryPressure, JudgesWhatIsAvailableAtItsEdges) {
  EXPECT_EQ(JudgeAvailable(99, 100), kEmergency);
  EXPECT_EQ(JudgeAvailable(100, 100), kCritical);
  EXPECT_EQ(JudgeAvailable(149, 100), kCritical);
  EXPECT_EQ(JudgeAvailable(150, 100), kWarning);
  EXPECT_EQ(JudgeAvailable(199, 100), kWarning);
  EXPECT_EQ(JudgeAvailable(200, 100), kNormal);
  EXPECT_EQ(JudgeAvailable(0, 0), kNormal);
}

TEST(MemoryPressure, NamesAndOrdersLevels) {
  EXPECT_EQ(MaxPressure(kWarning, kCritical), kCritical);
  EXPECT_STREQ(ToString(kEmergency), "emergency");
  EXPECT_LT(kNormal, kWarning);
}

}  // namespace
}  // namespace floodwall
