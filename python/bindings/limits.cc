#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include "errors.h"
#include "floodwall/limit_scope.h"
#include "pyarrow_bridge.h"

namespace nb = nanobind;

namespace floodwall::python {

void BindLimits(nb::module_& m) {
  nb::class_<LimitScope>(m, "LimitScope")
      .def_static(
          "enter",
          [](std::string name, int64_t limit_bytes, bool deny) {
            return LimitScope::Enter(std::move(name), limit_bytes,
                                     deny ? OnExceed::kDeny : OnExceed::kRecord);
          },
          nb::arg("name"), nb::arg("limit_bytes"), nb::arg("deny"))
      .def("leave", &LimitScope::Leave)
      .def_prop_ro("budget", &LimitScope::budget)
      .def_prop_ro("denied_count", &LimitScope::denied_count)
      .def_prop_ro("overdraft_count", &LimitScope::overdraft_count)
      .def("raise_last_refusal",
           [](const LimitScope& scope) { ThrowStatus(scope.last_refusal()); });

  m.def("routing_pool", [] { return BoxMemoryPool(RoutingPool::Instance()); });
  m.def("routing_pool_is_installed",
        [] { return CurrentPyarrowPool() == RoutingPool::Instance(); });
  // False where the system has no way to do it.
  m.def(
      "route_defaults",
      [](bool on) {
        const arrow::Status status = RoutingPool::RouteDefaults(on);
        if (!status.IsNotImplemented()) ThrowStatus(status);
        return status.ok();
      },
      nb::arg("on"));
  m.def("route_from_current_pool",
        [] { RoutingPool::Instance()->set_upstream(CurrentPyarrowPool()); });
}

}  // namespace floodwall::python
