#include "floodwall/bytes.h"

#include "gtest/gtest.h"

namespace floodwall {
namespace {

TEST(ByteSize, ReadsUnitsOfBothFamilies) {
  EXPECT_EQ(ParseByteSize("0").ValueOrDie(), 0);
  EXPECT_EQ(ParseByteSize("1048576").ValueOrDie(), kMiB);
  EXPECT_EQ(ParseByteSize("256MiB").ValueOrDie(), 256 * kMiB);
  EXPECT_EQ(ParseByteSize(" 256 mib ").ValueOrDie(), 256 * kMiB);
  EXPECT_EQ(ParseByteSize("2g").ValueOrDie(), 2 * kGiB);
  EXPECT_EQ(ParseByteSize("1.5GB").ValueOrDie(), 1500000000);
  EXPECT_EQ(ParseByteSize(".5k").ValueOrDie(), 512);
}

TEST(ByteSize, RefusesEverythingElse) {
  for (const char* text : {"", "MiB", "-1", "1e3", "12 parsecs", "nan", "inf", "0x10", "1,5MiB",
                           "99999999999999999999TB"}) {
    auto result = ParseByteSize(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_TRUE(result.status().IsInvalid());
    EXPECT_NE(result.status().message().find(text), std::string::npos);
  }
}

TEST(ByteSize, FormatsForPeople) {
  EXPECT_EQ(FormatBytes(12), "12 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(128 * kMiB), "128.0 MiB");
  EXPECT_EQ(FormatBytes(-2 * kGiB), "-2.0 GiB");
}

}  // namespace
}  // namespace floodwall
