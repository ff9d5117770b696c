#pragma once

/// What each strategy may do to a row.
///
/// Threading: pure functions.

#include "floodwall/merge_options.h"

namespace floodwall {

/// Rows whose key is in the source take the source's values.
inline bool ReplacesRows(MergeStrategy strategy) {
  return strategy != MergeStrategy::kInsert && strategy != MergeStrategy::kDelete;
}

/// Source rows whose key is not in the target are added.
inline bool InsertsRows(MergeStrategy strategy) {
  return strategy != MergeStrategy::kUpdate && strategy != MergeStrategy::kDelete;
}

/// Only the source's keys count.
inline bool ReadsKeysOnly(MergeStrategy strategy) { return strategy == MergeStrategy::kDelete; }

/// What becomes of several target rows with one source key.
inline TargetDuplicates DuplicatesPolicy(const MergeOptions& options) {
  return options.strategy == MergeStrategy::kDeduplicate ? TargetDuplicates::kCollapse
                                                         : options.target_duplicates;
}

/// Target rows may go away.
inline bool RemovesRows(const MergeOptions& options) {
  return options.strategy == MergeStrategy::kDelete ||
         options.strategy == MergeStrategy::kFullMerge ||
         (DuplicatesPolicy(options) == TargetDuplicates::kCollapse);
}

}  // namespace floodwall
