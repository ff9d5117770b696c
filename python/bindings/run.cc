#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <memory>

#include "errors.h"
#include "floodwall/recorder.h"

namespace nb = nanobind;

namespace floodwall::python {
namespace {

/// The machine's figures, with those of another process tree in the place of this process's.
class TreeProbe final : public MemoryProbe {
 public:
  bool has_sources() const override { return native_->has_sources(); }
  Reading ReadResident() override { return resident; }
  Reading ReadAvailable(int64_t enough_bytes, bool* exact) override {
    return native_->ReadAvailable(enough_bytes, exact);
  }
  MemoryReadings ReadAll() override {
    MemoryReadings out = native_->ReadAll();
    out.rss = resident;
    out.rss_anon = anonymous;
    return out;
  }

  Reading resident{-1, 0, "process tree"};
  Reading anonymous{-1, 0, "process tree"};

 private:
  const std::shared_ptr<MemoryProbe> native_ = MemoryProbe::Native();
};

/// Records what `floodwall run` sees.
class TreeRecorder {
 public:
  static std::shared_ptr<TreeRecorder> Create(const std::string& path, int64_t limit_bytes) {
    auto out = std::make_shared<TreeRecorder>();
    MemoryMonitorOptions options;
    options.max_arrow_bytes = limit_bytes;
    options.min_available_bytes = 0;
    options.probe = out->probe_;
    out->limit_bytes_ = limit_bytes;
    std::shared_ptr<MemoryMonitor> monitor = ValueOrThrow(MemoryMonitor::Make(options));
    out->recorder_ = ValueOrThrow(
        Recorder::Create(path, std::move(monitor), {.max_anonymous_bytes = limit_bytes}));
    return out;
  }

  void Record(int64_t arrow, int64_t arrow_peak, int64_t anonymous, int64_t resident) {
    probe_->anonymous.value = anonymous;
    probe_->resident.value = resident;
    MemorySample sample;
    sample.status.arrow_bytes = arrow;
    sample.status.arrow_peak_bytes = arrow_peak;
    sample.status.rss_bytes = resident;
    sample.status.available_bytes = probe_->ReadAll().available.value;
    // The launcher's limit is on anonymous memory, with the monitor's shares of it.
    const double share =
        limit_bytes_ > 0 ? static_cast<double>(anonymous) / static_cast<double>(limit_bytes_) : 2.0;
    sample.level = share > 1.0    ? MemoryPressureLevel::kEmergency
                   : share > 0.9  ? MemoryPressureLevel::kCritical
                   : share >= 0.7 ? MemoryPressureLevel::kWarning
                                  : MemoryPressureLevel::kNormal;
    recorder_->Record(sample);
  }

  void Close(const std::string& ending) { recorder_->Close(ending); }

 private:
  const std::shared_ptr<TreeProbe> probe_ = std::make_shared<TreeProbe>();
  int64_t limit_bytes_ = 0;
  std::shared_ptr<Recorder> recorder_;
};

}  // namespace

void BindRun(nb::module_& m) {
  nb::class_<TreeRecorder>(m, "TreeRecorder")
      .def_static("create", &TreeRecorder::Create, nb::arg("path"), nb::arg("limit_bytes"))
      .def("record", &TreeRecorder::Record, nb::arg("arrow_bytes"), nb::arg("arrow_peak_bytes"),
           nb::arg("anonymous_bytes"), nb::arg("resident_bytes"))
      .def("close", &TreeRecorder::Close, nb::arg("ending"));
}

}  // namespace floodwall::python
