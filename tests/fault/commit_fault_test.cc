#include <cerrno>
#include <chrono>
#include <filesystem>

#include "dataset/commit.h"
#include "dataset/commit_records.h"
#include "dataset/journal.h"
#include "gtest/gtest.h"
#include "support/faulty_storage.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

using Contents = std::map<std::string, std::string>;

/// Text with the end of a Parquet file, so that it has a footer checksum.
std::string FileText(const std::string& text) {
  std::string out = text;
  const auto length = static_cast<uint32_t>(text.size());
  out.append(reinterpret_cast<const char*>(&length), sizeof(length));
  return out + "PAR1";
}

const Contents kOld = {{"a.parquet", FileText("old a")},
                       {"b.parquet", FileText("old b")},
                       {"gone.parquet", FileText("old gone")}};
const Contents kNew = {{"a.parquet", FileText("new a")},
                       {"b.parquet", FileText("new b")},
                       {"x=1/c.parquet", FileText("new c")}};

const char kToken[] = "job 7";

/// Whether the commit left its record.
bool IsRecorded(const testing::TemporaryDirectory& directory) {
  const auto record = CommitRecords::Find(directory.path(), kToken).ValueOrDie();
  EXPECT_TRUE(!record || *record == "what was done\n");
  return record.has_value();
}

void WriteOld(const testing::TemporaryDirectory& directory) {
  for (const auto& [name, text] : kOld) directory.Write(name, text);
}

/// The data files; fails when a file ending in .parquet stands in the control directory.
Contents DataFiles(const testing::TemporaryDirectory& directory) {
  Contents out;
  for (const auto& [name, text] : directory.Contents()) {
    const bool parquet = name.size() > 8 && name.substr(name.size() - 8) == ".parquet";
    if (name.rfind("_floodwall/", 0) == 0) {
      EXPECT_FALSE(parquet) << name;
    } else {
      out[name] = text;
    }
  }
  return out;
}

arrow::Status CommitNew(Storage* storage, const std::string& root) {
  ARROW_ASSIGN_OR_RAISE(const DatasetListing listing, ListDataset(root));
  ARROW_ASSIGN_OR_RAISE(auto lock, DatasetLock::Acquire(storage, root));
  ARROW_ASSIGN_OR_RAISE(auto commit, Commit::Begin(storage, root));
  for (const auto& [name, text] : kNew) {
    ARROW_ASSIGN_OR_RAISE(auto file, storage->CreateFile(commit->StagePath(), 0644));
    ARROW_RETURN_NOT_OK(file->Write(text.data(), static_cast<int64_t>(text.size())));
    ARROW_RETURN_NOT_OK(file->Sync());
    ARROW_RETURN_NOT_OK(file->Close());
    ARROW_ASSIGN_OR_RAISE(const uint64_t checksum, FooterChecksum(file->path()));
    commit->Put({file->path(), name, file->size(), checksum});
  }
  commit->Remove("gone.parquet");
  commit->Record(kToken, "what was done\n");
  return commit->Publish(listing.files);
}

int CountOperations() {
  testing::TemporaryDirectory directory;
  WriteOld(directory);
  testing::FaultyStorage storage(-1, 0, false);
  EXPECT_TRUE(CommitNew(&storage, directory.path()).ok());
  EXPECT_EQ(DataFiles(directory), kNew);
  return storage.operations();
}

class CommitFault : public ::testing::TestWithParam<bool> {};

TEST_P(CommitFault, EveryFailureLeavesOldOrNewAfterRecovery) {
  const bool dies = GetParam();
  const int operations = CountOperations();
  ASSERT_GT(operations, 20);
  int seen_old = 0;
  int seen_new = 0;
  for (int k = 0; k < operations; ++k) {
    testing::TemporaryDirectory directory;
    WriteOld(directory);
    testing::FaultyStorage storage(k, k % 2 == 0 ? ENOSPC : EIO, dies);
    const arrow::Status status = CommitNew(&storage, directory.path());
    EXPECT_FALSE(status.ok()) << k;
    EXPECT_NE(ErrorDetail::From(status), nullptr) << k;
    const bool said_committed = status.message().find("is committed") != std::string::npos;
    if (!said_committed && !dies) {
      EXPECT_EQ(DataFiles(directory), kOld) << k;
    }
    ASSERT_TRUE(RecoverDataset(Storage::Posix(), directory.path()).ok()) << k;
    const Contents found = DataFiles(directory);
    EXPECT_TRUE(found == kOld || found == kNew) << k;
    EXPECT_EQ(found == kNew, said_committed) << k;
    EXPECT_EQ(IsRecorded(directory), found == kNew) << k;
    ++(found == kNew ? seen_new : seen_old);
    EXPECT_EQ(RecoverDataset(Storage::Posix(), directory.path()).ValueOrDie().action,
              RecoveryAction::kNone)
        << k;
  }
  EXPECT_GT(seen_old, 5);
  EXPECT_GT(seen_new, 5);
}

INSTANTIATE_TEST_SUITE_P(Modes, CommitFault, ::testing::Values(false, true),
                         [](const auto& mode) { return mode.param ? "Killed" : "Failing"; });

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
  testing::TemporaryDirectory directory;
  WriteOld(directory);
  ASSERT_TRUE(CommitNew(Storage::Posix(), directory.path()).ok());
  EXPECT_TRUE(IsRecorded(directory));
  for (const std::string token : {"job 8", "job 7 ", "", "job"}) {
    EXPECT_FALSE(CommitRecords::Find(directory.path(), token).ValueOrDie().has_value()) << token;
  }
  int damaged = 0;
  for (const auto& [name, text] : directory.Contents()) {
    if (name.rfind("_floodwall/results/", 0) != 0) continue;
    directory.Write(name, "of another kind");
    ++damaged;
  }
  EXPECT_EQ(damaged, 1);
  EXPECT_FALSE(CommitRecords::Find(directory.path(), kToken).ok());
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
