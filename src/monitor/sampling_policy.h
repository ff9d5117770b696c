#pragma once

/// When a sampler looks next, and which level it tells.
///
/// Threading: not safe, the sampler owns it. Errors: none. Units: bytes, nanoseconds.
/// Lifetime: values only.

#include <cstdint>

#include "floodwall/memory_monitor.h"
#include "floodwall/memory_watch.h"

namespace floodwall {

class SamplingPolicy {
 public:
  explicit SamplingPolicy(const MemoryWatchOptions& options);

  struct Decision {
    MemoryPressureLevel level;  ///< to tell
    int64_t next_ns;            ///< until the next sample
  };
  /// Takes a sample of `monitor` made at `now_ns`. Between two samples Arrow's own high-water mark
  /// may have risen: that peak counts as a use of this moment.
  Decision Take(const MemoryMonitor& monitor, const MemoryStatus& status, int64_t now_ns);

  /// The status with a peak that passed since the last sample put in place of the use now.
  const MemoryStatus& judged() const { return judged_; }
  int64_t growth_per_second() const;

 private:
  void Learn(const MemoryStatus& status, int64_t now_ns);
  MemoryPressureLevel Level(const MemoryMonitor& monitor, int64_t now_ns);
  int64_t Next(const MemoryMonitor& monitor) const;

  const int64_t least_ns_, most_ns_, calm_ns_;
  MemoryPressureLevel level_ = MemoryPressureLevel::kNormal;
  bool first_ = true;
  int64_t last_ns_ = 0;
  int64_t milder_since_ns_ = -1;
  MemoryStatus last_;
  MemoryStatus judged_;
  // Bytes a second: the fastest seen.
  double arrow_growth_, rss_growth_, available_fall_;
};

}  // namespace floodwall
