#pragma once

/// An Arrow array as a pyarrow.Array, through the C data interface.
///
/// Threading: the GIL is held. Errors: raises what pyarrow raises. Lifetime: the Python object
/// shares the buffers.

#include <nanobind/nanobind.h>

#include "arrow/array.h"

namespace floodwall::python {

nanobind::object ToPyarrow(const arrow::Array& array);

}  // namespace floodwall::python
