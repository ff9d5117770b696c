#include <dlfcn.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>

#include "errors.h"
#include "floodwall/memory_monitor.h"
#include "floodwall/performance_monitor.h"
#include "monitor.h"
#include "pyarrow_bridge.h"

namespace nb = nanobind;

namespace floodwall::python {
namespace {

constexpr double kMb = 1048576;
constexpr std::chrono::seconds kLogEvery{1};

/// pyarrow's current pool: pa.set_memory_pool changes it and not arrow::default_memory_pool().
arrow::MemoryPool* (*current_pool)() = &arrow::default_memory_pool;

/// Members of the Python enum, in order of severity; borrowed from a class that lives as long as
/// the process.
std::array<PyObject*, 4> level_members{};

/// The function that get_memory_status is as long as nobody replaced it, and its name.
PyObject* own_status = nullptr;
PyObject* status_name = nullptr;

/// A limit in MB as Python gave it, in bytes. None is 0 where that means "not judged".
double LimitBytes(const char* name, nb::handle value, bool optional) {
  if (optional && value.is_none()) return 0;
  const auto refuse = [&](nb::handle type, const char* allowed) {
    PyErr_Format(type.ptr(), "%s must be %s, got %R", name, allowed, value.ptr());
    throw nb::python_error();
  };
  const char* allowed =
      optional ? "a number of MB (0 or more) or None" : "a number of MB (0 or more)";
  if (PyBool_Check(value.ptr())) refuse(PyExc_TypeError, allowed);
  const double mb = PyFloat_AsDouble(value.ptr());
  if (PyErr_Occurred() != nullptr) {
    const bool too_large = PyErr_ExceptionMatches(PyExc_OverflowError) != 0;
    PyErr_Clear();
    refuse(too_large ? PyExc_ValueError : PyExc_TypeError, allowed);
  }
  if (!std::isfinite(mb * kMb) || mb < 0) refuse(PyExc_ValueError, allowed);
  return mb * kMb;
}

/// A MemoryMonitor with the limits as Python gave them.
class Monitor {
 public:
  Monitor(nb::object max_pyarrow, nb::object max_process, nb::object min_available,
          double cache_seconds)
      : monitor_(ValueOrThrow(
            MemoryMonitor::Make({.cache_seconds = cache_seconds, .pool = current_pool}))) {
    set_max_pyarrow(std::move(max_pyarrow));
    set_max_process(std::move(max_process));
    set_min_available(std::move(min_available));
  }

  MemoryMonitor& native() { return *monitor_; }
  const std::shared_ptr<MemoryMonitor>& shared() const { return monitor_; }

  nb::object max_pyarrow() const { return max_pyarrow_; }
  nb::object max_process() const { return max_process_; }
  nb::object min_available() const { return min_available_; }
  void set_max_pyarrow(nb::object mb) {
    ThrowStatus(monitor_->set_max_arrow_bytes(LimitBytes("max_pyarrow_mb", mb, false)));
    max_pyarrow_ = std::move(mb);
  }
  void set_max_process(nb::object mb) {
    ThrowStatus(monitor_->set_max_process_bytes(LimitBytes("max_process_memory_mb", mb, true)));
    max_process_ = std::move(mb);
  }
  void set_min_available(nb::object mb) {
    ThrowStatus(
        monitor_->set_min_available_bytes(LimitBytes("min_system_available_mb", mb, false)));
    min_available_ = std::move(mb);
  }

  /// True when this level was not logged for a second: a loop that checks does not flood the log.
  bool LogDue(MemoryPressureLevel level) {
    const auto now = Clock::now();
    auto& logged = logged_[static_cast<size_t>(level)];
    if (logged != Clock::time_point{} && now - logged < kLogEvery) return false;
    logged = now;
    return true;
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::shared_ptr<MemoryMonitor> monitor_;
  nb::object max_pyarrow_, max_process_, min_available_;
  std::array<Clock::time_point, 4> logged_{};  // guarded by the GIL
};

/// Whether a subclass or a patch, of the class or of this one object, stands for
/// get_memory_status. Asked at each check, so it must cost nothing: the type's method cache and
/// the size of an instance dictionary that is empty as long as nobody patched the object.
bool Replaced(nb::handle self) {
  if (_PyType_Lookup(Py_TYPE(self.ptr()), status_name) != own_status) return true;
  PyObject** attributes = _PyObject_GetDictPtr(self.ptr());
  if (attributes == nullptr || *attributes == nullptr || PyDict_GET_SIZE(*attributes) == 0) {
    return false;
  }
  return PyDict_Contains(*attributes, status_name) == 1;
}

/// The reads of a stale check happen with the GIL held: they take microseconds, once in
/// cache_seconds, and giving the GIL away would cost more than the cached check itself.
nb::object CheckMemoryPressure(nb::handle self) {
  if (Replaced(self)) return self.attr("_check_replaced")();
  auto* monitor = nb::inst_ptr<Monitor>(self);
  const MemoryPressureLevel level = monitor->native().CheckPressure();
  if (level != MemoryPressureLevel::kNormal && monitor->LogDue(level)) {
    self.attr("_log_pressure")(LevelOf(level));
  }
  return LevelOf(level);
}

nb::dict GetMemoryStatus(Monitor& monitor) {
  const MemoryStatus status = monitor.native().Status();
  nb::dict out;
  out["pyarrow_allocated_mb"] = static_cast<double>(status.arrow_bytes) / kMb;
  if (status.rss_bytes >= 0) out["process_rss_mb"] = static_cast<double>(status.rss_bytes) / kMb;
  if (status.available_bytes >= 0) {
    out["system_available_mb"] = static_cast<double>(status.available_bytes) / kMb;
  }
  return out;
}

/// Bytes, not rounded, so that a level's edge given in MB is exact; -1 for a figure that is not
/// in the mapping.
double BytesOf(nb::handle status, const char* key) {
  nb::object mb = status.attr("get")(key);
  return mb.is_none() ? -1 : nb::cast<double>(mb) * kMb;
}

nb::object Judge(Monitor& monitor, nb::handle status) {
  return LevelOf(monitor.native().Judge(BytesOf(status, "pyarrow_allocated_mb"),
                                        BytesOf(status, "process_rss_mb"),
                                        BytesOf(status, "system_available_mb")));
}

MemoryStatus StatusOf(nb::handle status) {
  return {static_cast<int64_t>(BytesOf(status, "pyarrow_allocated_mb")),
          current_pool()->max_memory(), static_cast<int64_t>(BytesOf(status, "process_rss_mb")),
          static_cast<int64_t>(BytesOf(status, "system_available_mb"))};
}

template <typename T>
void Keep(nb::dict* out, const char* name, const std::optional<T>& value) {
  (*out)[name] = value ? nb::cast(*value) : nb::object(nb::none());
}

nb::dict TakeSnapshot(Monitor& monitor) {
  MemorySnapshot snapshot;
  {
    nb::gil_scoped_release release;
    snapshot = monitor.native().Snapshot();
  }
  return ToDict(snapshot);
}

nb::tuple GiveVerdict(Monitor& monitor) {
  MemoryVerdict verdict;
  {
    nb::gil_scoped_release release;
    verdict = monitor.native().Verdict();
  }
  return nb::make_tuple(LevelOf(verdict.level), verdict.constraint, verdict.sentence);
}

/// Finds pyarrow's own look-up of its current pool in the library that `import pyarrow` loaded.
/// Without it the default pool of libarrow is watched, which is the same until it is replaced.
bool FollowPyarrow(const std::string& libarrow_python) {
  void* library = dlopen(libarrow_python.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return false;
  void* symbol = dlsym(library, "_ZN5arrow2py15get_memory_poolEv");
  if (symbol != nullptr) current_pool = reinterpret_cast<arrow::MemoryPool* (*)()>(symbol);
  dlclose(library);  // pyarrow holds it
  return symbol != nullptr;
}

nb::dict ByLevel(const std::array<int64_t, 4>& counts) {
  nb::dict out;
  for (size_t i = 0; i < counts.size(); ++i) {
    out[ToString(static_cast<MemoryPressureLevel>(i))] = counts[i];
  }
  return out;
}

void BindPerformance(nb::module_& m) {
  nb::class_<PerformanceMonitor>(m, "PerformanceMonitor")
      .def("__init__",
           [](PerformanceMonitor* self) {
             new (self) PerformanceMonitor(current_pool()->max_memory());
           })
      .def("start_op", &PerformanceMonitor::StartOp, nb::arg("name"))
      .def("end_op", &PerformanceMonitor::EndOp)
      .def("sample_due", &PerformanceMonitor::SampleDue)
      .def("force_next_sample", &PerformanceMonitor::ForceNextSample)
      .def(
          "observe",
          [](PerformanceMonitor& self, nb::handle status, int level) {
            self.Observe(StatusOf(status), static_cast<MemoryPressureLevel>(level));
          },
          nb::arg("status"), nb::arg("level"))
      .def_prop_ro("current_op", [](const PerformanceMonitor& self) { return self.current_op(); })
      .def_prop_ro("operation_breakdown",
                   [](const PerformanceMonitor& self) { return self.operation_breakdown(); })
      .def_prop_ro("arrow_peak_bytes", &PerformanceMonitor::arrow_peak_bytes)
      .def_prop_ro("rss_peak_bytes", &PerformanceMonitor::rss_peak_bytes)
      .def_prop_ro(
          "pressure_counts",
          [](const PerformanceMonitor& self) { return ByLevel(self.pressure_counts()); },
          nb::sig("def pressure_counts(self) -> dict[str, int]"))
      .def(
          "metrics",
          [](const PerformanceMonitor& self, int64_t before, int64_t after, int64_t bytes) {
            const PerformanceMetrics metrics = self.Metrics(before, after, bytes);
            nb::dict out;
            out["total_process_time_sec"] = metrics.total_process_time_sec;
            out["throughput_mb_sec"] = metrics.throughput_mb_sec;
            out["rows_per_sec"] = metrics.rows_per_sec;
            out["dedup_efficiency"] = metrics.dedup_efficiency;
            out["operation_breakdown"] = nb::cast(metrics.operation_breakdown);
            out["memory_pressure_stats"] = ByLevel(metrics.pressure_counts);
            return out;
          },
          nb::arg("rows_before"), nb::arg("rows_after"), nb::arg("total_bytes"),
          nb::sig("def metrics(self, rows_before: int, rows_after: int, total_bytes: int) -> "
                  "dict[str, typing.Any]"));
}

}  // namespace

nb::dict ToDict(const MemorySnapshot& s) {
  nb::dict out;
  Keep(&out, "arrow_bytes", s.arrow_bytes);
  Keep(&out, "arrow_all_pools_bytes", s.arrow_all_pools_bytes);
  Keep(&out, "arrow_peak_bytes", s.arrow_peak_bytes);
  Keep(&out, "rss_bytes", s.rss_bytes);
  Keep(&out, "rss_anon_bytes", s.rss_anon_bytes);
  Keep(&out, "rss_file_bytes", s.rss_file_bytes);
  Keep(&out, "rss_peak_bytes", s.rss_peak_bytes);
  Keep(&out, "limit_bytes", s.limit_bytes);
  Keep(&out, "limit_source", s.limit_source);
  Keep(&out, "used_bytes", s.used_bytes);
  Keep(&out, "available_bytes", s.available_bytes);
  Keep(&out, "host_available_bytes", s.host_available_bytes);
  Keep(&out, "host_total_bytes", s.host_total_bytes);
  Keep(&out, "swap_free_bytes", s.swap_free_bytes);
  Keep(&out, "soft_limit_bytes", s.soft_limit_bytes);
  Keep(&out, "soft_available_bytes", s.soft_available_bytes);
  Keep(&out, "psi_some_avg10", s.psi_some_avg10);
  Keep(&out, "psi_full_avg10", s.psi_full_avg10);
  Keep(&out, "oom_kill_count", s.oom_kill_count);
  Keep(&out, "unmanaged_bytes", s.unmanaged_bytes);
  out["taken_at_ns"] = s.taken_at_ns;
  out["sources"] = nb::cast(s.sources);
  out["errors"] = nb::cast(s.errors);
  return out;
}

arrow::MemoryPool* CurrentPyarrowPool() { return current_pool(); }

nb::object LevelOf(MemoryPressureLevel level) {
  return nb::borrow(level_members[static_cast<size_t>(level)]);
}

std::shared_ptr<MemoryMonitor> NativeMonitor(nb::handle monitor) {
  return nb::cast<Monitor&>(monitor).shared();
}

void BindMonitor(nb::module_& m) {
  nb::class_<Monitor> monitor(m, "MemoryMonitor");
  monitor
      .def(nb::init<nb::object, nb::object, nb::object, double>(), nb::arg("max_pyarrow_mb"),
           nb::arg("max_process_memory_mb").none(), nb::arg("min_system_available_mb"),
           nb::arg("cache_seconds"))
      .def_prop_rw("max_pyarrow_mb", &Monitor::max_pyarrow, &Monitor::set_max_pyarrow,
                   nb::for_getter(nb::sig("def max_pyarrow_mb(self) -> float")),
                   nb::for_setter(nb::sig("def max_pyarrow_mb(self, mb: float, /) -> None")))
      .def_prop_rw(
          "max_process_memory_mb", &Monitor::max_process, &Monitor::set_max_process,
          nb::for_getter(nb::sig("def max_process_memory_mb(self) -> float | None")),
          nb::for_setter(nb::sig("def max_process_memory_mb(self, mb: float | None, /) -> None")),
          nb::arg("mb").none())
      .def_prop_rw(
          "min_system_available_mb", &Monitor::min_available, &Monitor::set_min_available,
          nb::for_getter(nb::sig("def min_system_available_mb(self) -> float")),
          nb::for_setter(nb::sig("def min_system_available_mb(self, mb: float, /) -> None")))
      .def("get_memory_status", &GetMemoryStatus,
           nb::sig("def get_memory_status(self) -> dict[str, float]"))
      .def(
          "check_memory_pressure", &CheckMemoryPressure,
          nb::sig("def check_memory_pressure(self) -> typing.Any"),
          "Return the worst of the three judgements: Arrow's allocations, the resident set and "
          "what the\nsystem has left.\n\nA level other than NORMAL is logged as a WARNING with the "
          "detailed status, at most once a second\neach.");
  // Functions and not methods: the Python class shows its users what is theirs.
  m.def(
      "judge_status", &Judge, nb::arg("monitor"), nb::arg("status"),
      nb::sig("def judge_status(monitor: MemoryMonitor, status: dict[str, float]) -> typing.Any"));
  m.def("take_snapshot", &TakeSnapshot, nb::arg("monitor"),
        nb::sig("def take_snapshot(monitor: MemoryMonitor) -> dict[str, typing.Any]"));
  m.def("give_verdict", &GiveVerdict, nb::arg("monitor"),
        nb::sig("def give_verdict(monitor: MemoryMonitor) -> tuple[typing.Any, str, str]"));
  m.def(
      "log_due",
      [](Monitor& self, int level) { return self.LogDue(static_cast<MemoryPressureLevel>(level)); },
      nb::arg("monitor"), nb::arg("level"));
  m.def("has_memory_sources", [] { return MemoryProbe::Native()->has_sources(); });
  status_name = PyUnicode_InternFromString("get_memory_status");
  own_status = nb::object(monitor.attr("get_memory_status")).release().ptr();
  m.def(
      "set_pressure_levels",
      [](nb::object normal, nb::object warning, nb::object critical, nb::object emergency) {
        level_members = {normal.release().ptr(), warning.release().ptr(), critical.release().ptr(),
                         emergency.release().ptr()};
      },
      nb::arg("normal"), nb::arg("warning"), nb::arg("critical"), nb::arg("emergency"));
  m.def("follow_pyarrow", &FollowPyarrow, nb::arg("libarrow_python"));
  BindPerformance(m);
}

}  // namespace floodwall::python
