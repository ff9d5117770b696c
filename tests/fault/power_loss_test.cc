#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "dataset/commit.h"
#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "support/merge_scenarios.h"
#include "support/recorded_disk.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

namespace fs = std::filesystem;
using testing::Files;
using testing::GlobParquet;
using testing::Leftovers;
using testing::MergeScenario;
using testing::PowerLoss;
using testing::RecordedDisk;
using testing::RecordingStorage;
using testing::TemporaryDirectory;

/// FLOODWALL_POWER_LOSS_SEEDS in a long run.
uint32_t Seeds() {
  const char* text = std::getenv("FLOODWALL_POWER_LOSS_SEEDS");
  return text == nullptr ? 1 : static_cast<uint32_t>(std::atoi(text));
}

bool IsLong() { return Seeds() > 1; }

/// By turns, since all of them at every change take too long.
std::vector<PowerLoss> LossesAt(int k) {
  std::vector<PowerLoss> out{{PowerLoss::kUnsyncedIsLost}, {PowerLoss::kNothingIsLost}};
  for (uint32_t seed = 0; seed < Seeds(); ++seed) {
    const auto turn = (static_cast<uint32_t>(k) + seed) % 3;
    const PowerLoss::Kind kinds[] = {PowerLoss::kAnything, PowerLoss::kLaterIsLost,
                                     PowerLoss::kNamesWithoutData};
    out.push_back({kinds[turn], seed});
  }
  return out;
}

std::string Describe(int k, const PowerLoss& loss) {
  return "before change " + std::to_string(k) + ", rule " + std::to_string(loss.kind) + ", seed " +
         std::to_string(loss.seed);
}

class PowerLossTest : public ::testing::TestWithParam<MergeScenario> {
 protected:
  static void SetUpTestSuite() { testing::UseMemoryForDirectories(); }

  /// One recorded merge tells the old rows, the new ones, and which files are whole.
  void SetUp() override {
    GetParam().prepare(PathIn(top_.path()));
    disk_ = std::make_unique<RecordedDisk>(top_.path());
    old_ = testing::RowsOf(PathIn(top_.path()));
    whole_ = GlobParquet(top_.path());
    RecordingStorage storage(disk_.get());
    const auto result = GetParam().run({.storage = &storage}, PathIn(top_.path()));
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    new_ = testing::RowsOf(PathIn(top_.path()));
    whole_.merge(GlobParquet(top_.path()));
    ASSERT_NE(old_, new_);
    ASSERT_EQ(std::ssize(old_) + result->inserted - result->deleted, std::ssize(new_));
    ASSERT_GT(disk_->changes(), 15);
  }

  static std::string PathIn(const std::string& top) { return top + "/" + GetParam().dataset; }
  static std::string RootIn(const std::string& top) { return testing::RootOf(PathIn(top)); }

  void ExpectWholeFiles(const std::string& top) const {
    for (const std::string& file : GlobParquet(top)) {
      EXPECT_EQ(whole_.count(file), 1U) << "a file that is neither old nor new";
    }
  }

  /// Whether the new rows are there; they or the old ones must be.
  bool IsNew(const std::string& top) const {
    const auto rows = testing::RowsOf(PathIn(top));
    EXPECT_TRUE(rows == old_ || rows == new_) << rows.size() << " rows of neither state";
    return rows == new_;
  }

  arrow::Status RecoverIn(const std::string& top, Storage* storage) const {
    if (!fs::exists(PathIn(top))) return arrow::Status::OK();
    return RecoverDataset(storage, PathIn(top)).status();
  }

  /// The next open, with the power back, and then the merge tried again.
  void ExpectOldOrNew(const std::string& top, bool must_be_new, bool recovers) {
    ExpectWholeFiles(top);
    RecordedDisk disk(top);
    RecordingStorage storage(&disk);
    bool is_new = false;
    if (recovers) {
      const arrow::Status recovered = RecoverIn(top, &storage);
      ASSERT_TRUE(recovered.ok()) << recovered.ToString();
      is_new = IsNew(top);
      EXPECT_TRUE(is_new || !must_be_new);
      EXPECT_EQ(Leftovers(top, RootIn(top)), Files());
    }
    const auto again = GetParam().run({.storage = &storage}, PathIn(top));
    ASSERT_TRUE(again.ok()) << again.status().ToString();
    if (recovers) {
      EXPECT_EQ(again->already_committed, is_new);
    }
    EXPECT_TRUE(again->already_committed || !must_be_new);
    EXPECT_EQ(testing::RowsOf(PathIn(top)), new_);
    // A merge that finds its token does not look for what else is there.
    ASSERT_TRUE(RecoverIn(top, &storage).ok());
    EXPECT_EQ(Leftovers(top, RootIn(top)), Files());
    ++(again->already_committed ? seen_new_ : seen_old_);
  }

  const TemporaryDirectory top_;
  std::unique_ptr<RecordedDisk> disk_;
  std::multiset<std::string> old_;
  std::multiset<std::string> new_;
  Files whole_;
  int seen_old_ = 0;
  int seen_new_ = 0;
};

TEST_P(PowerLossTest, LeavesTheOldRowsOrTheNew) {
  for (int k = 0; k <= disk_->changes() && !HasFailure(); ++k) {
    for (const PowerLoss& loss : LossesAt(k)) {
      SCOPED_TRACE(Describe(k, loss));
      TemporaryDirectory after;
      disk_->Build(k, loss, after.path());
      ExpectOldOrNew(after.path(), k == disk_->changes(),
                     (static_cast<uint32_t>(k) + loss.seed) % 2 == 0);
    }
  }
  EXPECT_GT(seen_old_, 5);
  EXPECT_GT(seen_new_, 5);
}

/// The first power loss is followed by a recovery, and that by another one.
TEST_P(PowerLossTest, MayStrikeTheRecovery) {
  int recoveries = 0;
  for (int k = 0; k <= disk_->changes() && !HasFailure(); ++k) {
    for (const PowerLoss& first : LossesAt(k)) {
      TemporaryDirectory after;
      disk_->Build(k, first, after.path());
      RecordedDisk recovered(after.path());
      RecordingStorage storage(&recovered);
      ASSERT_TRUE(RecoverIn(after.path(), &storage).ok()) << Describe(k, first);
      const bool is_new = IsNew(after.path());
      if (recovered.changes() == 0) continue;
      // They are much the same at neighbouring changes.
      if (++recoveries % (IsLong() ? 4 : 8) != 1) continue;
      for (int j = 0; j <= recovered.changes() && !HasFailure(); ++j) {
        const PowerLoss::Kind kinds[] = {PowerLoss::kUnsyncedIsLost, PowerLoss::kAnything,
                                         PowerLoss::kNothingIsLost, PowerLoss::kLaterIsLost};
        const PowerLoss second{kinds[j % 4], static_cast<uint32_t>(j)};
        SCOPED_TRACE(Describe(k, first) + "; then " + Describe(j, second));
        TemporaryDirectory last;
        recovered.Build(j, second, last.path());
        ExpectOldOrNew(last.path(), is_new, true);
      }
    }
  }
  EXPECT_GT(recoveries, 0);
}

/// A killed process loses nothing, but what it did not sync is still not safe afterwards.
TEST_P(PowerLossTest, MayFollowAKillAndItsRecovery) {
  for (int k = 0; k < disk_->changes() && !HasFailure(); ++k) {
    TemporaryDirectory top;
    GetParam().prepare(PathIn(top.path()));
    RecordedDisk disk(top.path());
    RecordingStorage storage(&disk);
    testing::FaultyStorage dying(k, EIO, true, &storage);
    if (GetParam().run({.storage = &dying}, PathIn(top.path())).ok()) continue;
    if (k % 2 == 0) {
      ASSERT_TRUE(RecoverIn(top.path(), &storage).ok());
    }
    const auto again = GetParam().run({.storage = &storage}, PathIn(top.path()));
    ASSERT_TRUE(again.ok()) << again.status().ToString();
    for (const PowerLoss& loss : LossesAt(k)) {
      SCOPED_TRACE("killed at " + std::to_string(k) + "; " + Describe(disk.changes(), loss));
      TemporaryDirectory after;
      disk.Build(disk.changes(), loss, after.path());
      EXPECT_EQ(testing::RowsOf(PathIn(after.path())), new_);
      RecordedDisk last(after.path());
      RecordingStorage later(&last);
      const auto known = GetParam().run({.storage = &later}, PathIn(after.path()));
      ASSERT_TRUE(known.ok()) << known.status().ToString();
      EXPECT_TRUE(known->already_committed);
      ASSERT_TRUE(RecoverIn(after.path(), &later).ok());
      EXPECT_EQ(Leftovers(after.path(), RootIn(after.path())), Files());
    }
  }
}

TEST_P(PowerLossTest, NoPatternFindsAStagedFile) {
  TemporaryDirectory top;
  GetParam().prepare(PathIn(top.path()));
  testing::FaultyStorage storage(-1, 0, false);
  Files seen;
  storage.BeforeEach([&] { seen.merge(GlobParquet(top.path())); });
  ASSERT_TRUE(GetParam().run({.storage = &storage}, PathIn(top.path())).ok());
  EXPECT_GT(storage.operations(), 15);
  Files whole = whole_;
  whole.merge(GlobParquet(top.path()));
  for (const std::string& file : seen) EXPECT_EQ(whole.count(file), 1U);
}

INSTANTIATE_TEST_SUITE_P(Merges, PowerLossTest, ::testing::ValuesIn(testing::MergeScenarios()),
                         [](const auto& scenario) { return scenario.param.name; });

}  // namespace
}  // namespace floodwall
