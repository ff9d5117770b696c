#include <array>
#include <cerrno>
#include <filesystem>

#include "dataset/commit.h"
#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "support/faulty_storage.h"
#include "support/merge_scenarios.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

using testing::Files;
using testing::GlobParquet;
using testing::Leftovers;
using testing::MergeScenario;
using testing::TemporaryDirectory;

/// One merge of which operation k fails or is the last.
class Attempt {
 public:
  explicit Attempt(const MergeScenario& scenario)
      : scenario_(scenario), path_(top_.path() + "/" + scenario.dataset) {
    scenario_.prepare(path_);
    whole_ = GlobParquet(top_.path());
  }

  arrow::Result<MergeResult> Run(Storage* storage) { return scenario_.run({storage}, path_); }
  /// As somebody else who looks at the files before each operation.
  void Watch(testing::FaultyStorage* storage) {
    storage->BeforeEach([this] { seen_.merge(GlobParquet(top_.path())); });
  }
  arrow::Status Recover() const {
    // There is nothing to recover where the root was not made yet.
    if (!std::filesystem::exists(path_)) return arrow::Status::OK();
    return RecoverDataset(Storage::Posix(), path_).status();
  }
  std::multiset<std::string> RowsNow() const { return testing::RowsOf(path_); }
  Files LeftoversNow() const { return Leftovers(top_.path(), testing::RootOf(path_)); }

  /// Once the merge has been completed: nobody ever saw anything but files of old and new.
  void ExpectOnlyWholeFilesWereSeen() {
    whole_.merge(GlobParquet(top_.path()));
    for (const std::string& file : seen_) EXPECT_EQ(whole_.count(file), 1U);
  }

 private:
  const MergeScenario& scenario_;
  const TemporaryDirectory top_;
  const std::string path_;
  Files whole_;
  Files seen_;
};

class MergeFault : public ::testing::TestWithParam<MergeScenario> {
 protected:
  static void SetUpTestSuite() { testing::UseMemoryForDirectories(); }

  void SetUp() override {
    Attempt whole(GetParam());
    old_ = whole.RowsNow();
    testing::FaultyStorage counting(-1, 0, false);
    whole.Watch(&counting);
    ASSERT_TRUE(whole.Run(&counting).ok());
    whole.ExpectOnlyWholeFilesWereSeen();
    new_ = whole.RowsNow();
    operations_ = counting.operations();
    ASSERT_GT(operations_, 15);
  }

  std::multiset<std::string> old_;
  std::multiset<std::string> new_;
  int operations_ = 0;
};

TEST_P(MergeFault, EveryFailureIsTypedAndLeavesTheOldRowsUnlessItSaysNot) {
  constexpr std::array kErrors = {ENOSPC, EIO, EDQUOT, EACCES};
  int committed = 0;
  for (int k = 0; k < operations_ && !HasFailure(); ++k) {
    const int error = kErrors[static_cast<size_t>(k) % kErrors.size()];
    SCOPED_TRACE("operation " + std::to_string(k) + ", error " + std::to_string(error));
    Attempt attempt(GetParam());
    testing::FaultyStorage storage(k, error, false);
    attempt.Watch(&storage);
    const auto result = attempt.Run(&storage);
    // What an unneeded file or an old record costs is not worth an error.
    if (result.ok()) continue;
    ASSERT_NE(ErrorDetail::From(result.status()), nullptr) << result.status().ToString();
    EXPECT_EQ(ErrorDetail::From(result.status())->kind, ErrorKind::kCommit);
    EXPECT_EQ(ErrorDetail::From(result.status())->os_error, error);
    const bool says_committed = result.status().message().find("is committed") != std::string::npos;
    committed += says_committed ? 1 : 0;
    if (!says_committed) {
      EXPECT_EQ(attempt.RowsNow(), old_);
      EXPECT_EQ(attempt.LeftoversNow(), Files());
    }
    ASSERT_TRUE(attempt.Recover().ok());
    EXPECT_EQ(attempt.RowsNow(), says_committed ? new_ : old_);
    EXPECT_EQ(attempt.LeftoversNow(), Files());
    const auto again = attempt.Run(Storage::Posix());
    ASSERT_TRUE(again.ok()) << again.status().ToString();
    EXPECT_EQ(again->already_committed, says_committed);
    EXPECT_EQ(attempt.RowsNow(), new_);
    attempt.ExpectOnlyWholeFilesWereSeen();
  }
  EXPECT_GT(committed, 2);
  EXPECT_LT(committed, operations_ - 5);
}

TEST_P(MergeFault, EveryKillLeavesTheOldRowsOrTheNew) {
  int seen_old = 0;
  int seen_new = 0;
  for (int k = 0; k < operations_ && !HasFailure(); ++k) {
    SCOPED_TRACE("operation " + std::to_string(k));
    Attempt attempt(GetParam());
    testing::FaultyStorage storage(k, EIO, true);
    attempt.Watch(&storage);
    (void)attempt.Run(&storage);
    ASSERT_TRUE(attempt.Recover().ok());
    const auto rows = attempt.RowsNow();
    EXPECT_TRUE(rows == old_ || rows == new_);
    EXPECT_EQ(attempt.LeftoversNow(), Files());
    ++(rows == new_ ? seen_new : seen_old);
    const auto again = attempt.Run(Storage::Posix());
    ASSERT_TRUE(again.ok()) << again.status().ToString();
    EXPECT_EQ(again->already_committed, rows == new_);
    EXPECT_EQ(attempt.RowsNow(), new_);
    attempt.ExpectOnlyWholeFilesWereSeen();
  }
  EXPECT_GT(seen_old, 5);
  EXPECT_GT(seen_new, 2);
}

INSTANTIATE_TEST_SUITE_P(Merges, MergeFault, ::testing::ValuesIn(testing::MergeScenarios()),
                         [](const auto& scenario) { return scenario.param.name; });

}  // namespace
}  // namespace floodwall
