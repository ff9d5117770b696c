#include "errors.h"

#include <nanobind/nanobind.h>

#include <string>

#include "floodwall/error.h"

namespace nb = nanobind;

namespace floodwall::python {
namespace {

const char* ClassOf(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kMemoryLimitExceeded: return "MemoryLimitExceeded";
    case ErrorKind::kMemoryLimitTooSmall: return "MemoryLimitTooSmall";
    case ErrorKind::kDuplicateKey: return "DuplicateKeyError";
    case ErrorKind::kPartitionMove: return "PartitionMoveError";
    case ErrorKind::kSchemaMismatch: return "SchemaMismatchError";
    case ErrorKind::kUnsupportedFile: return "UnsupportedFileError";
    case ErrorKind::kInvalidMerge: return "MergeError";
    case ErrorKind::kConflict: return "ConflictError";
    case ErrorKind::kSpill: return "SpillError";
    case ErrorKind::kCommit: return "CommitError";
    case ErrorKind::kCancelled: return "CancelledError";
  }
  return "MergeError";
}

nb::object MakeException(const arrow::Status& status, const ErrorDetail& detail) {
  nb::object cls = nb::module_::import_("floodwall.errors").attr(ClassOf(detail.kind));
  const nb::str message(status.message().c_str());
  switch (detail.kind) {
    case ErrorKind::kMemoryLimitExceeded:
    case ErrorKind::kMemoryLimitTooSmall: {
      nb::list holders;
      for (const auto& [name, bytes] : detail.holders) {
        holders.append(nb::make_tuple(nb::str(name.c_str()), nb::int_(bytes)));
      }
      nb::object error =
          cls(message, detail.requested_bytes, detail.limit_bytes, detail.used_bytes, holders);
      if (detail.kind == ErrorKind::kMemoryLimitTooSmall) {
        error.attr("minimum_bytes") = detail.minimum_bytes;
      }
      return error;
    }
    case ErrorKind::kPartitionMove:
    case ErrorKind::kDuplicateKey: {
      nb::list examples;
      for (const std::string& example : detail.examples) examples.append(nb::str(example.c_str()));
      return cls(message, examples);
    }
    case ErrorKind::kSpill:
    case ErrorKind::kCommit:
      if (detail.os_error != 0) return cls(detail.os_error, message);
      return cls(message);
    default: return cls(message);
  }
}

nb::object Builtin(const char* name) { return nb::module_::import_("builtins").attr(name); }

nb::object ForeignClass(const arrow::Status& status) {
  switch (status.code()) {
    case arrow::StatusCode::OutOfMemory:
      return nb::module_::import_("pyarrow").attr("ArrowMemoryError");
    case arrow::StatusCode::Invalid:
    case arrow::StatusCode::SerializationError: return Builtin("ValueError");
    case arrow::StatusCode::TypeError: return Builtin("TypeError");
    case arrow::StatusCode::KeyError: return Builtin("KeyError");
    case arrow::StatusCode::NotImplemented: return Builtin("NotImplementedError");
    case arrow::StatusCode::IOError: return Builtin("OSError");
    default: return Builtin("RuntimeError");
  }
}

}  // namespace

void Throw(const arrow::Status& status) {
  nb::object error;
  if (const ErrorDetail* detail = ErrorDetail::From(status)) {
    error = MakeException(status, *detail);
  } else {
    error = ForeignClass(status)(nb::str(status.message().c_str()));
  }
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw nb::python_error();
}

}  // namespace floodwall::python
