#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "errors.h"
#include "floodwall/bytes.h"
#include "floodwall/guarded_pool.h"
#include "pyarrow_bridge.h"

namespace nb = nanobind;

namespace floodwall::python {

void BindPool(nb::module_& m) {
  m.def(
      "parse_byte_size", [](const std::string& text) { return ValueOrThrow(ParseByteSize(text)); },
      nb::arg("text"), "Bytes in a size such as '256MiB'.");
  m.def("format_bytes", &FormatBytes, nb::arg("bytes"), "A size for people, such as '128.0 MiB'.");

  nb::class_<Budget>(m, "Budget")
      .def_static("make", &Budget::Make, nb::arg("name"), nb::arg("limit_bytes"),
                  nb::arg("parent").none())
      .def(
          "reserve", [](Budget& b, int64_t bytes) { ThrowStatus(b.Reserve(bytes)); },
          nb::arg("bytes"))
      .def("release", &Budget::Release, nb::arg("bytes"))
      .def("report", &Budget::Report)
      .def_prop_ro("name", [](const Budget& b) { return b.name(); })
      .def_prop_ro("limit_bytes", &Budget::limit_bytes)
      .def_prop_ro("used_bytes", &Budget::used_bytes)
      .def_prop_ro("peak_bytes", &Budget::peak_bytes)
      .def_prop_ro("children", &Budget::children)
      .def_prop_ro("holders", &Budget::Holders);

  // Pools are immortal in C++: Python objects are views that own nothing.
  nb::class_<GuardedPool>(m, "GuardedPool")
      .def_static(
          "make",
          [](std::shared_ptr<Budget> budget, bool from_system) {
            return GuardedPool::Make(std::move(budget), OnExceed::kDeny,
                                     from_system ? arrow::system_memory_pool() : nullptr);
          },
          nb::arg("budget"), nb::arg("from_system") = false, nb::rv_policy::reference)
      .def("arrow_pool", [](GuardedPool& pool) { return BoxMemoryPool(&pool); })
      .def("release_unused", &GuardedPool::ReleaseUnused, nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("bytes_allocated", &GuardedPool::bytes_allocated)
      .def_prop_ro("max_memory", &GuardedPool::max_memory)
      .def_prop_ro("total_bytes_allocated", &GuardedPool::total_bytes_allocated)
      .def_prop_ro("denied_count", &GuardedPool::denied_count);
}

}  // namespace floodwall::python
