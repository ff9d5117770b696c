#include "dataset/commit.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <set>
#include <sstream>

#include "dataset/commit_records.h"
#include "dataset/exchange.h"
#include "dataset/journal.h"
#include "dataset/tree.h"
#include "floodwall/error.h"
#include "spill/spill_directory.h"

namespace floodwall {
namespace {

std::string ControlDirectory(const std::string& root) { return root + "/_floodwall"; }
std::string CommittedPath(const std::string& root) { return ControlDirectory(root) + "/committed"; }
constexpr char kStagePrefix[] = "stage-";
std::string StageDirectory(const std::string& root, const std::string& token) {
  return ControlDirectory(root) + "/" + kStagePrefix + token;
}

/// Puts staged files in place. Each step may have been done before.
arrow::Status RollForward(Storage* storage, const std::string& root, const Journal& journal,
                          RecoveryResult* result) {
  const std::string stage = StageDirectory(root, journal.token);
  // A directory must be on the device before the only copy of a file moves into it.
  std::set<std::string> parents;
  for (const JournalPut& put : journal.puts) {
    ARROW_RETURN_NOT_OK(CreateParents(storage, root, put.relative_path, &parents));
  }
  ARROW_RETURN_NOT_OK(SyncDirectories(storage, parents));
  std::set<std::string> touched;
  for (const JournalPut& put : journal.puts) {
    const std::string staged = stage + "/" + put.staged_name;
    const std::string target = root + "/" + put.relative_path;
    int64_t size = 0;
    if (Exists(staged, &size)) {
      if (size != put.size_bytes) {
        return MakeError(ErrorKind::kCommit,
                         "a committed file has the wrong size: '" + staged + "'");
      }
      ARROW_RETURN_NOT_OK(storage->Rename(staged, target));
    } else {
      bool in_place = Exists(target, &size) && size == put.size_bytes;
      if (in_place) {
        ARROW_ASSIGN_OR_RAISE(const uint64_t checksum, FooterChecksum(target));
        in_place = checksum == put.checksum;
      }
      if (!in_place) {
        return MakeError(ErrorKind::kCommit,
                         "a committed file is neither staged nor in place: '" + target + "'");
      }
    }
    touched.insert(ParentOf(target));
    result->published_files.push_back(put.relative_path);
  }
  for (const std::string& path : journal.removes) {
    ARROW_RETURN_NOT_OK(storage->Unlink(root + "/" + path));
    touched.insert(ParentOf(root + "/" + path));
    result->removed_files.push_back(path);
  }
  ARROW_RETURN_NOT_OK(SyncDirectories(storage, touched));
  if (!journal.record_token.empty()) {
    ARROW_RETURN_NOT_OK(CommitRecords::Write(storage, root, journal.record_token, journal.record));
  }
  return arrow::Status::OK();
}

/// Completes a commit that has passed its commit point, and forgets it.
arrow::Status Complete(Storage* storage, const std::string& root, const Journal& journal,
                       RecoveryResult* result) {
  ARROW_RETURN_NOT_OK(journal.exchange ? SnapshotExchange::Finish(storage, root, journal, result)
                                       : RollForward(storage, root, journal, result));
  ARROW_RETURN_NOT_OK(storage->Unlink(CommittedPath(root)));
  ARROW_RETURN_NOT_OK(storage->SyncDirectory(ControlDirectory(root)));
  ARROW_ASSIGN_OR_RAISE(const int64_t removed,
                        RemoveTree(storage, StageDirectory(root, journal.token)));
  result->staged_bytes_removed += removed;
  return arrow::Status::OK();
}

/// The lock is held: whatever stands in `_floodwall/` is an earlier process's.
arrow::Result<RecoveryResult> RecoverLocked(Storage* storage, const std::string& root) {
  RecoveryResult result;
  const std::string committed = CommittedPath(root);
  if (Exists(committed)) {
    std::ifstream in(committed, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    if (!in) return MakeOsError(ErrorKind::kCommit, EIO, "cannot read the journal", committed);
    ARROW_ASSIGN_OR_RAISE(const Journal journal, Journal::Parse(text.str(), committed));
    ARROW_RETURN_NOT_OK(Complete(storage, root, journal, &result));
    result.action = RecoveryAction::kRolledForward;
  }
  for (const std::string& name : NamesIn(ControlDirectory(root))) {
    const std::string path = ControlDirectory(root) + "/" + name;
    // Spill files have no names; a killed merge leaves their directory, at most with one file.
    if (name.rfind(kStagePrefix, 0) == 0) {
      const std::string token = name.substr(std::strlen(kStagePrefix));
      ARROW_ASSIGN_OR_RAISE(const int64_t built, SnapshotExchange::Discard(storage, root, token));
      ARROW_ASSIGN_OR_RAISE(const int64_t bytes, RemoveTree(storage, path));
      result.staged_bytes_removed += built + bytes;
    } else if (name.rfind("spill-", 0) == 0) {
      const AbandonedSpill spill(path);
      if (!spill.is_abandoned()) continue;  // a plan is being made
      ARROW_ASSIGN_OR_RAISE(const int64_t bytes, RemoveTree(storage, path));
      result.staged_bytes_removed += bytes;
    } else if (name.rfind("journal-", 0) == 0) {
      ARROW_RETURN_NOT_OK(storage->Unlink(path));
    } else {
      continue;
    }
    if (result.action == RecoveryAction::kNone) result.action = RecoveryAction::kCleaned;
  }
  return result;
}

std::string MakeToken() {
  std::random_device device;
  char buffer[17];
  std::snprintf(buffer, sizeof(buffer), "%08x%08x", device(), device());
  return buffer;
}

}  // namespace

struct Commit::State {
  Storage* storage;
  std::string root;
  std::string token;
  std::atomic<int> next_name{0};
  Snapshot snapshot;
  std::function<arrow::Status()> check_stop;
  Journal journal;
  bool committed = false;

  arrow::Status CheckUnchanged(const std::vector<DatasetFile>& expected) const;
  arrow::Status WriteJournal();
  arrow::Status PublishInPlace();
  arrow::Status PublishByExchange(const std::vector<DatasetFile>& expected);
};

arrow::Result<std::unique_ptr<Commit>> Commit::Begin(Storage* storage, const std::string& root,
                                                     Snapshot snapshot) {
  ARROW_RETURN_NOT_OK(RecoverLocked(storage, root));
  auto commit = std::unique_ptr<Commit>(new Commit(storage, root, MakeToken(), snapshot));
  const std::string stage = StageDirectory(root, commit->state_->token);
  ARROW_RETURN_NOT_OK(storage->CreateDirectory(stage));
  if (snapshot == Snapshot::kExchange) {
    ARROW_RETURN_NOT_OK(SnapshotExchange::Probe(storage, root, stage + "/probe"));
  }
  return commit;
}

Commit::Commit(Storage* storage, std::string root, std::string token, Snapshot snapshot)
    : state_(std::make_unique<State>()) {
  state_->storage = storage;
  state_->snapshot = snapshot;
  state_->root = std::move(root);
  state_->token = std::move(token);
  state_->journal.token = state_->token;
}

Commit::~Commit() {
  if (state_->committed) return;
  // Best effort: what stays is removed by the next merge or recovery.
  (void)state_->storage->Unlink(ControlDirectory(state_->root) + "/journal-" + state_->token);
  if (state_->snapshot == Snapshot::kExchange &&
      !SnapshotExchange::Discard(state_->storage, state_->root, state_->token).ok()) {
    return;  // recovery finds the sibling by the stage
  }
  (void)RemoveTree(state_->storage, StageDirectory(state_->root, state_->token));
}

void Commit::StopWhen(std::function<arrow::Status()> check_stop) {
  state_->check_stop = std::move(check_stop);
}

std::string Commit::StagePath() {
  char name[32];
  std::snprintf(name, sizeof(name), "%06d.staged", state_->next_name.fetch_add(1));
  return StageDirectory(state_->root, state_->token) + "/" + name;
}

void Commit::Put(StagedChange change) {
  JournalPut put;
  put.staged_name = change.staged_path.substr(change.staged_path.rfind('/') + 1);
  put.relative_path = std::move(change.relative_path);
  put.size_bytes = change.size_bytes;
  put.checksum = change.checksum;
  state_->journal.puts.push_back(std::move(put));
}

void Commit::Remove(std::string relative_path) {
  state_->journal.removes.push_back(std::move(relative_path));
}

void Commit::Record(std::string token, std::string text) {
  state_->journal.record_token = std::move(token);
  state_->journal.record = std::move(text);
}

arrow::Status Commit::State::CheckUnchanged(const std::vector<DatasetFile>& expected) const {
  for (const DatasetFile& file : expected) {
    auto now = StatDatasetFile(root, file.relative_path);
    if (!now.ok() || now->version != file.version) {
      return MakeError(
          ErrorKind::kConflict,
          "a file of the dataset was changed by somebody else during the merge, nothing "
          "was published: '" +
              root + "/" + file.relative_path + "'");
    }
  }
  return arrow::Status::OK();
}

arrow::Status Commit::State::WriteJournal() {
  const std::string pending = ControlDirectory(root) + "/journal-" + token;
  const std::string text = journal.Serialize();
  ARROW_ASSIGN_OR_RAISE(auto file, storage->CreateFile(pending, 0644));
  ARROW_RETURN_NOT_OK(file->Write(text.data(), static_cast<int64_t>(text.size())));
  ARROW_RETURN_NOT_OK(file->Sync());
  ARROW_RETURN_NOT_OK(file->Close());
  // The stage's own name and the journal's must be on the device before `committed` is.
  ARROW_RETURN_NOT_OK(storage->SyncDirectory(ControlDirectory(root)));
  // A power cut must not keep a rename into the dataset and lose the directory that explains it.
  ARROW_RETURN_NOT_OK(storage->SyncDirectory(root));
  return storage->Rename(pending, CommittedPath(root));
}

arrow::Status Commit::State::PublishInPlace() {
  ARROW_RETURN_NOT_OK(WriteJournal());
  committed = true;
  return storage->SyncDirectory(ControlDirectory(root));
}

arrow::Status Commit::State::PublishByExchange(const std::vector<DatasetFile>& expected) {
  // Recovery finds the sibling by the stage's name: that must be on the device first.
  ARROW_RETURN_NOT_OK(storage->SyncDirectory(ControlDirectory(root)));
  ARROW_RETURN_NOT_OK(storage->SyncDirectory(root));
  ARROW_RETURN_NOT_OK(
      SnapshotExchange::Build(storage, root, StageDirectory(root, token), &journal, check_stop));
  ARROW_RETURN_NOT_OK(CheckUnchanged(expected));
  ARROW_RETURN_NOT_OK(SnapshotExchange::Swap(storage, root, token));
  committed = true;
  return arrow::Status::OK();
}

arrow::Status Commit::Publish(const std::vector<DatasetFile>& expected) {
  State& s = *state_;
  ARROW_RETURN_NOT_OK(s.CheckUnchanged(expected));
  const std::string stage = StageDirectory(s.root, s.token);
  for (const JournalPut& put : s.journal.puts) {
    int64_t size = 0;
    if (!Exists(stage + "/" + put.staged_name, &size) || size != put.size_bytes) {
      return MakeError(ErrorKind::kCommit,
                       "a staged file is missing or has the wrong size: '" + put.staged_name + "'");
    }
  }
  ARROW_RETURN_NOT_OK(s.storage->SyncDirectory(stage));
  arrow::Status status =
      s.snapshot == Snapshot::kExchange ? s.PublishByExchange(expected) : s.PublishInPlace();
  if (!s.committed) return status;
  RecoveryResult published;
  if (status.ok()) status = Complete(s.storage, s.root, s.journal, &published);
  if (status.ok()) {
    if (!s.journal.record_token.empty()) CommitRecords::Prune(s.storage, s.root);
    return status;
  }
  return status.WithMessage(status.message(),
                            "; the merge is committed: the next merge or recovery completes it");
}

bool CommitIsPending(const std::string& root) { return Exists(CommittedPath(root)); }

arrow::Result<RecoveryResult> RecoverDataset(Storage* storage, const std::string& path) {
  ARROW_ASSIGN_OR_RAISE(const DatasetListing listing, ListDataset(path));
  if (!Exists(listing.root)) {
    return MakeOsError(ErrorKind::kInvalidMerge, ENOENT, "no such dataset", path);
  }
  if (!Exists(ControlDirectory(listing.root))) return RecoveryResult{};
  ARROW_ASSIGN_OR_RAISE(auto lock, DatasetLock::Acquire(storage, listing.root));
  return RecoverLocked(storage, listing.root);
}

arrow::Result<RecoveryResult> Recover(const std::string& path) {
  return RecoverDataset(Storage::Posix(), path);
}

}  // namespace floodwall
