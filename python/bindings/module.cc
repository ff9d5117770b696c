#include <nanobind/nanobind.h>

#include "floodwall/version.h"

namespace nb = nanobind;

namespace floodwall::python {
void BindPool(nb::module_& m);
void BindChunkReader(nb::module_& m);
void BindLimits(nb::module_& m);
void BindReclaim(nb::module_& m);
void BindRun(nb::module_& m);
void BindMonitor(nb::module_& m);
void BindWatch(nb::module_& m);
void BindDiagnosis(nb::module_& m);
void BindPeakMeter(nb::module_& m);
void BindInspection(nb::module_& m);
void BindMerge(nb::module_& m);
void BindKeyMatcher(nb::module_& m);
}  // namespace floodwall::python

NB_MODULE(_core, m) {
  m.doc() = "floodwall's C++ core. Use the floodwall package, not this module.";
  m.def("version", [] { return FLOODWALL_VERSION; }, "The version of the library.");
  // Classes live as long as the process: reports at exit would only name module globals.
  nb::set_leak_warnings(false);
  floodwall::python::BindPool(m);
  floodwall::python::BindChunkReader(m);
  floodwall::python::BindLimits(m);
  floodwall::python::BindReclaim(m);
  floodwall::python::BindRun(m);
  floodwall::python::BindMonitor(m);
  floodwall::python::BindWatch(m);
  floodwall::python::BindDiagnosis(m);
  floodwall::python::BindPeakMeter(m);
  floodwall::python::BindMerge(m);
  floodwall::python::BindInspection(m);
  floodwall::python::BindKeyMatcher(m);
}
