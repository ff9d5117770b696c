#pragma once

/// The rule by which source values enter a target column, replaced and new rows alike.
///
/// Threading: pure. Errors: kSchemaMismatch naming the column, OutOfMemory from the pool.
/// Lifetime: the result shares buffers with `values` where nothing had to be cast.

#include <memory>
#include <string>

#include "arrow/array.h"
#include "arrow/memory_pool.h"
#include "arrow/result.h"

namespace floodwall {

/// Casts safely (no overflow, no truncation) to `type`; nulls need a nullable column.
arrow::Result<std::shared_ptr<arrow::Array>> FitValues(std::shared_ptr<arrow::Array> values,
                                                       const std::shared_ptr<arrow::DataType>& type,
                                                       bool nullable, const std::string& column,
                                                       arrow::MemoryPool* pool);

}  // namespace floodwall
