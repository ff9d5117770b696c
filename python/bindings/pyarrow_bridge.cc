#include "pyarrow_bridge.h"

namespace nb = nanobind;

namespace floodwall::python {

nb::object BoxMemoryPool(arrow::MemoryPool* pool) {
  using Box = PyObject* (*)(arrow::MemoryPool*);
  nb::object capsule = nb::module_::import_("pyarrow.lib").attr("__pyx_capi__")["box_memory_pool"];
  void* address = PyCapsule_GetPointer(capsule.ptr(), "PyObject *( arrow::MemoryPool *)");
  if (address == nullptr) throw nb::python_error();
  PyObject* boxed = reinterpret_cast<Box>(address)(pool);
  if (boxed == nullptr) throw nb::python_error();
  return nb::steal(boxed);
}

}  // namespace floodwall::python
