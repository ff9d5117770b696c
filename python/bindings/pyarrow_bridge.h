#pragma once

/// A C++ memory pool as a pyarrow.MemoryPool, through the function that pyarrow.lib exports.
///
/// Threading: the GIL is held. Errors: raises ImportError when pyarrow lacks the function.
/// Lifetime: pyarrow keeps the raw pointer, so the pool must never be destroyed.

#include <nanobind/nanobind.h>

#include "arrow/memory_pool.h"

namespace floodwall::python {

nanobind::object BoxMemoryPool(arrow::MemoryPool* pool);

/// The pool that pyarrow allocates from now: what pa.set_memory_pool() set.
arrow::MemoryPool* CurrentPyarrowPool();

}  // namespace floodwall::python
