#pragma once

/// Parquet files as Arrow rows: the source that is read where it lies.
///
/// Threading: ArrowSchemaOf from many. Errors: kUnsupportedFile,
/// kSchemaMismatch for files that differ, OutOfMemory from the pool. Memory: one page of each
/// column read, and one batch, whose bytes are bounded where columns are flat.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arrow/record_batch.h"
#include "arrow/result.h"
#include "dataset/parquet_source.h"
#include "merge/read_row_group.h"
#include "merge/row_source.h"

namespace floodwall {

/// The files' rows in this order; their schemas must be equal.
arrow::Result<std::unique_ptr<RowSource>> OpenParquetRows(const std::vector<std::string>& paths,
                                                          RunContext* context);

/// The Arrow schema of a Parquet file as its writer stored it.
arrow::Result<std::shared_ptr<arrow::Schema>> StoredSchemaOf(const ParquetSource& file);

/// As StoredSchemaOf, string views as strings: Arrow's
/// kernels (take, cast) do not take views.
arrow::Result<std::shared_ptr<arrow::Schema>> ArrowSchemaOf(const ParquetSource& file);

}  // namespace floodwall
