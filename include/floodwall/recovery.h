#pragma once

/// What an interrupted merge left behind, and putting it right.
///
/// Threading: safe from any thread; takes the dataset's lock. Errors: kConflict while a
/// merge runs, kCommit when the file system refuses. Lifetime: values only.

#include <cstdint>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "floodwall/export.h"

namespace floodwall {

enum class RecoveryAction {
  kNone,           ///< nothing was left behind
  kRolledForward,  ///< a committed merge was completed: the dataset is the new one
  kCleaned,        ///< an uncommitted merge was removed: the dataset is the old one
};

struct RecoveryResult {
  RecoveryAction action = RecoveryAction::kNone;
  std::vector<std::string> published_files;  ///< relative paths put in place
  std::vector<std::string> removed_files;    ///< relative paths of data files removed
  int64_t staged_bytes_removed = 0;
};

/// Rolls an interrupted commit of the dataset at `path` forward, or cleans it away.
FLOODWALL_EXPORT arrow::Result<RecoveryResult> Recover(const std::string& path);

}  // namespace floodwall
