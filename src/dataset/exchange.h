#pragma once

/// The commit by exchange: the whole next version of a dataset's directory is built beside it and
/// the two change places in one step, so that a reader finds the old version or the new one.
///
/// Beside `<parent>/<name>` stands `<parent>/.<name>.floodwall-<token>`: before the exchange the
/// next version (hard links of what stays, staged files under their final names, the journal as
/// `_floodwall/committed`), after it the old one, which is then removed. The lock's file is one
/// inode in both, so whoever holds it holds it on both sides. `_floodwall/stage-<token>` stands in
/// the old version as long as the sibling may: by it recovery finds the sibling.
///
/// Directories keep mode, owner, group, access control lists and extended attributes; not their
/// times and inode numbers. Files that stay are the same inodes.
///
/// Threading: plain functions; all but Check and Probe under the dataset's lock. Errors:
/// kInvalidMerge from Check and Probe, for what can never work here; kCommit with os_error.
/// Lifetime: values.

#include <cstdint>
#include <functional>
#include <string>

#include "arrow/result.h"
#include "arrow/status.h"
#include "dataset/journal.h"
#include "dataset/listing.h"
#include "dataset/storage.h"
#include "floodwall/recovery.h"

namespace floodwall {

struct SnapshotExchange {
  /// Refuses a dataset that cannot be exchanged: a single file, a link, a mount point or one with a
  /// mount point or a linked directory inside, files of others, a parent that cannot be written, a
  /// process whose current directory is inside. Writes nothing.
  static arrow::Status Check(const DatasetListing& listing);

  /// Refuses a file system without hard links or exchange, after trying both in `directory`, which
  /// is made and removed.
  static arrow::Status Probe(Storage* storage, const std::string& root,
                             const std::string& directory);

  /// The same without the dataset's lock, in a spill directory, whose own lock keeps it and which
  /// recovery removes after a kill. A dataset that does not exist yet is not probed.
  static arrow::Status ProbeWithoutLock(Storage* storage, const std::string& root);

  static std::string SiblingPath(const std::string& root, const std::string& token);

  /// Builds and syncs the sibling from the dataset at `root` and the journal's staged files, which
  /// move there, and fills in journal->keeps. `check_stop` is asked at every file.
  static arrow::Status Build(Storage* storage, const std::string& root, const std::string& stage,
                             Journal* journal, const std::function<arrow::Status()>& check_stop);

  /// Changes the sibling and the dataset: the commit point.
  static arrow::Status Swap(Storage* storage, const std::string& root, const std::string& token);

  /// After the exchange: checks that what was put is in place and removes the old version. A file
  /// that somebody else added to it after it was copied moves to the new one.
  static arrow::Status Finish(Storage* storage, const std::string& root, const Journal& journal,
                              RecoveryResult* result);

  /// Before the exchange: removes what was built. Returns the bytes this frees.
  static arrow::Result<int64_t> Discard(Storage* storage, const std::string& root,
                                        const std::string& token);
};

}  // namespace floodwall
