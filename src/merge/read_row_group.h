#pragma once

/// Reads columns of one row group as Arrow batches, and tells before what that takes.
///
/// Threading: from many. Errors: kUnsupportedFile, OutOfMemory from the pool. Units: bytes, rows.
/// Memory: one page of each column, its dictionary, and one batch, whose bytes are bounded where
/// columns are flat.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arrow/record_batch.h"
#include "arrow/result.h"
#include "dataset/parquet_source.h"
#include "dataset/selected_pages.h"
#include "floodwall/guarded_pool.h"

namespace floodwall {

/// A batch has fewer rows than asked for where their byte arrays would take more than this, or
/// more than the largest page.
constexpr int64_t kMostBatchBytes = 2 << 20;

/// Upper bound of the memory that ReadRowGroup takes for a column of a row group: pages,
/// dictionary, and a batch while it is made.
arrow::Result<int64_t> ReadNeed(const std::shared_ptr<ParquetSource>& file, int row_group,
                                const std::string& column, int64_t batch_rows, GuardedPool* pool);

/// Decodes columns (top-level field names) of one row group, batch by batch, one page of each
/// column in memory. String views come as strings.
arrow::Status ReadRowGroup(const std::shared_ptr<ParquetSource>& file, int row_group,
                           const std::vector<std::string>& columns, int64_t batch_rows,
                           GuardedPool* pool,
                           const std::function<arrow::Status(const arrow::RecordBatch&)>& visit);

/// The same for some rows (ascending, apart), with the row of each batch's first. Where `pages` is
/// given, only they are read: it has all pages of the columns that have these rows.
arrow::Status ReadRows(
    const std::shared_ptr<ParquetSource>& file, int row_group,
    const std::vector<std::string>& columns, int64_t batch_rows, GuardedPool* pool,
    const std::vector<RowRange>& rows, const SelectedPages* pages,
    const std::function<arrow::Status(int64_t row, const arrow::RecordBatch&)>& visit);

}  // namespace floodwall
