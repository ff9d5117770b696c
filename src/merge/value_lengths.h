#pragma once

/// How long single values are: what slices of rows are cut by, so that cells of megabytes are
/// not taken a thousand at a time.
///
/// Threading: pure. Errors: none. Units: bytes of the value itself, 0 for null; of nested values
/// about that. Lifetime: borrows the column.

#include <cstdint>

#include "arrow/array.h"
#include "arrow/chunked_array.h"
#include "arrow/type.h"

namespace floodwall {

/// The length that every value of a type has; 0 where they differ.
int64_t FixedLength(const arrow::DataType& type);

/// The length of one value. Dictionaries count as what they stand for.
int64_t LengthAt(const arrow::Array& values, int64_t row);

/// Of the longest value; for nested values an upper bound.
int64_t LongestValue(const arrow::Array& values);
int64_t LongestValue(const arrow::ChunkedArray& values);

}  // namespace floodwall
