#include "probe/kernel_text.h"

#include <gtest/gtest.h>

#include <limits>

namespace floodwall {
namespace {

TEST(KernelText, ParsesNumbers) {
  EXPECT_EQ(ParseNumber("42\n"), 42);
  EXPECT_EQ(ParseNumber(" \t7 kB"), 7);
  EXPECT_EQ(ParseNumber("max\n"), std::nullopt);
  EXPECT_EQ(ParseNumber("-1"), std::nullopt);
  EXPECT_EQ(ParseNumber(""), std::nullopt);
}

TEST(KernelText, SaturatesNumbersThatDoNotFit) {
  // 2^70, and the v1 sentinel, which does fit.
  EXPECT_EQ(ParseNumber("1180591620717411303424"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(ParseNumber("9223372036854771712"), 9223372036854771712);
  int64_t value = -1;
  EXPECT_EQ(FindNumbers("A: 9223372036854775807 kB\n", {{"A", &value}}), 1);
  EXPECT_EQ(value, std::numeric_limits<int64_t>::max());
}

TEST(KernelText, FindsKeysAmongUnknownOnes) {
  int64_t total = -1, free = -1, missing = -1;
  EXPECT_EQ(
      FindNumbers("Novel: x\r\nMemTotalHuge: 1 kB\r\nMemTotal:   10 kB\r\n\r\nMemFree:\t2 kB\r\n",
                  {{"MemTotal", &total}, {"MemFree", &free}, {"Gone", &missing}}),
      2);
  EXPECT_EQ(total, 10240);
  EXPECT_EQ(free, 2048);
  EXPECT_EQ(missing, -1);
}

TEST(KernelText, FindsFlatKeyedLinesWithoutColon) {
  int64_t anon = -1, active = -1;
  FindNumbers("anon 5\nactive_anon 7\nanon_thp 9", {{"anon", &anon}, {"active_anon", &active}});
  EXPECT_EQ(anon, 5);
  EXPECT_EQ(active, 7);
}

TEST(KernelText, SkipsLinesWithoutNumber) {
  int64_t value = -1;
  EXPECT_EQ(FindNumbers("anon\nanon \nanon many\n", {{"anon", &value}}), 0);
  EXPECT_EQ(value, -1);
}

}  // namespace
}  // namespace floodwall
