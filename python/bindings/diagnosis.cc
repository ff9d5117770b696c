#include "floodwall/diagnosis.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstring>
#include <memory>

#include "errors.h"
#include "floodwall/memory_monitor.h"
#include "monitor.h"

namespace nb = nanobind;

namespace floodwall::python {
namespace {

nb::object Known(const Reading& reading) {
  return reading.known() ? nb::cast(reading.value) : nb::object(nb::none());
}

std::string ErrorText(int error) { return error == 0 ? "" : std::strerror(error); }

nb::dict DiagnoseNow() {
  Diagnosis found;
  {
    nb::gil_scoped_release release;
    found = Diagnose();
  }
  nb::list sources, levels, hints;
  for (const SourceCheck& source : found.sources) {
    nb::dict item;
    item["name"] = source.name;
    item["errno"] = source.error;
    item["error"] = ErrorText(source.error);
    sources.append(item);
  }
  for (const CgroupCheck& level : found.levels) {
    nb::dict item;
    item["directory"] = level.directory;
    item["limit_bytes"] = Known(level.limit);
    item["limit_error"] = ErrorText(level.limit.known() ? 0 : level.limit.error);
    item["soft_limit_bytes"] = Known(level.soft_limit);
    item["charged_bytes"] = Known(level.charged);
    item["used_bytes"] = Known(level.used);
    levels.append(item);
  }
  for (const std::string& hint : found.hints) hints.append(hint);
  nb::dict out;
  out["sources"] = sources;
  out["cgroup_version"] = found.cgroup_version;
  out["confident"] = found.confident;
  out["has_hidden_ancestors"] = found.has_hidden_ancestors;
  out["levels"] = levels;
  out["hints"] = hints;
  out["cpu_quota"] = found.cpu_quota ? nb::cast(*found.cpu_quota) : nb::object(nb::none());
  return out;
}

/// Another process seen from this one. Its Arrow figures are its own affair: they stay unknown.
class ProcessView {
 public:
  ProcessView(int64_t pid, double min_available_mb) {
    MemoryMonitorOptions options;
    options.probe = MemoryProbe::OfProcess(pid);
    monitor_ = ValueOrThrow(MemoryMonitor::Make(options));
    ThrowStatus(monitor_->set_min_available_bytes(min_available_mb * 1048576));
  }

  nb::dict Snapshot() const {
    MemorySnapshot snapshot;
    {
      nb::gil_scoped_release release;
      snapshot = monitor_->Snapshot();
    }
    snapshot.arrow_bytes = snapshot.arrow_all_pools_bytes = snapshot.arrow_peak_bytes =
        snapshot.unmanaged_bytes = std::nullopt;
    for (const char* field :
         {"arrow_bytes", "arrow_all_pools_bytes", "arrow_peak_bytes", "unmanaged_bytes"}) {
      snapshot.sources.erase(field);
      snapshot.errors[field] = "only the process itself knows it";
    }
    return ToDict(snapshot);
  }

  nb::tuple Verdict() const {
    MemoryVerdict verdict;
    {
      nb::gil_scoped_release release;
      verdict = monitor_->Verdict();
    }
    return nb::make_tuple(LevelOf(verdict.level), verdict.constraint, verdict.sentence);
  }

 private:
  std::unique_ptr<MemoryMonitor> monitor_;
};

}  // namespace

void BindDiagnosis(nb::module_& m) {
  m.def("diagnose", &DiagnoseNow, nb::sig("def diagnose() -> dict[str, typing.Any]"),
        "Return what the probe finds: files with their errno, the container's levels, hints.");
  nb::class_<ProcessView>(m, "ProcessView")
      .def(nb::init<int64_t, double>(), nb::arg("pid"), nb::arg("min_available_mb"))
      .def("snapshot", &ProcessView::Snapshot,
           nb::sig("def snapshot(self) -> dict[str, typing.Any]"))
      .def("verdict", &ProcessView::Verdict,
           nb::sig("def verdict(self) -> tuple[typing.Any, str, str]"));
}

}  // namespace floodwall::python
