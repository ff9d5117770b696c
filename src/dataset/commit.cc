#include "dataset/commit.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "dataset/commit_records.h"
#include "dataset/journal.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

std::string ControlDirectory(const std::string& root) { return root + "/_floodwall"; }
std::string CommittedPath(const std::string& root) { return ControlDirectory(root) + "/committed"; }
std::string StageDirectory(const std::string& root, const std::string& token) {
  return ControlDirectory(root) + "/stage-" + token;
}

bool Exists(const std::string& path, int64_t* size = nullptr) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return false;
  if (size != nullptr) *size = info.st_size;
  return true;
}

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

std::vector<std::string> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> handle(::opendir(directory.c_str()), ::closedir);
  if (!handle) return names;
  while (const dirent* entry = ::readdir(handle.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

/// Removes a stage with all its files; returns their bytes.
arrow::Result<int64_t> RemoveStage(Storage* storage, const std::string& stage) {
  int64_t bytes = 0;
  for (const std::string& name : NamesIn(stage)) {
    int64_t size = 0;
    const std::string path = stage + "/" + name;
    if (Exists(path, &size)) bytes += size;
    ARROW_RETURN_NOT_OK(storage->Unlink(path));
  }
  ARROW_RETURN_NOT_OK(storage->RemoveDirectory(stage));
  return bytes;
}

/// Creates the directories of `relative_path` below root; names the ones it touched.
arrow::Status CreateParents(Storage* storage, const std::string& root,
                            const std::string& relative_path, std::set<std::string>* touched) {
  for (size_t slash = relative_path.find('/'); slash != std::string::npos;
       slash = relative_path.find('/', slash + 1)) {
    const std::string directory = root + "/" + relative_path.substr(0, slash);
    if (Exists(directory)) continue;
    ARROW_RETURN_NOT_OK(storage->CreateDirectory(directory));
    touched->insert(ParentOf(directory));
  }
  return arrow::Status::OK();
}

/// Everything after the commit point. Each step may have been done before.
arrow::Status RollForward(Storage* storage, const std::string& root, const Journal& journal,
                          RecoveryResult* result) {
  const std::string stage = StageDirectory(root, journal.token);
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
      ARROW_RETURN_NOT_OK(CreateParents(storage, root, put.relative_path, &touched));
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
  for (const std::string& directory : touched) {
    ARROW_RETURN_NOT_OK(storage->SyncDirectory(directory));
  }
  if (!journal.record_token.empty()) {
    ARROW_RETURN_NOT_OK(CommitRecords::Write(storage, root, journal.record_token, journal.record));
  }
  ARROW_RETURN_NOT_OK(storage->Unlink(CommittedPath(root)));
  ARROW_RETURN_NOT_OK(storage->SyncDirectory(ControlDirectory(root)));
  ARROW_ASSIGN_OR_RAISE(const int64_t removed, RemoveStage(storage, stage));
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
    ARROW_RETURN_NOT_OK(RollForward(storage, root, journal, &result));
    result.action = RecoveryAction::kRolledForward;
  }
  for (const std::string& name : NamesIn(ControlDirectory(root))) {
    const std::string path = ControlDirectory(root) + "/" + name;
    // Spill files have no names; a killed merge leaves their directory, at most with one file.
    if (name.rfind("stage-", 0) == 0 || name.rfind("spill-", 0) == 0) {
      ARROW_ASSIGN_OR_RAISE(const int64_t bytes, RemoveStage(storage, path));
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
  Journal journal;
  bool committed = false;
};

arrow::Result<std::unique_ptr<Commit>> Commit::Begin(Storage* storage, const std::string& root) {
  ARROW_RETURN_NOT_OK(RecoverLocked(storage, root));
  auto commit = std::unique_ptr<Commit>(new Commit(storage, root, MakeToken()));
  ARROW_RETURN_NOT_OK(storage->CreateDirectory(StageDirectory(root, commit->state_->token)));
  return commit;
}

Commit::Commit(Storage* storage, std::string root, std::string token)
    : state_(std::make_unique<State>()) {
  state_->storage = storage;
  state_->root = std::move(root);
  state_->token = std::move(token);
  state_->journal.token = state_->token;
}

Commit::~Commit() {
  if (state_->committed) return;
  // Best effort: what stays is removed by the next merge or recovery.
  (void)state_->storage->Unlink(ControlDirectory(state_->root) + "/journal-" + state_->token);
  (void)RemoveStage(state_->storage, StageDirectory(state_->root, state_->token));
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

arrow::Status Commit::Publish(const std::vector<DatasetFile>& expected) {
  State& s = *state_;
  for (const DatasetFile& file : expected) {
    auto now = StatDatasetFile(s.root, file.relative_path);
    if (!now.ok() || now->version != file.version) {
      return MakeError(
          ErrorKind::kConflict,
          "a file of the dataset was changed by somebody else during the merge, nothing "
          "was published: '" +
              s.root + "/" + file.relative_path + "'");
    }
  }
  const std::string stage = StageDirectory(s.root, s.token);
  for (const JournalPut& put : s.journal.puts) {
    int64_t size = 0;
    if (!Exists(stage + "/" + put.staged_name, &size) || size != put.size_bytes) {
      return MakeError(ErrorKind::kCommit,
                       "a staged file is missing or has the wrong size: '" + put.staged_name + "'");
    }
  }
  ARROW_RETURN_NOT_OK(s.storage->SyncDirectory(stage));
  const std::string pending = ControlDirectory(s.root) + "/journal-" + s.token;
  const std::string text = s.journal.Serialize();
  ARROW_ASSIGN_OR_RAISE(auto file, s.storage->CreateFile(pending, 0644));
  ARROW_RETURN_NOT_OK(file->Write(text.data(), static_cast<int64_t>(text.size())));
  ARROW_RETURN_NOT_OK(file->Sync());
  ARROW_RETURN_NOT_OK(file->Close());
  // The stage's own name and the journal's must be on the device before `committed` is.
  ARROW_RETURN_NOT_OK(s.storage->SyncDirectory(ControlDirectory(s.root)));
  ARROW_RETURN_NOT_OK(s.storage->Rename(pending, CommittedPath(s.root)));
  s.committed = true;
  RecoveryResult published;
  arrow::Status status = s.storage->SyncDirectory(ControlDirectory(s.root));
  if (status.ok()) status = RollForward(s.storage, s.root, s.journal, &published);
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
