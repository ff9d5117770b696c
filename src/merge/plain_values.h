#pragma once

/// Arrow values without views and dictionaries: what kernels, the spill and Parquet's column
/// writers all take.
///
/// Threading: pure. Errors: OutOfMemory from the pool, kernels' own for nested dictionaries.
/// Lifetime: results share buffers with the input where nothing had to be changed.

#include <cstdint>
#include <memory>
#include <span>

#include "arrow/array.h"
#include "arrow/chunked_array.h"
#include "arrow/memory_pool.h"
#include "arrow/result.h"

namespace floodwall {

bool IsView(const arrow::DataType& type);

/// A view as string or binary; other types as they are.
std::shared_ptr<arrow::DataType> WithoutView(const std::shared_ptr<arrow::DataType>& type);

/// Also dictionaries as their values' type, at any depth.
std::shared_ptr<arrow::DataType> PlainType(const std::shared_ptr<arrow::DataType>& type);

/// The values in PlainType of their type.
arrow::Result<std::shared_ptr<arrow::Array>> PlainValues(std::shared_ptr<arrow::Array> values,
                                                         arrow::MemoryPool* pool);

/// Copies the views at the given positions of a column into plain strings.
arrow::Result<std::shared_ptr<arrow::Array>> GatherViews(const arrow::ChunkedArray& column,
                                                         std::span<const int64_t> positions,
                                                         arrow::MemoryPool* pool);

/// Bytes of the values themselves, whatever buffers hold them: equal for equal values.
int64_t LogicalBytes(const arrow::Array& values);

}  // namespace floodwall
