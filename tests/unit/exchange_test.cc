#include "dataset/exchange.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>

#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "support/commit_case.h"
#include "support/faulty_storage.h"

namespace floodwall {
namespace {

using testing::CommitDataset;
using testing::Everything;
using testing::FileText;

namespace fs = std::filesystem;

std::string WhyNot(const std::string& path) {
  DatasetListing listing;
  listing.root = path;
  if (fs::is_regular_file(path)) listing = ListDataset(path).ValueOrDie();
  const arrow::Status status = SnapshotExchange::Check(listing);
  if (status.ok()) return "";
  EXPECT_EQ(ErrorDetail::From(status)->kind, ErrorKind::kInvalidMerge);
  EXPECT_NE(status.message().find("snapshot='exchange' is not possible for '"), std::string::npos);
  EXPECT_NE(status.message().find("use snapshot='in_place'"), std::string::npos);
  return status.message();
}

bool Says(const std::string& message, const std::string& part) {
  return message.find(part) != std::string::npos;
}

TEST(Exchange, RefusesWhatItCannotExchange) {
  const CommitDataset dataset(Everything());
  EXPECT_EQ(WhyNot(dataset.root()), "");
  EXPECT_EQ(WhyNot(dataset.outer().path() + "/missing/below"), "");
  EXPECT_TRUE(Says(WhyNot(dataset.root() + "/a.parquet"), "single file"));
  const std::string link = dataset.outer().path() + "/link";
  fs::create_directory_symlink(dataset.root(), link);
  EXPECT_TRUE(Says(WhyNot(link), "symbolic link"));
  EXPECT_TRUE(Says(WhyNot("/proc"), "mount point"));
  EXPECT_TRUE(Says(WhyNot("/"), "mount point"));
  EXPECT_TRUE(Says(WhyNot(dataset.root() + "/."), "must end in the dataset's name"));
  EXPECT_TRUE(dataset.Files() == Everything().before);
}

TEST(Exchange, RefusesALinkedDirectoryOfData) {
  const CommitDataset dataset(Everything());
  fs::create_directory(dataset.outer().path() + "/elsewhere");
  fs::create_directory_symlink("../elsewhere", dataset.root() + "/_not_data");
  EXPECT_EQ(WhyNot(dataset.root()), "");
  fs::create_directory_symlink("../elsewhere", dataset.root() + "/x=3");
  EXPECT_TRUE(Says(WhyNot(dataset.root()), "x=3' is a link to a directory outside"));
}

TEST(Exchange, RefusesTheCurrentDirectory) {
  const CommitDataset dataset(Everything());
  const fs::path before = fs::current_path();
  fs::current_path(dataset.root() + "/x=0");
  const std::string why = WhyNot(dataset.root());
  fs::current_path(before);
  EXPECT_TRUE(Says(why, "current directory of this process is inside"));
}

TEST(Exchange, RefusesAFileSystemThatCannotExchange) {
  for (const int error : {EINVAL, ENOSYS, EOPNOTSUPP, EPERM}) {
    int refused = 0;
    for (int k = 0; k < 6; ++k) {
      const CommitDataset dataset(Everything());
      testing::FaultyStorage storage(k, error, false);
      const std::string directory = SnapshotExchange::SiblingPath(dataset.root(), "1");
      const arrow::Status status = SnapshotExchange::Probe(&storage, dataset.root(), directory);
      ASSERT_FALSE(status.ok()) << k;
      refused += Says(status.message(), "must have hard links and exchange directories") ? 1 : 0;
      EXPECT_TRUE(dataset.IsAlone()) << k;
    }
    EXPECT_EQ(refused, 6);
  }
}

/// A process that dies for good before operation `dies_at`.
class Dying final : public testing::ForwardingStorage {
 public:
  explicit Dying(int dies_at) : left_(dies_at) {}
  arrow::Result<std::unique_ptr<StagedFile>> CreateFile(const std::string& path,
                                                        mode_t mode) override {
    Count();
    return ForwardingStorage::CreateFile(path, mode);
  }
  arrow::Status Unlink(const std::string& path) override {
    Count();
    return ForwardingStorage::Unlink(path);
  }
  arrow::Status CreateDirectory(const std::string& path, mode_t mode) override {
    Count();
    return ForwardingStorage::CreateDirectory(path, mode);
  }
  arrow::Status RemoveDirectory(const std::string& path) override {
    Count();
    return ForwardingStorage::RemoveDirectory(path);
  }
  arrow::Status Link(const std::string& from, const std::string& to) override {
    Count();
    return ForwardingStorage::Link(from, to);
  }
  arrow::Status Exchange(const std::string& one, const std::string& other) override {
    Count();
    return ForwardingStorage::Exchange(one, other);
  }

 private:
  void Count() {
    if (left_-- == 0) ::kill(::getpid(), SIGKILL);
  }
  int left_;
};

TEST(Exchange, APlanThatIsKilledLeavesNothing) {
  int killed = 0;
  for (int k = 0;; ++k) {
    const CommitDataset dataset(Everything());
    const pid_t child = ::fork();
    if (child == 0) {
      Dying storage(k);
      ::_exit(SnapshotExchange::ProbeWithoutLock(&storage, dataset.root()).ok() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(dataset.IsAlone()) << k;
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      EXPECT_FALSE(fs::exists(dataset.root() + "/_floodwall"));
      break;
    }
    ++killed;
    const auto recovered = RecoverDataset(Storage::Posix(), dataset.root()).ValueOrDie();
    EXPECT_EQ(recovered.action, RecoveryAction::kCleaned) << k;
    for (const auto& entry : fs::directory_iterator(dataset.root() + "/_floodwall")) {
      EXPECT_EQ(entry.path().filename(), "lock") << k;
    }
    EXPECT_EQ(dataset.Files(), Everything().before);
  }
  EXPECT_GT(killed, 10);
}

TEST(Exchange, KeepsModesAttributesLinksAndInodes) {
  const CommitDataset dataset(Everything());
  const std::string root = dataset.root();
  ASSERT_EQ(::chmod(root.c_str(), 02751), 0);
  ASSERT_EQ(::chmod((root + "/x=0").c_str(), 0500), 0);
  const bool attributes = ::setxattr(root.c_str(), "user.origin", "here", 4, 0) == 0;
  fs::create_symlink("../nowhere", root + "/_dangling");
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown((root + "/_notes").c_str(), 12, 34), 0);
  }
  const fs::path kept = root + "/x=0/kept.parquet";
  struct stat before{};
  struct stat after{};
  ASSERT_EQ(::stat(kept.c_str(), &before), 0);
  ASSERT_TRUE(dataset.CommitNew(Storage::Posix(), Snapshot::kExchange).ok());
  ASSERT_EQ(::stat(kept.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(after.st_nlink, 1U);
  ASSERT_EQ(::stat(root.c_str(), &after), 0);
  EXPECT_EQ(after.st_mode & 07777, 02751U);
  ASSERT_EQ(::stat((root + "/x=0").c_str(), &after), 0);
  EXPECT_EQ(after.st_mode & 07777, 0500U);
  char value[4] = {};
  if (attributes) {
    ASSERT_EQ(::getxattr(root.c_str(), "user.origin", value, 4), 4);
    EXPECT_EQ(std::string(value, 4), "here");
  }
  EXPECT_EQ(fs::read_symlink(root + "/_dangling"), "../nowhere");
  if (::geteuid() == 0) {
    ASSERT_EQ(::stat((root + "/_notes").c_str(), &after), 0);
    EXPECT_EQ(after.st_uid, 12U);
    EXPECT_EQ(after.st_gid, 34U);
  }
  ::chmod((root + "/x=0").c_str(), 0700);
}

/// Somebody who does not know the lock writes while the commit runs.
class Intruder final : public testing::ForwardingStorage {
 public:
  explicit Intruder(const CommitDataset& dataset) : dataset_(dataset) {}
  arrow::Status Exchange(const std::string& one, const std::string& other) override {
    if (!one.ends_with("/a")) {  // not the probe
      dataset_.outer().Write("set/x=9/late.parquet", FileText("late"));
      dataset_.outer().Write("set/late.parquet", FileText("also late"));
    }
    return ForwardingStorage::Exchange(one, other);
  }

 private:
  const CommitDataset& dataset_;
};

TEST(Exchange, KeepsFilesThatOthersAddMeanwhile) {
  const CommitDataset dataset(Everything());
  Intruder storage(dataset);
  ASSERT_TRUE(dataset.CommitNew(&storage, Snapshot::kExchange).ok());
  testing::Contents expected = Everything().after;
  expected["x=9/late.parquet"] = FileText("late");
  expected["late.parquet"] = FileText("also late");
  EXPECT_EQ(dataset.Files(), expected);
  EXPECT_TRUE(dataset.IsAlone());
}

TEST(Exchange, HoldsTheLockOnBothSides) {
  const CommitDataset dataset(Everything());
  struct Rival final : testing::ForwardingStorage {
    explicit Rival(std::string path) : root(std::move(path)) {}
    arrow::Status Unlink(const std::string& path) override {
      if (tries++ == 0 || exchanged) {
        const auto lock = DatasetLock::Acquire(Storage::Posix(), root);
        refused +=
            !lock.ok() && ErrorDetail::From(lock.status())->kind == ErrorKind::kConflict ? 1 : 0;
      }
      return ForwardingStorage::Unlink(path);
    }
    arrow::Status Exchange(const std::string& one, const std::string& other) override {
      exchanged = other == root;
      return ForwardingStorage::Exchange(one, other);
    }
    const std::string root;
    bool exchanged = false;
    int tries = 0;
    int refused = 0;
  } rival(dataset.root());
  ASSERT_TRUE(dataset.CommitNew(&rival, Snapshot::kExchange).ok());
  EXPECT_GT(rival.refused, 3);
  EXPECT_TRUE(DatasetLock::Acquire(Storage::Posix(), dataset.root()).ok());
}

TEST(Exchange, StopsWhileItLinks) {
  const CommitDataset dataset(Everything());
  const auto listing = ListDataset(dataset.root()).ValueOrDie();
  const auto lock = DatasetLock::Acquire(Storage::Posix(), dataset.root()).ValueOrDie();
  for (int allowed = 0; allowed < 8; ++allowed) {
    auto commit = Commit::Begin(Storage::Posix(), dataset.root(), Snapshot::kExchange).ValueOrDie();
    commit->Remove("gone.parquet");
    int left = allowed;
    commit->StopWhen([&] {
      return left-- > 0 ? arrow::Status::OK() : MakeError(ErrorKind::kCancelled, "stopped");
    });
    EXPECT_EQ(ErrorDetail::From(commit->Publish(listing.files))->kind, ErrorKind::kCancelled);
    commit.reset();
    EXPECT_EQ(dataset.Files(), Everything().before);
    EXPECT_TRUE(dataset.IsAlone());
  }
}

}  // namespace
}  // namespace floodwall
