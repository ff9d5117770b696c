#include "arrow_array.h"

#include <memory>

#include "arrow/c/abi.h"
#include "arrow/c/bridge.h"
#include "errors.h"

namespace nb = nanobind;

namespace floodwall::python {
namespace {

/// A capsule that releases what its taker left in it.
template <typename T>
nb::object Capsule(std::unique_ptr<T> value, const char* name) {
  PyObject* capsule = PyCapsule_New(value.get(), name, [](PyObject* self) {
    auto* kept = static_cast<T*>(PyCapsule_GetPointer(self, PyCapsule_GetName(self)));
    if (kept->release != nullptr) kept->release(kept);
    delete kept;
  });
  if (capsule == nullptr) throw nb::python_error();
  static_cast<void>(value.release());
  return nb::steal(capsule);
}

}  // namespace

nb::object ToPyarrow(const arrow::Array& array) {
  auto data = std::make_unique<ArrowArray>();
  auto schema = std::make_unique<ArrowSchema>();
  ThrowStatus(arrow::ExportArray(array, data.get(), schema.get()));
  nb::object schema_capsule = Capsule(std::move(schema), "arrow_schema");
  nb::object array_capsule = Capsule(std::move(data), "arrow_array");
  return nb::module_::import_("pyarrow").attr("Array").attr("_import_from_c_capsule")(
      schema_capsule, array_capsule);
}

}  // namespace floodwall::python
