#pragma once

/// Arrow data from Python through the C stream interface, without copies and without linking
/// libarrow_python.
///
/// Threading: the GIL is held. Lifetime: the reader owns what the capsule held.

#include <nanobind/nanobind.h>

#include <memory>

#include "arrow/record_batch.h"
#include "arrow/result.h"

namespace floodwall::python {

/// Takes the stream of an object with `__arrow_c_stream__`.
arrow::Result<std::shared_ptr<arrow::RecordBatchReader>> ImportStream(nanobind::handle object);

}  // namespace floodwall::python
