#pragma once

/// How decimals lie in byte arrays of a Parquet file, for all that is written into one column.
///
/// Arrow's writer pads a decimal to the bytes that its precision needs. The format lets a fixed
/// column be wider, and writers like DuckDB make it so, or store decimals in byte arrays of any
/// length. So decimals are laid out here, and given to Arrow as the bytes they are.
///
/// Threading: pure. Errors: kSchemaMismatch for a value that needs more bytes than the column has,
/// OutOfMemory. Memory: values of changed layout are copied, from the pool. Lifetime: results
/// share buffers with what did not change.

#include <memory>
#include <string>

#include "arrow/array.h"
#include "arrow/memory_pool.h"
#include "arrow/result.h"
#include "parquet/schema.h"

namespace floodwall {

/// The Arrow type that is written for values of `type` in the column below `node`: decimals that
/// the column keeps in byte arrays are binary, all else stays.
arrow::Result<std::shared_ptr<arrow::DataType>> StoredType(
    const parquet::schema::Node& node, const std::shared_ptr<arrow::DataType>& type);

/// The values in that type.
arrow::Result<std::shared_ptr<arrow::Array>> StoredValues(
    std::shared_ptr<arrow::Array> values, const std::shared_ptr<arrow::DataType>& stored,
    const std::string& column, arrow::MemoryPool* pool);

}  // namespace floodwall
