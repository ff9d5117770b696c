#pragma once

/// The journaled commit: staged files become the dataset all together or not at all.
///
/// Layout: `<root>/_floodwall/lock` (flock, never removed), `_floodwall/stage-<token>/`
/// (files whose names never end in ".parquet"), `spill-<token>/` while a merge spills,
/// `journal-<token>` while it is written, `committed` from the commit point until publication is
/// complete. Protocol: sync staged files and their directory; write and sync the journal; rename it
/// to `committed` and sync `_floodwall/` (the commit point); rename staged files into place, unlink
/// removed ones, sync every touched directory; write the record (commit_records.h); unlink
/// `committed`; remove the stage. Every step after the commit point is idempotent, so recovery
/// repeats it from the start. Snapshot::kExchange has another commit point: see exchange.h.
///
/// Threading: one Commit belongs to one thread, StagePath to any. Errors: kCommit with
/// os_error, kConflict when another writer holds the lock or changed a file.
/// Lifetime: a Commit that was not published removes its stage when destroyed.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "arrow/status.h"
#include "dataset/listing.h"
#include "dataset/storage.h"
#include "floodwall/merge_options.h"
#include "floodwall/recovery.h"

namespace floodwall {

/// Exclusive right to change a dataset, held until destroyed; dies with its process.
class DatasetLock {
 public:
  /// Creates `_floodwall/` and its lock file when missing. Does not wait: a lock held by
  /// somebody else is kConflict naming the holder's pid where known.
  static arrow::Result<std::unique_ptr<DatasetLock>> Acquire(Storage* storage,
                                                             const std::string& root);
  ~DatasetLock();
  DatasetLock(const DatasetLock&) = delete;
  DatasetLock& operator=(const DatasetLock&) = delete;

 private:
  explicit DatasetLock(int fd) : fd_(fd) {}
  int fd_;
};

/// One file that a commit will put in place.
struct StagedChange {
  std::string staged_path;    ///< absolute, inside the stage; empty for a removal
  std::string relative_path;  ///< final place below the root
  int64_t size_bytes = 0;
  uint64_t checksum = 0;  ///< of the file's footer, checked before it is published
};

class Commit {
 public:
  /// Rolls an earlier commit forward or cleans it away, then opens a stage. The lock must
  /// be held and outlive the commit.
  static arrow::Result<std::unique_ptr<Commit>> Begin(Storage* storage, const std::string& root,
                                                      Snapshot snapshot = Snapshot::kInPlace);
  ~Commit();
  Commit(const Commit&) = delete;
  Commit& operator=(const Commit&) = delete;

  /// A fresh absolute path inside the stage. Thread-safe.
  std::string StagePath();
  /// Records a finished (written, synced, closed) staged file, new or replacing.
  void Put(StagedChange change);
  /// Records that a data file goes away.
  void Remove(std::string relative_path);

  /// Leaves `text` (not empty) with the dataset as the record of this commit, to be found by the
  /// caller's token.
  void Record(std::string token, std::string text);

  /// Asked while Publish builds the next version for an exchange; an error stops it.
  void StopWhen(std::function<arrow::Status()> check_stop);

  /// Checks that each file of `expected` is still that version (kConflict if not), that
  /// each staged file has its size, then goes through the protocol above. On an error
  /// before the commit point nothing has changed; after it, recovery completes the work,
  /// and the message says so.
  arrow::Status Publish(const std::vector<DatasetFile>& expected);

 private:
  Commit(Storage* storage, std::string root, std::string token, Snapshot snapshot);
  struct State;
  std::unique_ptr<State> state_;
};

/// Whether a commit has passed its commit point and waits for recovery, or for its writer.
bool CommitIsPending(const std::string& root);

/// Rolls a committed journal forward, else deletes stages. Takes the lock itself.
/// A dataset without `_floodwall/` is left untouched and reported clean.
arrow::Result<RecoveryResult> RecoverDataset(Storage* storage, const std::string& path);

}  // namespace floodwall
