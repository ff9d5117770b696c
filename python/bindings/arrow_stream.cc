#include "arrow_stream.h"

#include "arrow/c/abi.h"
#include "arrow/c/bridge.h"
#include "errors.h"

namespace nb = nanobind;

namespace floodwall::python {

arrow::Result<std::shared_ptr<arrow::RecordBatchReader>> ImportStream(nb::handle object) {
  nb::object capsule = object.attr("__arrow_c_stream__")();
  auto* stream =
      static_cast<ArrowArrayStream*>(PyCapsule_GetPointer(capsule.ptr(), "arrow_array_stream"));
  if (stream == nullptr) throw nb::python_error();
  return arrow::ImportRecordBatchReader(stream);  // moves the stream out of the capsule
}

arrow::Result<std::shared_ptr<arrow::Schema>> ImportSchemaOf(nb::handle object) {
  nb::object capsule = object.attr("__arrow_c_schema__")();
  auto* schema = static_cast<ArrowSchema*>(PyCapsule_GetPointer(capsule.ptr(), "arrow_schema"));
  if (schema == nullptr) throw nb::python_error();
  return arrow::ImportSchema(schema);
}

nb::object ExportStream(std::shared_ptr<arrow::RecordBatchReader> reader) {
  auto stream = std::make_unique<ArrowArrayStream>();
  ThrowStatus(arrow::ExportRecordBatchReader(std::move(reader), stream.get()));
  PyObject* capsule = PyCapsule_New(stream.get(), "arrow_array_stream", [](PyObject* self) {
    auto* owned = static_cast<ArrowArrayStream*>(PyCapsule_GetPointer(self, "arrow_array_stream"));
    if (owned->release != nullptr) owned->release(owned);  // null once somebody took it
    delete owned;
  });
  if (capsule == nullptr) {
    stream->release(stream.get());
    throw nb::python_error();
  }
  stream.release();
  return nb::steal(capsule);
}

}  // namespace floodwall::python
