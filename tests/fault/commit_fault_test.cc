#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <set>

#include "dataset/commit.h"
#include "dataset/commit_records.h"
#include "dataset/journal.h"
#include "gtest/gtest.h"
#include "spill/spill_directory.h"
#include "support/commit_case.h"
#include "support/faulty_storage.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

using testing::CommitDataset;
using testing::Contents;
using testing::FileText;

const testing::CommitCase& Case() { return testing::Everything(); }

/// What the pattern `**/*.parquet` finds, hidden directories included: whole files, old or new.
void ExpectNoStagedFile(const CommitDataset& dataset, int k) {
  for (const auto& [name, text] : dataset.outer().Contents()) {
    if (!name.ends_with(".parquet")) continue;
    bool whole = false;
    for (const Contents* version : {&Case().before, &Case().after}) {
      for (const auto& [known, content] : *version) {
        whole = whole || (content == text && name.ends_with(known));
      }
    }
    EXPECT_TRUE(whole) << name << " at " << k;
    EXPECT_FALSE(name.rfind("set/_floodwall/", 0) == 0) << name << " at " << k;
  }
}

struct FaultMode {
  const char* name;
  bool dies;
  Snapshot snapshot;
};

class CommitFault : public ::testing::TestWithParam<FaultMode> {
 protected:
  static int CountOperations() {
    CommitDataset dataset(Case());
    testing::FaultyStorage storage(-1, 0, false);
    EXPECT_TRUE(dataset.CommitNew(&storage, GetParam().snapshot).ok());
    EXPECT_EQ(dataset.Files(), Case().after);
    EXPECT_TRUE(dataset.IsAlone());
    return storage.operations();
  }
};

TEST_P(CommitFault, EveryFailureLeavesOldOrNewAfterRecovery) {
  const bool dies = GetParam().dies;
  const int operations = CountOperations();
  ASSERT_GT(operations, 20);
  constexpr std::array kErrors = {ENOSPC, EIO, EDQUOT, EACCES};
  int seen_old = 0;
  int seen_new = 0;
  for (int run = 0; run < operations * static_cast<int>(dies ? 1 : kErrors.size()); ++run) {
    const int k = run % operations;
    const int error = kErrors[static_cast<size_t>(run / operations)];
    CommitDataset dataset(Case());
    testing::FaultyStorage storage(k, error, dies);
    storage.BeforeEach([&] { ExpectNoStagedFile(dataset, k); });
    const arrow::Status status = dataset.CommitNew(&storage, GetParam().snapshot);
    EXPECT_FALSE(status.ok()) << k;
    ASSERT_NE(ErrorDetail::From(status), nullptr) << k;
    ExpectNoStagedFile(dataset, k);
    const bool said_committed = status.message().find("is committed") != std::string::npos;
    if (!said_committed && !dies) {
      EXPECT_EQ(dataset.Files(), Case().before) << k;
      EXPECT_TRUE(dataset.IsAlone()) << k;
    }
    testing::FaultyStorage watching(-1, 0, false);
    watching.BeforeEach([&] { ExpectNoStagedFile(dataset, k); });
    const auto recovered = RecoverDataset(&watching, dataset.root());
    ASSERT_TRUE(recovered.ok()) << k << recovered.status().ToString();
    const Contents found = dataset.Files();
    EXPECT_TRUE(found == Case().before || found == Case().after) << k;
    EXPECT_EQ(found == Case().after, said_committed) << k;
    EXPECT_EQ(testing::IsRecorded(dataset.root()), found == Case().after) << k;
    EXPECT_TRUE(dataset.IsAlone()) << k;
    ++(found == Case().after ? seen_new : seen_old);
    EXPECT_EQ(RecoverDataset(Storage::Posix(), dataset.root()).ValueOrDie().action,
              RecoveryAction::kNone)
        << k;
  }
  EXPECT_GT(seen_old, 5);
  EXPECT_GT(seen_new, 5);
}

TEST(CommitByExchange, AReaderAtEveryOperationFindsOneVersion) {
  CommitDataset dataset(Case());
  testing::FaultyStorage storage(-1, 0, false);
  std::set<Contents> seen;
  storage.BeforeEach([&] { seen.insert(dataset.Files()); });
  ASSERT_TRUE(dataset.CommitNew(&storage, Snapshot::kExchange).ok());
  EXPECT_EQ(seen, (std::set<Contents>{Case().before, Case().after}));
}

INSTANTIATE_TEST_SUITE_P(Modes, CommitFault,
                         ::testing::Values(FaultMode{"Failing", false, Snapshot::kInPlace},
                                           FaultMode{"Killed", true, Snapshot::kInPlace},
                                           FaultMode{"FailingExchange", false, Snapshot::kExchange},
                                           FaultMode{"KilledExchange", true, Snapshot::kExchange}),
                         [](const auto& mode) { return mode.param.name; });

const Contents kOld = {{"a.parquet", FileText("old a")}, {"b.parquet", FileText("old b")}};

void WriteOld(const testing::TemporaryDirectory& directory) {
  for (const auto& [name, text] : kOld) directory.Write(name, text);
}

Contents DataFiles(const testing::TemporaryDirectory& directory) {
  Contents under;
  for (const auto& [name, text] : directory.Contents()) under["set/" + name] = text;
  return testing::FilesOf(under, "set");
}

TEST(Commit, FilesChangedByOthersAreAConflict) {
  testing::TemporaryDirectory directory;
  WriteOld(directory);
  auto listing = ListDataset(directory.path()).ValueOrDie();
  auto lock = DatasetLock::Acquire(Storage::Posix(), directory.path()).ValueOrDie();
  auto commit = Commit::Begin(Storage::Posix(), directory.path()).ValueOrDie();
  directory.Write("a.parquet", FileText("somebody else's"));
  const arrow::Status status = commit->Publish(listing.files);
  ASSERT_NE(ErrorDetail::From(status), nullptr);
  EXPECT_EQ(ErrorDetail::From(status)->kind, ErrorKind::kConflict);
}

TEST(CommitRecords, TellTokensApartAndRefuseDamage) {
  const CommitDataset dataset(Case());
  ASSERT_TRUE(dataset.CommitNew(Storage::Posix(), Snapshot::kInPlace).ok());
  EXPECT_TRUE(testing::IsRecorded(dataset.root()));
  for (const std::string token : {"job 8", "job 7 ", "", "job"}) {
    EXPECT_FALSE(CommitRecords::Find(dataset.root(), token).ValueOrDie().has_value()) << token;
  }
  int damaged = 0;
  for (const auto& [name, text] : dataset.outer().Contents()) {
    if (name.rfind("set/_floodwall/results/", 0) != 0) continue;
    dataset.outer().Write(name, "of another kind");
    ++damaged;
  }
  EXPECT_EQ(damaged, 1);
  EXPECT_FALSE(CommitRecords::Find(dataset.root(), testing::kCommitToken).ok());
}

TEST(CommitRecords, TheNewestAreKept) {
  testing::TemporaryDirectory directory;
  const auto results = std::filesystem::path(directory.path()) / "_floodwall/results";
  const auto now = std::filesystem::file_time_type::clock::now();
  const int more = 5;
  for (int i = 0; i < static_cast<int>(CommitRecords::kKept) + more; ++i) {
    const std::string name = std::to_string(i);
    directory.Write("_floodwall/results/" + name, name);
    std::filesystem::last_write_time(results / name, now + std::chrono::seconds(i));
  }
  CommitRecords::Prune(Storage::Posix(), directory.path());
  const auto found = directory.Contents();
  EXPECT_EQ(found.size(), CommitRecords::kKept);
  EXPECT_EQ(found.count("_floodwall/results/4"), 0U);
  EXPECT_EQ(found.count("_floodwall/results/5"), 1U);
}

TEST(DatasetLock, HasOneHolder) {
  testing::TemporaryDirectory directory;
  auto first = DatasetLock::Acquire(Storage::Posix(), directory.path());
  ASSERT_TRUE(first.ok());
  const auto second = DatasetLock::Acquire(Storage::Posix(), directory.path());
  EXPECT_EQ(ErrorDetail::From(second.status())->kind, ErrorKind::kConflict);
  first->reset();
  EXPECT_TRUE(DatasetLock::Acquire(Storage::Posix(), directory.path()).ok());
}

TEST(Recover, LeavesADatasetWithoutControlDirectoryAlone) {
  testing::TemporaryDirectory directory;
  WriteOld(directory);
  EXPECT_EQ(RecoverDataset(Storage::Posix(), directory.path()).ValueOrDie().action,
            RecoveryAction::kNone);
  EXPECT_EQ(directory.Contents(), kOld);
}

TEST(Recover, RemovesWhatAKilledMergeSpilled) {
  testing::TemporaryDirectory directory;
  WriteOld(directory);
  directory.Write("_floodwall/spill-0123/0", "four");
  std::filesystem::create_directory(directory.path() + "/_floodwall/spill-4567");
  const auto result = RecoverDataset(Storage::Posix(), directory.path()).ValueOrDie();
  EXPECT_EQ(result.action, RecoveryAction::kCleaned);
  EXPECT_EQ(result.staged_bytes_removed, 4);
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/_floodwall/spill-0123"));
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/_floodwall/spill-4567"));
  EXPECT_EQ(DataFiles(directory), kOld);
}

TEST(Recover, LeavesWhatAPlanSpillsNow) {
  testing::TemporaryDirectory directory;
  WriteOld(directory);
  std::string path;
  {
    SpillDirectory spill(directory.path() + "/_floodwall", -1);
    const auto file = spill.NewFile().ValueOrDie();
    path = spill.path();
    EXPECT_EQ(RecoverDataset(Storage::Posix(), directory.path()).ValueOrDie().action,
              RecoveryAction::kNone);
    EXPECT_TRUE(std::filesystem::exists(path));
    EXPECT_TRUE(spill.NewFile().ok());
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Recover, ATornJournalIsAnErrorAndNotAGuess) {
  testing::TemporaryDirectory directory;
  WriteOld(directory);
  directory.Write("_floodwall/committed", "floodwall-journal 1\ntoken x\nput 3");
  const auto result = RecoverDataset(Storage::Posix(), directory.path());
  EXPECT_EQ(ErrorDetail::From(result.status())->kind, ErrorKind::kCommit);
  EXPECT_EQ(DataFiles(directory), kOld);
}

}  // namespace
}  // namespace floodwall
