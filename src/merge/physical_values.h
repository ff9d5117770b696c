#pragma once

/// Arrow values as the physical values of a Parquet column, by way of Parquet's own writer, so
/// that every logical type is converted exactly as that writer would.
///
/// Threading: values. Errors: kSchemaMismatch when the values do not fit the column's type or
/// nulls meet a required column. Lifetime: byte arrays point into `pages`.

#include <memory>
#include <vector>

#include "arrow/array.h"
#include "arrow/buffer.h"
#include "arrow/result.h"
#include "floodwall/guarded_pool.h"
#include "parquet/column_reader.h"
#include "parquet/schema.h"

namespace floodwall {

/// One uncompressed PLAIN page with the values of a flat column, and a reader at its start.
struct PlainPage {
  std::shared_ptr<arrow::Buffer> pages;
  std::shared_ptr<parquet::ColumnReader> reader;
  int64_t length = 0;
};

/// The values as the column's Arrow type, cast safely; null `values`: `length` nulls.
arrow::Result<std::shared_ptr<arrow::Array>> FitToColumn(std::shared_ptr<arrow::Array> values,
                                                         int64_t length,
                                                         const parquet::ColumnDescriptor* column,
                                                         GuardedPool* pool);

/// `values` is cast (safely) to the column's Arrow type first. Null `values`: `length` nulls.
arrow::Result<PlainPage> EncodePlain(std::shared_ptr<arrow::Array> values, int64_t length,
                                     const parquet::ColumnDescriptor* column, GuardedPool* pool);

}  // namespace floodwall
