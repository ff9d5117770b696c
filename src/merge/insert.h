#pragma once

/// Writes source rows without a match into new files.
///
/// Row groups and files are cut by the data and the options, never by the budget: where a row
/// group's rows do not fit, its columns are read one after another. Row groups of a Parquet source
/// that are new as a whole are copied where they look like those that would be written.
///
/// Threading: one thread. Errors: kSchemaMismatch for values that do not fit, kCommit from
/// the staged files, kMemoryLimitTooSmall. Memory: an encoder and the rows of a window, or of
/// one column what reading it takes; with
/// partitions 8 bytes a new row. Lifetime: borrows everything.

#include <cstdint>
#include <string>
#include <vector>

#include "dataset/commit.h"
#include "merge/row_source.h"
#include "merge/source_partitions.h"
#include "merge/target.h"

namespace floodwall {

struct InsertedFile {
  std::string staged_path;
  std::string relative_path;
  int64_t num_rows = 0;
  int64_t size_bytes = 0;
};

/// Inserts the source rows whose bit is set in `wanted` (their number in `count`), partition by
/// partition, in source order, with the columns of the target (those of its newest file first, then
/// new ones by policy) or, without files, the source's.
arrow::Result<std::vector<InsertedFile>> InsertRows(const Target& target, RowSource* source,
                                                    const SourcePartitions& partitions,
                                                    const RowBitmap& wanted, int64_t count,
                                                    Storage* storage, Commit* commit,
                                                    RunContext* context);

}  // namespace floodwall
