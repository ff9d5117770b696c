#pragma once

/// Samples a monitor on a thread of its own and calls back when the level changes.
///
/// The next sample is due after the headroom to the next worse level divided by the fastest growth
/// seen so far: as long as memory does not grow faster than ever before, no level is missed. The
/// kernel's hints wake it earlier. A worse level is told at once, a milder one when it has lasted
/// for `calm_seconds` with 5 % to spare. Changes that come while a callback runs are told as one.
///
/// Threading: every method from any thread. Callbacks and observers run on the sampler's thread,
/// without a lock held, one after another; while they run, nothing is sampled. What they throw is
/// counted and dropped, the others still run. They may call every method here; Stop and the
/// destructor then do not wait.
/// Errors: Start and Add refuse; sampling itself cannot fail, a figure that cannot be read keeps
/// its last value.
/// Fork: a child has no sampler. There running() is false and Stop does nothing.
/// Units: bytes, seconds. Lifetime: shares the monitor. Stop joins the thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "floodwall/export.h"
#include "floodwall/memory_monitor.h"

namespace floodwall {

struct MemoryWatchOptions {
  /// Callbacks learn of changes from or to this level and worse ones.
  MemoryPressureLevel at = MemoryPressureLevel::kWarning;
  /// Between two samples; equal values sample at a fixed pace. At least 0.001.
  double min_seconds = 0.01;
  double max_seconds = 1;
  /// How long a milder level must last before it is told.
  double calm_seconds = 1;
  /// Let the kernel's hints wake the sampler.
  bool kernel_events = true;
};

/// One sample, as it was judged.
struct MemorySample {
  int64_t time_ns = 0;  ///< monotonic
  MemoryStatus status;
  MemoryPressureLevel level = MemoryPressureLevel::kNormal;
};

struct MemoryWatchStats {
  int64_t samples = 0;
  int64_t hints = 0;              ///< samples that a kernel event caused
  int64_t calls = 0;              ///< of callbacks and observers
  int64_t failed_calls = 0;       ///< those that threw
  int64_t growth_per_second = 0;  ///< fastest seen, bytes
  std::vector<std::string> event_sources;
};

class FLOODWALL_EXPORT MemoryWatch {
 public:
  using Callback = std::function<void(const MemoryVerdict&)>;
  using Observer = std::function<void(const MemorySample&)>;

  /// Starts sampling. Invalid for options out of range; an IOError when no thread can be had.
  static arrow::Result<std::unique_ptr<MemoryWatch>> Start(std::shared_ptr<MemoryMonitor> monitor,
                                                           const MemoryWatchOptions& options = {},
                                                           Callback callback = nullptr);
  ~MemoryWatch();

  /// Another callback for changes from now on, or an observer of every sample; the result names it
  /// for Remove. Invalid after Stop.
  arrow::Result<int64_t> Add(Callback callback);
  arrow::Result<int64_t> Observe(Observer observer);
  /// It may be in its last call when this returns.
  void Remove(int64_t id);

  /// Ends the sampler; returns when its last callback has.
  void Stop();

  /// The level that was told last; NORMAL before the first sample.
  MemoryPressureLevel level() const;
  bool running() const;
  MemoryWatchStats stats() const;

 private:
  class Sampler;
  struct Thread;
  friend struct MemoryWatchForTest;
  MemoryWatch(std::shared_ptr<Sampler> sampler, std::unique_ptr<Thread> thread);

  std::shared_ptr<Sampler> sampler_;
  std::unique_ptr<Thread> thread_;
};

}  // namespace floodwall
