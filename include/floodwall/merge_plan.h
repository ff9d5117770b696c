#pragma once

/// What a merge would do, need and cost, found out without doing it.
///
/// Keys are matched as the merge matches them, so counts are exact; bytes are estimated as if every
/// matched row changed, from the sizes in footers. Nothing in the dataset is changed and no lock is
/// taken; keys that do not fit the memory are spilled meanwhile, as the merge spills them.
///
/// Threading: may run in any thread. Errors: those of Merge, for the same reasons, but
/// kMemoryLimitTooSmall only where not even the keys can be matched: what the rest needs is in the
/// plan. kConflict while an interrupted commit waits for its completion. Units: bytes, rows.
/// Lifetime: values only.

#include <cstdint>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "floodwall/export.h"
#include "floodwall/merge.h"

namespace floodwall {

/// How keys of source and target find each other.
enum class KeyMatching {
  kInMemory,     ///< the source's keys in one table, one pass over the target's
  kInPasses,     ///< the source's keys in parts, a pass over the target's for each
  kPartitioned,  ///< both sides dealt out to spill files, part by part
};

struct MergePlan {
  MergeStrategy strategy = MergeStrategy::kUpsert;
  int64_t limit_bytes = 0;
  /// A max_memory that suffices. The merge may do with less: worst cases are summed up.
  int64_t minimum_memory_bytes = 0;
  KeyMatching key_matching = KeyMatching::kInMemory;
  bool spills_rows = false;  ///< the new values of matched rows go through spill files

  // As in MergeResult, exact; what of `updated` is unchanged only the merge finds out.
  int64_t source_count = 0;
  int64_t target_count_before = 0;
  int64_t target_count_after = 0;
  int64_t inserted = 0;
  int64_t updated = 0;
  int64_t deleted = 0;
  int64_t duplicates_dropped = 0;

  int64_t row_groups = 0;          ///< of the target
  int64_t touched_row_groups = 0;  ///< those with rows to replace or to remove
  /// The target's files; sizes of those to be rewritten are estimated.
  std::vector<MergeFileMetadata> files;

  // To be compared with the figures of MergeResult.
  int64_t estimated_bytes_read = 0;
  int64_t estimated_bytes_written = 0;
  int64_t estimated_bytes_copied = 0;
  int64_t estimated_bytes_encoded = 0;
  int64_t estimated_bytes_spilled = 0;
};

/// Plans Merge(source, path, options). A source that is a stream is used up.
FLOODWALL_EXPORT arrow::Result<MergePlan> PlanMerge(const MergeSource& source,
                                                    const std::string& path,
                                                    const MergeOptions& options);

}  // namespace floodwall
