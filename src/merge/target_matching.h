#pragma once

/// Reads the target's key columns and decides what becomes of each row: kept, replaced by a
/// source row, or removed.
///
/// Threading: MatchTarget uses up to `threads` threads, a file each. Errors: kDuplicateKey and
/// kPartitionMove by policy, kMemoryLimitTooSmall when the matched positions do not fit. Memory:
/// positions of replaced rows and one bit for each row that may be removed, in the index pool's
/// budget.

#include <optional>

#include "merge/row_bitmap.h"
#include "merge/row_group_pruning.h"
#include "merge/source_keys.h"
#include "merge/source_partitions.h"
#include "merge/target.h"

namespace floodwall {

struct TargetMatch {
  RowBitmap matched;  ///< source rows whose key is in the target
  /// Those whose target rows all lie in other partitions: removed there, to be added.
  std::optional<RowBitmap> moved;
  int64_t removed = 0;
};

arrow::Result<TargetMatch> MatchTarget(const SourceKeys& keys, const SourcePartitions& partitions,
                                       int64_t source_rows, int threads, Target* target,
                                       RunContext* context);

/// Visits every key of the target that may be one of the source's, in order, with the position of
/// the batch's first row.
arrow::Status ForEachTargetKey(
    const Target& target, const KeySchema& schema, const KeyRanges& ranges, RunContext* context,
    const std::function<arrow::Status(const KeyBatch&, int64_t first)>& visit);

/// Reads the key columns of one row group of a target file, in the order of options.key_columns
/// and then of `more`; partition columns come from the file's path.
arrow::Status ReadKeys(const Target& target, const TargetFile& file,
                       const std::shared_ptr<ParquetSource>& opened, int row_group,
                       const std::vector<std::string>& more, RunContext* context,
                       const std::function<arrow::Status(const arrow::RecordBatch&)>& visit);

/// The same for the rows that are kept, with the row of each batch's first.
arrow::Status ReadKeptKeys(
    const Target& target, const TargetFile& file, const std::shared_ptr<ParquetSource>& opened,
    int row_group, const std::vector<std::string>& more, const KeptRows& kept, RunContext* context,
    const std::function<arrow::Status(int64_t row, const arrow::RecordBatch&)>& visit);

}  // namespace floodwall
