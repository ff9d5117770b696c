#pragma once

/// Parquet files as Arrow rows: the source that is read where it lies, and what else reads a
/// row group.
///
/// Threading: ReadRowGroup and ArrowSchemaOf from many. Errors: kUnsupportedFile,
/// kSchemaMismatch for files that differ, OutOfMemory from the pool. Memory: one page of each
/// column read, and one batch.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arrow/record_batch.h"
#include "arrow/result.h"
#include "dataset/parquet_source.h"
#include "merge/row_source.h"

namespace floodwall {

/// The files' rows in this order; their schemas must be equal.
arrow::Result<std::unique_ptr<RowSource>> OpenParquetRows(const std::vector<std::string>& paths,
                                                          RunContext* context);

/// Decodes columns (top-level field names) of one row group, batch by batch, one page of each
/// column in memory. String views come as strings.
arrow::Status ReadRowGroup(const std::shared_ptr<ParquetSource>& file, int row_group,
                           const std::vector<std::string>& columns, int64_t batch_rows,
                           arrow::MemoryPool* pool,
                           const std::function<arrow::Status(const arrow::RecordBatch&)>& visit);

/// The Arrow schema of a Parquet file as its writer stored it.
arrow::Result<std::shared_ptr<arrow::Schema>> StoredSchemaOf(const ParquetSource& file);

/// As StoredSchemaOf, string views as strings: Arrow's
/// kernels (take, cast) do not take views.
arrow::Result<std::shared_ptr<arrow::Schema>> ArrowSchemaOf(const ParquetSource& file);

}  // namespace floodwall
