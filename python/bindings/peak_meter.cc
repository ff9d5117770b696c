#include <fcntl.h>
#include <nanobind/nanobind.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>

#include "errors.h"
#include "floodwall/memory_watch.h"
#include "floodwall/probe.h"

namespace nb = nanobind;

namespace floodwall::python {
namespace {

constexpr double kSeconds = 0.002;

/// The greatest growth of the process's anonymous memory while it runs: sampled on a thread that
/// needs no GIL. The kernel marks the largest resident set exactly; less the largest file-backed
/// part that was seen, that is anonymous memory which was held at that moment, between two samples
/// or not.
class PeakMeter {
 public:
  PeakMeter() {
    ResetKernelMark();
    const MemoryReadings now = MemoryProbe::Native()->ReadAll();
    start_ = now.rss_anon.value;
    Seen seen{now.rss_anon.value, now.rss_file.value};
    MemoryMonitorOptions judged_by;
    judged_by.min_available_bytes = 0;
    std::shared_ptr<MemoryMonitor> monitor = ValueOrThrow(MemoryMonitor::Make(judged_by));
    MemoryWatchOptions options;
    options.min_seconds = options.max_seconds = kSeconds;
    options.kernel_events = false;
    watch_ = ValueOrThrow(MemoryWatch::Start(std::move(monitor), options));
    shared_->Take(seen);
    ThrowStatus(watch_
                    ->Observe([shared = shared_](const MemorySample&) {
                      const MemoryReadings all = MemoryProbe::Native()->ReadAll();
                      shared->Take({all.rss_anon.value, all.rss_file.value});
                    })
                    .status());
  }

  /// Bytes; None where anonymous memory is unknown.
  std::optional<int64_t> Stop() {
    {
      nb::gil_scoped_release release;
      watch_->Stop();
    }
    const MemoryReadings all = MemoryProbe::Native()->ReadAll();
    shared_->Take({all.rss_anon.value, all.rss_file.value});
    if (start_ < 0 || shared_->anonymous < 0) return std::nullopt;
    int64_t peak = shared_->anonymous;
    if (mark_is_ours_ && all.rss_peak.known() && shared_->file >= 0) {
      peak = std::max(peak, all.rss_peak.value - shared_->file);
    }
    return std::max<int64_t>(0, peak - start_);
  }

 private:
  struct Seen {
    int64_t anonymous;
    int64_t file;
  };
  struct Most {
    std::atomic<int64_t> anonymous = -1;
    std::atomic<int64_t> file = -1;
    void Take(const Seen& seen) {
      for (const auto& [most, now] :
           {std::pair{&anonymous, seen.anonymous}, std::pair{&file, seen.file}}) {
        int64_t before = most->load();
        while (now > before && !most->compare_exchange_weak(before, now)) {
        }
      }
    }
  };

  void ResetKernelMark() {
#ifdef __linux__
    const int fd = ::open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    mark_is_ours_ = ::write(fd, "5", 1) == 1;
    ::close(fd);
#endif
  }

  bool mark_is_ours_ = false;
  int64_t start_ = -1;
  const std::shared_ptr<Most> shared_ = std::make_shared<Most>();
  std::unique_ptr<MemoryWatch> watch_;
};

}  // namespace

void BindPeakMeter(nb::module_& m) {
  nb::class_<PeakMeter>(m, "PeakMeter")
      .def(nb::init<>())
      .def(
          "stop",
          [](PeakMeter& self) {
            const auto growth = self.Stop();
            return growth ? nb::cast(*growth) : nb::object(nb::none());
          },
          nb::sig("def stop(self) -> int | None"),
          "Return by how many bytes anonymous memory grew at its peak.");
}

}  // namespace floodwall::python
