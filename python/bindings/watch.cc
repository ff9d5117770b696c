#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "errors.h"
#include "floodwall/memory_watch.h"
#include "floodwall/recorder.h"
#include "monitor.h"

namespace nb = nanobind;

namespace floodwall::python {
namespace {

/// The last verdict nobody has taken yet. The sampler's thread never touches Python: it leaves
/// verdicts here, and a Python thread waits for them without the GIL.
class Mailbox {
 public:
  void Put(const MemoryVerdict& verdict) {
    {
      const std::lock_guard lock(mutex_);
      verdict_ = verdict;
    }
    changed_.notify_all();
  }
  void Close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
  }
  /// Empty once closed.
  std::optional<MemoryVerdict> Take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || verdict_; });
    if (closed_) return std::nullopt;
    return std::exchange(verdict_, std::nullopt);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<MemoryVerdict> verdict_;
  bool closed_ = false;
};

class Watch {
 public:
  Watch(nb::handle monitor, int at, double min_seconds, double max_seconds)
      : monitor_(NativeMonitor(monitor)), mailbox_(std::make_shared<Mailbox>()) {
    MemoryWatchOptions options;
    options.at = static_cast<MemoryPressureLevel>(at);
    options.min_seconds = min_seconds;
    options.max_seconds = max_seconds;
    watch_ = ValueOrThrow(MemoryWatch::Start(
        monitor_, options,
        [mailbox = mailbox_](const MemoryVerdict& verdict) { mailbox->Put(verdict); }));
  }
  ~Watch() { Stop(); }

  void Stop() {
    mailbox_->Close();
    nb::gil_scoped_release release;
    watch_->Stop();
    if (recorder_) recorder_->Close();
  }

  nb::object Next() {
    std::optional<MemoryVerdict> verdict;
    {
      // Kept alive by itself: Stop may come from another thread while this one waits.
      const auto mailbox = mailbox_;
      nb::gil_scoped_release release;
      verdict = mailbox->Take();
    }
    if (!verdict) return nb::none();
    return nb::make_tuple(LevelOf(verdict->level), verdict->constraint, verdict->sentence);
  }

  void Record(const std::string& path) {
    if (recorder_) throw nb::value_error("the watch records already");
    RecorderOptions options;
    recorder_ = ValueOrThrow(Recorder::Create(path, monitor_, options));
    ThrowStatus(watch_
                    ->Observe([recorder = recorder_](const MemorySample& sample) {
                      recorder->Record(sample);
                    })
                    .status());
  }

  nb::object Level() const { return LevelOf(watch_->level()); }
  bool running() const { return watch_->running(); }
  nb::dict Stats() const {
    const MemoryWatchStats stats = watch_->stats();
    nb::dict out;
    out["samples"] = stats.samples;
    out["hints"] = stats.hints;
    out["growth_per_second"] = stats.growth_per_second;
    out["event_sources"] = nb::cast(stats.event_sources);
    return out;
  }

 private:
  std::shared_ptr<MemoryMonitor> monitor_;
  std::shared_ptr<Mailbox> mailbox_;
  std::unique_ptr<MemoryWatch> watch_;
  std::shared_ptr<Recorder> recorder_;
};

/// -1 is unknown: None.
nb::object Known(int64_t value) { return value < 0 ? nb::object(nb::none()) : nb::cast(value); }

nb::dict ToDict(const MemoryRecord& record) {
  nb::dict out;
  out["time_ns"] = record.time_ns;
  out["arrow_bytes"] = Known(record.arrow_bytes);
  out["arrow_peak_bytes"] = Known(record.arrow_peak_bytes);
  out["rss_bytes"] = Known(record.rss_bytes);
  out["rss_anon_bytes"] = Known(record.rss_anon_bytes);
  out["available_bytes"] = Known(record.available_bytes);
  out["limit_bytes"] = Known(record.limit_bytes);
  out["oom_kill_count"] = Known(record.oom_kill_count);
  out["level"] = ToString(record.level);
  nb::list holders;
  for (const auto& [name, bytes] : record.holders) holders.append(nb::make_tuple(name, bytes));
  out["holders"] = holders;
  return out;
}

nb::dict ReadRecordingFile(const std::string& path) {
  const Recording recording = ValueOrThrow(ReadRecording(path));
  const RecordingHeader& header = recording.header;
  nb::dict out;
  out["header_intact"] = recording.header_intact;
  out["pid"] = header.pid;
  out["started_ns"] = header.started_ns;
  out["finished_ns"] = Known(recording.finished_ns);
  out["ending"] = recording.ending;
  out["host_name"] = header.host_name;
  out["host_total_bytes"] = Known(header.host_total_bytes);
  out["limit_bytes"] = Known(header.limit_bytes);
  out["limit_source"] = header.limit_source;
  out["oom_kill_count"] = Known(header.oom_kill_count);
  out["max_arrow_bytes"] = header.max_arrow_bytes;
  out["max_process_bytes"] = header.max_process_bytes;
  out["min_available_bytes"] = header.min_available_bytes;
  out["max_anonymous_bytes"] = header.max_anonymous_bytes;
  out["command_line"] = header.command_line;
  out["library_version"] = header.library_version;
  out["damaged_records"] = recording.damaged_records;
  nb::list records;
  for (const MemoryRecord& record : recording.records) records.append(ToDict(record));
  out["records"] = records;
  return out;
}

}  // namespace

void BindWatch(nb::module_& m) {
  m.def("read_recording", &ReadRecordingFile, nb::arg("path"),
        nb::sig("def read_recording(path: str) -> dict[str, typing.Any]"));
  nb::class_<Watch>(m, "MemoryWatch")
      .def(nb::init<nb::handle, int, double, double>(), nb::arg("monitor"), nb::arg("at"),
           nb::arg("min_seconds"), nb::arg("max_seconds"))
      .def("stop", &Watch::Stop)
      .def("next", &Watch::Next, nb::sig("def next(self) -> tuple[typing.Any, str, str] | None"),
           "Wait for a verdict; None once stopped.")
      .def("record", &Watch::Record, nb::arg("path"))
      .def_prop_ro("level", &Watch::Level, nb::sig("def level(self) -> typing.Any"))
      .def_prop_ro("running", &Watch::running)
      .def("stats", &Watch::Stats, nb::sig("def stats(self) -> dict[str, typing.Any]"));
}

}  // namespace floodwall::python
