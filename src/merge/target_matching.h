#pragma once

/// Reads the target's key columns and decides what becomes of each row: kept, replaced by a
/// source row, or removed.
///
/// Threading: MatchTarget uses up to `threads` threads, a file each. Errors: kDuplicateKey by
/// policy, kMemoryLimitTooSmall when the matched positions do not fit. Memory: positions of
/// replaced rows and one bit for each row that may be removed, in the index pool's budget.

#include "merge/row_bitmap.h"
#include "merge/source_keys.h"
#include "merge/target.h"

namespace floodwall {

struct TargetMatch {
  RowBitmap matched;  ///< source rows whose key is in the target
  int64_t removed = 0;
};

arrow::Result<TargetMatch> MatchTarget(const SourceKeys& keys, int64_t source_rows, int threads,
                                       Target* target, RunContext* context);

/// Reads the key columns of one row group of a target file, in the order of
/// options.key_columns and then of `more`.
arrow::Status ReadKeys(const std::shared_ptr<ParquetSource>& file, int row_group,
                       const std::vector<std::string>& more, RunContext* context,
                       const std::function<arrow::Status(const arrow::RecordBatch&)>& visit);

}  // namespace floodwall
