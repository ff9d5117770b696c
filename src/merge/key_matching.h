#pragma once

/// Finds out which rows of source and target share a key, in memory or by way of spill files.
///
/// Threading: as many threads as given while in memory. Errors: kDuplicateKey by policy,
/// kSchemaMismatch, kSpill, kMemoryLimitTooSmall. Memory: within the budget. Lifetime: borrows
/// everything.

#include <memory>
#include <optional>

#include "arrow/result.h"
#include "floodwall/merge_plan.h"
#include "merge/row_bitmap.h"
#include "merge/row_source.h"
#include "merge/source_partitions.h"
#include "merge/target.h"
#include "spill/record_sorter.h"

namespace floodwall {

struct KeyMatch {
  RowBitmap wins;     ///< source rows that count
  RowBitmap matched;  ///< those whose key is in the target
  /// Those whose target rows all lie in other partitions: removed there, to be added.
  std::optional<RowBitmap> moved;
  int64_t distinct = 0;  ///< source rows that count
  int64_t dropped = 0;   ///< source rows that lost to another with their key
  int64_t removed = 0;   ///< target rows to remove
  /// Rows to replace, where their positions do not fit in the target's row groups: position and
  /// ordinal, sorted by position when the source is resident, else ordinal and position.
  std::unique_ptr<RecordSorter> spilled;
  KeyMatching method = KeyMatching::kInMemory;
};

/// Also marks what becomes of each row of the target.
arrow::Result<KeyMatch> MatchKeys(RowSource* source, const SourcePartitions& partitions,
                                  int threads, Target* target, RunContext* context);

}  // namespace floodwall
