#include "dataset/exchange.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <unordered_set>
#include <vector>

#include "dataset/commit_records.h"
#include "dataset/tree.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

constexpr char kControl[] = "_floodwall";

/// What belongs to one merge and not to the dataset's next version.
bool BelongsToAMerge(const std::string& name) {
  if (name == "committed") return true;
  for (const char* prefix : {"stage-", "spill-", "journal-"}) {
    if (name.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

class SiblingBuilder {
 public:
  SiblingBuilder(Storage* storage, const std::string& root, Journal* journal,
                 const std::function<arrow::Status()>& check_stop)
      : storage_(storage),
        root_(root),
        sibling_(SnapshotExchange::SiblingPath(root, journal->token)),
        journal_(journal),
        check_stop_(check_stop) {
    for (const JournalPut& put : journal->puts) changed_.insert(put.relative_path);
    changed_.insert(journal->removes.begin(), journal->removes.end());
  }

  arrow::Status Run(const std::string& stage) {
    ARROW_RETURN_NOT_OK(CopyDirectory(""));
    // Attributes last: until then only this user can look inside, and entries can be made.
    std::set<std::string> added;
    for (const JournalPut& put : journal_->puts) {
      ARROW_RETURN_NOT_OK(CreateParents(storage_, sibling_, put.relative_path, &added));
      ARROW_RETURN_NOT_OK(
          storage_->Rename(stage + "/" + put.staged_name, sibling_ + "/" + put.relative_path));
      added.insert(ParentOf(sibling_ + "/" + put.relative_path));
    }
    if (!journal_->record_token.empty()) {
      ARROW_RETURN_NOT_OK(
          CommitRecords::Write(storage_, sibling_, journal_->record_token, journal_->record));
    }
    ARROW_RETURN_NOT_OK(WriteJournal());
    for (const std::string& directory : added) {
      ARROW_RETURN_NOT_OK(Check());
      ARROW_RETURN_NOT_OK(storage_->SyncDirectory(directory));
    }
    for (auto relative = copied_.rbegin(); relative != copied_.rend(); ++relative) {
      ARROW_RETURN_NOT_OK(Check());
      const std::string below = relative->empty() ? "" : "/" + *relative;
      ARROW_RETURN_NOT_OK(storage_->CopyAttributes(root_ + below, sibling_ + below));
      ARROW_RETURN_NOT_OK(storage_->SyncDirectory(sibling_ + below));
    }
    return storage_->SyncDirectory(ParentOf(sibling_));
  }

 private:
  arrow::Status Check() const { return check_stop_ ? check_stop_() : arrow::Status::OK(); }

  arrow::Status CopyDirectory(const std::string& relative) {
    const std::string below = relative.empty() ? "" : "/" + relative;
    ARROW_RETURN_NOT_OK(storage_->CreateDirectory(sibling_ + below, 0700));
    copied_.push_back(relative);
    ARROW_ASSIGN_OR_RAISE(const auto names, ReadNames(root_ + below));
    for (const std::string& name : names) {
      ARROW_RETURN_NOT_OK(Check());
      if (relative == kControl && BelongsToAMerge(name)) continue;
      const std::string entry = relative.empty() ? name : relative + "/" + name;
      struct stat info{};
      if (::lstat((root_ + "/" + entry).c_str(), &info) != 0) {
        if (errno == ENOENT) continue;  // somebody removed it meanwhile
        return MakeOsError(ErrorKind::kCommit, errno, "cannot look at", root_ + "/" + entry);
      }
      if (S_ISDIR(info.st_mode)) {
        ARROW_RETURN_NOT_OK(CopyDirectory(entry));
      } else if (changed_.count(entry) == 0) {
        ARROW_RETURN_NOT_OK(storage_->Link(root_ + "/" + entry, sibling_ + "/" + entry));
        if (relative.rfind(kControl, 0) != 0) journal_->keeps.push_back(entry);
      }
    }
    return arrow::Status::OK();
  }

  /// Nobody looks for it here before the exchange, which is what commits.
  arrow::Status WriteJournal() {
    const std::string text = journal_->Serialize();
    ARROW_ASSIGN_OR_RAISE(auto file,
                          storage_->CreateFile(sibling_ + "/" + kControl + "/committed", 0644));
    ARROW_RETURN_NOT_OK(file->Write(text.data(), static_cast<int64_t>(text.size())));
    ARROW_RETURN_NOT_OK(file->Sync());
    return file->Close();
  }

  Storage* storage_;
  const std::string& root_;
  const std::string sibling_;
  Journal* journal_;
  const std::function<arrow::Status()>& check_stop_;
  std::unordered_set<std::string> changed_;
  std::vector<std::string> copied_;  ///< directories that both versions have, parents first
};

arrow::Status CheckInPlace(const std::string& root, const Journal& journal) {
  for (const JournalPut& put : journal.puts) {
    const std::string path = root + "/" + put.relative_path;
    int64_t size = 0;
    bool in_place = Exists(path, &size) && size == put.size_bytes;
    if (in_place) {
      ARROW_ASSIGN_OR_RAISE(const uint64_t checksum, FooterChecksum(path));
      in_place = checksum == put.checksum;
    }
    if (!in_place) {
      return MakeError(ErrorKind::kCommit, "a committed file is not in place: '" + path + "'");
    }
  }
  return arrow::Status::OK();
}

}  // namespace

std::string SnapshotExchange::SiblingPath(const std::string& root, const std::string& token) {
  const std::string parent = ParentOf(root);
  return parent + (parent == "/" ? "." : "/.") + root.substr(root.rfind('/') + 1) + ".floodwall-" +
         token;
}

arrow::Status SnapshotExchange::Build(Storage* storage, const std::string& root,
                                      const std::string& stage, Journal* journal,
                                      const std::function<arrow::Status()>& check_stop) {
  journal->exchange = true;
  journal->keeps.clear();
  return SiblingBuilder(storage, root, journal, check_stop).Run(stage);
}

arrow::Status SnapshotExchange::Swap(Storage* storage, const std::string& root,
                                     const std::string& token) {
  arrow::Status status = storage->Exchange(SiblingPath(root, token), root);
  if (status.ok()) return status;
  return status.WithMessage(status.message(),
                            "; nothing was published, snapshot='in_place' does without it");
}

arrow::Status SnapshotExchange::Finish(Storage* storage, const std::string& root,
                                       const Journal& journal, RecoveryResult* result) {
  ARROW_RETURN_NOT_OK(storage->SyncDirectory(ParentOf(root)));
  ARROW_RETURN_NOT_OK(CheckInPlace(root, journal));
  std::unordered_set<std::string> known(journal.keeps.begin(), journal.keeps.end());
  for (const JournalPut& put : journal.puts) {
    known.insert(put.relative_path);
    result->published_files.push_back(put.relative_path);
  }
  known.insert(journal.removes.begin(), journal.removes.end());
  result->removed_files = journal.removes;
  const std::string sibling = SiblingPath(root, journal.token);
  const RescueFile rescue = [&](const std::string& relative) -> arrow::Result<bool> {
    if (relative.rfind(std::string(kControl) + "/", 0) == 0 || known.count(relative) > 0) {
      return false;
    }
    struct stat info{};
    const std::string target = root + "/" + relative;
    if (::lstat(target.c_str(), &info) == 0) return false;  // written there since
    // Each step is on the device before the next, and all before the old version is removed.
    std::set<std::string> parents;
    ARROW_RETURN_NOT_OK(CreateParents(storage, root, relative, &parents));
    ARROW_RETURN_NOT_OK(SyncDirectories(storage, parents));
    ARROW_RETURN_NOT_OK(storage->Rename(sibling + "/" + relative, target));
    ARROW_RETURN_NOT_OK(storage->SyncDirectory(ParentOf(target)));
    return true;
  };
  ARROW_ASSIGN_OR_RAISE(const int64_t bytes, RemoveTree(storage, sibling, rescue));
  result->staged_bytes_removed += bytes;
  return storage->SyncDirectory(ParentOf(root));
}

arrow::Result<int64_t> SnapshotExchange::Discard(Storage* storage, const std::string& root,
                                                 const std::string& token) {
  const std::string sibling = SiblingPath(root, token);
  struct stat info{};
  if (::lstat(sibling.c_str(), &info) != 0) return 0;
  ARROW_ASSIGN_OR_RAISE(const int64_t bytes, RemoveTree(storage, sibling));
  ARROW_RETURN_NOT_OK(storage->SyncDirectory(ParentOf(root)));
  return bytes;
}

}  // namespace floodwall
