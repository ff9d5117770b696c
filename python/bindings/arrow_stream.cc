#include "arrow_stream.h"

#include "arrow/c/abi.h"
#include "arrow/c/bridge.h"

namespace nb = nanobind;

namespace floodwall::python {

arrow::Result<std::shared_ptr<arrow::RecordBatchReader>> ImportStream(nb::handle object) {
  nb::object capsule = object.attr("__arrow_c_stream__")();
  auto* stream =
      static_cast<ArrowArrayStream*>(PyCapsule_GetPointer(capsule.ptr(), "arrow_array_stream"));
  if (stream == nullptr) throw nb::python_error();
  return arrow::ImportRecordBatchReader(stream);  // moves the stream out of the capsule
}

}  // namespace floodwall::python
