#pragma once

/// Arrow data from Python through the C stream interface, without copies and without linking
/// libarrow_python.
///
/// Threading: the GIL is held. Lifetime: the reader owns what the capsule held.

#include <nanobind/nanobind.h>

#include <memory>

#include "arrow/record_batch.h"
#include "arrow/result.h"
#include "arrow/type_fwd.h"

namespace floodwall::python {

/// Takes the stream of an object with `__arrow_c_stream__`.
arrow::Result<std::shared_ptr<arrow::RecordBatchReader>> ImportStream(nanobind::handle object);

/// Takes the schema of an object with `__arrow_c_schema__`.
arrow::Result<std::shared_ptr<arrow::Schema>> ImportSchemaOf(nanobind::handle object);

/// A capsule of the name "arrow_array_stream" that owns the reader.
nanobind::object ExportStream(std::shared_ptr<arrow::RecordBatchReader> reader);

}  // namespace floodwall::python
