#pragma once

/// arrow::Status as Python exceptions: the only place where the library's errors are thrown.
///
/// Threading: the GIL is held. Lifetime: exception classes come from floodwall.errors.

#include <utility>

#include "arrow/result.h"
#include "arrow/status.h"

namespace floodwall::python {

/// Raises the exception that fits a failed status (floodwall.errors, pyarrow's or a builtin).
[[noreturn]] void Throw(const arrow::Status& status);

inline void ThrowStatus(const arrow::Status& status) {
  if (!status.ok()) Throw(status);
}

template <typename T>
T ValueOrThrow(arrow::Result<T> result) {
  if (!result.ok()) Throw(result.status());
  return std::move(result).ValueUnsafe();
}

}  // namespace floodwall::python
