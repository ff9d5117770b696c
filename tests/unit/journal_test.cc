#include "dataset/journal.h"

#include "gtest/gtest.h"

namespace floodwall {
namespace {

Journal Sample() {
  Journal journal;
  journal.token = "0123abcd";
  journal.puts.push_back({"000000.staged", "day=1/a b%\n\xff.parquet", 42, 0xdeadbeefULL});
  journal.removes.push_back("old file.parquet");
  journal.record_token = "job 7\n";
  journal.record = "rows 1\nfiles 2\n";
  return journal;
}

TEST(Journal, KeepsEveryByteOfNames) {
  const std::string text = Sample().Serialize();
  const Journal back = Journal::Parse(text, "j").ValueOrDie();
  EXPECT_EQ(back.token, "0123abcd");
  ASSERT_EQ(back.puts.size(), 1U);
  EXPECT_EQ(back.puts[0].relative_path, Sample().puts[0].relative_path);
  EXPECT_EQ(back.puts[0].size_bytes, 42);
  EXPECT_EQ(back.puts[0].checksum, 0xdeadbeefULL);
  EXPECT_EQ(back.removes, Sample().removes);
  EXPECT_EQ(back.record_token, Sample().record_token);
  EXPECT_EQ(back.record, Sample().record);
  Journal unnamed = Sample();
  unnamed.record_token.clear();
  EXPECT_EQ(unnamed.Serialize().find("record"), std::string::npos);
  EXPECT_TRUE(Journal::Parse(unnamed.Serialize(), "j").ValueOrDie().record_token.empty());
}

TEST(Journal, RefusesEveryTruncationAndEveryFlippedByte) {
  const std::string text = Sample().Serialize();
  for (size_t n = 0; n < text.size(); ++n) {
    EXPECT_FALSE(Journal::Parse(text.substr(0, n), "j").ok()) << n;
    std::string flipped = text;
    flipped[n] = static_cast<char>(flipped[n] ^ 1);
    EXPECT_FALSE(Journal::Parse(flipped, "j").ok()) << n;
  }
}

TEST(Journal, RefusesPathsOutsideTheDataset) {
  for (const char* path : {"/etc/passwd", "../x.parquet", "a/../../x", "a//b", "./a"}) {
    Journal journal = Sample();
    journal.puts[0].relative_path = path;
    EXPECT_FALSE(Journal::Parse(journal.Serialize(), "j").ok()) << path;
  }
}

}  // namespace
}  // namespace floodwall
