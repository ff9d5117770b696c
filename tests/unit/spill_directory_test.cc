#include "spill/spill_directory.h"

#include <filesystem>

#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "support/faulty_spill.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

namespace fs = std::filesystem;

TEST(SpillDirectory, IsMadeOnFirstUseAndGoneAtTheEnd) {
  testing::TemporaryDirectory root;
  const std::string parent = root.path() + "/spills";
  {
    SpillDirectory directory(parent, -1);
    EXPECT_FALSE(fs::exists(parent));
    auto file = directory.NewFile().ValueOrDie();
    EXPECT_TRUE(fs::is_directory(directory.path()));
    EXPECT_TRUE(fs::is_empty(directory.path()));  // the file has no name
    ASSERT_TRUE(file->Append("hello world", 11).ok());
    char back[5];
    ASSERT_TRUE(file->ReadAt(6, 5, back).ok());
    EXPECT_EQ(std::string(back, 5), "world");
  }
  EXPECT_FALSE(fs::exists(parent));
}

TEST(SpillDirectory, LeavesAParentThatWasThere) {
  testing::TemporaryDirectory root;
  {
    ASSERT_TRUE(SpillDirectory(root.path(), -1).NewFile().ok());
  }
  EXPECT_TRUE(fs::is_directory(root.path()));
  EXPECT_TRUE(fs::is_empty(root.path()));
}

TEST(SpillDirectory, CountsAndGivesBack) {
  testing::TemporaryDirectory root;
  int64_t told = 0;
  SpillDirectory directory(root.path(), 100, [&](int64_t bytes) { told += bytes; });
  const std::string text(60, 'x');
  auto first = directory.NewFile().ValueOrDie();
  ASSERT_TRUE(first->Append(text.data(), 60).ok());
  auto second = directory.NewFile().ValueOrDie();
  const arrow::Status full = second->Append(text.data(), 60);
  ASSERT_NE(ErrorDetail::From(full), nullptr);
  EXPECT_EQ(ErrorDetail::From(full)->kind, ErrorKind::kSpill);
  EXPECT_EQ(ErrorDetail::From(full)->os_error, EDQUOT);
  EXPECT_EQ(ErrorDetail::From(full)->limit_bytes, 100);
  EXPECT_NE(full.message().find("max_spill"), std::string::npos);
  first.reset();
  EXPECT_EQ(directory.bytes_used(), 0);
  EXPECT_TRUE(second->Append(text.data(), 60).ok());
  EXPECT_EQ(directory.bytes_used(), 60);
  EXPECT_EQ(directory.bytes_spilled(), 120);
  EXPECT_EQ(told, 120);
}

TEST(SpillDirectory, TakesNineTenthsOfTheFreeSpaceByDefault) {
  testing::TemporaryDirectory root;
  testing::FaultySpill calls;
  calls.free_bytes = 1000;
  SpillDirectory directory(root.path(), -1, {}, &calls);
  auto file = directory.NewFile().ValueOrDie();
  const std::string text(900, 'x');
  EXPECT_TRUE(file->Append(text.data(), 900).ok());
  EXPECT_FALSE(file->Append(text.data(), 1).ok());
}

TEST(SpillDirectory, CompletesShortAndInterruptedCalls) {
  testing::TemporaryDirectory root;
  testing::FaultySpill calls;
  calls.most_a_write = 3;
  calls.most_a_read = 2;
  calls.interrupted = true;
  SpillDirectory directory(root.path(), -1, {}, &calls);
  auto file = directory.NewFile().ValueOrDie();
  ASSERT_TRUE(file->Append("abcdefgh", 8).ok());
  char back[8];
  ASSERT_TRUE(file->ReadAt(0, 8, back).ok());
  EXPECT_EQ(std::string(back, 8), "abcdefgh");
}

TEST(SpillDirectory, AFileThatEndsEarlyIsAnError) {
  testing::TemporaryDirectory root;
  SpillDirectory directory(root.path(), -1);
  auto file = directory.NewFile().ValueOrDie();
  ASSERT_TRUE(file->Append("abc", 3).ok());
  char back[8];
  const arrow::Status status = file->ReadAt(0, 8, back);
  ASSERT_NE(ErrorDetail::From(status), nullptr);
  EXPECT_EQ(ErrorDetail::From(status)->os_error, EIO);
}

TEST(SpillDirectory, IsAbandonedWhenNobodyUsesIt) {
  testing::TemporaryDirectory root;
  auto directory = std::make_unique<SpillDirectory>(root.path(), -1);
  const auto file = directory->NewFile().ValueOrDie();
  const std::string path = directory->path();
  EXPECT_FALSE(AbandonedSpill(path).is_abandoned());
  const std::string killed = root.path() + "/spill-killed";
  fs::create_directory(killed);
  EXPECT_TRUE(AbandonedSpill(killed).is_abandoned());
}

TEST(SpillDirectory, IsMadeAgainWhenItIsTakenBeforeItIsLocked) {
  testing::TemporaryDirectory root;
  testing::FaultySpill calls;
  int taken = 0;
  calls.after_directory = [&](const char* path) {
    if (taken >= 5 || !AbandonedSpill(path).is_abandoned()) return;
    fs::remove(path);
    ++taken;
  };
  {
    SpillDirectory directory(root.path(), -1, {}, &calls);
    auto file = directory.NewFile().ValueOrDie();
    EXPECT_EQ(taken, 5);
    EXPECT_TRUE(fs::is_directory(directory.path()));
    EXPECT_FALSE(AbandonedSpill(directory.path()).is_abandoned());
  }
  EXPECT_EQ(calls.open_files, 0);
  EXPECT_TRUE(fs::is_empty(root.path()));
}

TEST(SpillDirectory, MovesWhenItIsRemovedAllTheSame) {
  testing::TemporaryDirectory root;
  for (const bool locks : {true, false}) {
    testing::FaultySpill calls;
    calls.locks = locks;
    {
      SpillDirectory directory(root.path(), 1000, {}, &calls);
      auto first = directory.NewFile().ValueOrDie();
      ASSERT_TRUE(first->Append("first", 5).ok());
      fs::remove(directory.path());
      auto second = directory.NewFile().ValueOrDie();
      ASSERT_TRUE(second->Append("other", 5).ok());
      char back[5];
      ASSERT_TRUE(first->ReadAt(0, 5, back).ok());
      EXPECT_EQ(std::string(back, 5), "first");
      EXPECT_EQ(directory.bytes_used(), 10);
    }
    EXPECT_EQ(calls.open_files, 0);
    EXPECT_TRUE(fs::is_empty(root.path()));
  }
}

TEST(SpillDirectory, NamesAParentThatCannotBeMade) {
  SpillDirectory directory("/nowhere/at/all", -1);
  const auto file = directory.NewFile();
  ASSERT_NE(ErrorDetail::From(file.status()), nullptr);
  EXPECT_EQ(ErrorDetail::From(file.status())->os_error, ENOENT);
  EXPECT_NE(file.status().message().find("/nowhere/at/all"), std::string::npos);
}

}  // namespace
}  // namespace floodwall
