#pragma once

/// Judges Arrow's allocations, the process's resident set and what the system (container or host)
/// has left against limits.
///
/// Threading: every method may be called from any thread. System figures are read at most once in
/// `cache_seconds`; one thread reads, the others take the figures it published before and never
/// wait. Arrow's figure is always live.
/// Fork: a child reads its own figures from its first call on.
/// Errors: Make refuses bad limits. A figure that cannot be read is absent, and never makes the
/// level milder than its last known value did.
/// Units: bytes. Lifetime: shares the probe; holds no descriptor of its own.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "arrow/memory_pool.h"
#include "arrow/result.h"
#include "floodwall/export.h"
#include "floodwall/memory_pressure.h"
#include "floodwall/memory_snapshot.h"
#include "floodwall/probe.h"

namespace floodwall {

class SystemCache;

struct MemoryMonitorOptions {
  int64_t max_arrow_bytes = int64_t{2048} << 20;     ///< 0: nothing may be allocated
  int64_t max_process_bytes = 0;                     ///< resident set; 0: not judged
  int64_t min_available_bytes = int64_t{512} << 20;  ///< must stay available; 0: not judged
  double cache_seconds = 0.1;                        ///< 0: every call reads
  /// Which pool is judged; looked up at each call because the default can be replaced.
  arrow::MemoryPool* (*pool)() = &arrow::default_memory_pool;
  std::shared_ptr<MemoryProbe> probe = nullptr;  ///< null: MemoryProbe::Native()
};

/// The figures a check needs, in bytes; -1 when unknown.
struct MemoryStatus {
  int64_t arrow_bytes = 0;
  int64_t arrow_peak_bytes = 0;  ///< the pool's own high-water mark since it exists
  int64_t rss_bytes = -1;
  int64_t available_bytes = -1;
};

/// A level with what made it so.
struct MemoryVerdict {
  MemoryPressureLevel level = MemoryPressureLevel::kNormal;
  /// The constraint that is closest to its limit: "arrow", "process", "system" or "none".
  std::string constraint;
  std::string sentence;  ///< for a person
};

class FLOODWALL_EXPORT MemoryMonitor {
 public:
  /// Invalid for a negative limit, and for a negative or infinite cache_seconds.
  static arrow::Result<std::unique_ptr<MemoryMonitor>> Make(
      const MemoryMonitorOptions& options = {});
  ~MemoryMonitor();

  /// The worst of the three judgements.
  MemoryPressureLevel CheckPressure();
  /// The figures, at most cache_seconds old.
  MemoryStatus Status();
  /// The figures read now, which the cached calls use from then on. What cannot be read has its
  /// last known value: these are figures to judge, not to show.
  MemoryStatus Sample();
  /// Everything, fresh.
  MemorySnapshot Snapshot() const;
  /// The level with the reason, from fresh figures.
  MemoryVerdict Verdict() const;
  /// The same for figures that were read before.
  MemoryVerdict Explain(const MemoryStatus& status) const;
  /// "PyArrow: 512.0/1024 MB | Process RSS: 2048.0 MB | System Available: 1024.0 MB (min: 512 MB)"
  std::string DetailedStatus();

  /// Judges figures without reading any.
  MemoryPressureLevel Judge(const MemoryStatus& status) const;
  /// The same for figures that are not whole bytes; negative is unknown.
  MemoryPressureLevel Judge(double arrow_bytes, double rss_bytes, double available_bytes) const;

  /// Limits may change while others check. They are doubles because Python gives MB as floats.
  double max_arrow_bytes() const { return max_arrow_.load(std::memory_order_relaxed); }
  double max_process_bytes() const { return max_process_.load(std::memory_order_relaxed); }
  double min_available_bytes() const { return min_available_.load(std::memory_order_relaxed); }
  arrow::Status set_max_arrow_bytes(double bytes);
  arrow::Status set_max_process_bytes(double bytes);
  arrow::Status set_min_available_bytes(double bytes);

  const std::shared_ptr<MemoryProbe>& probe() const { return probe_; }

 private:
  MemoryVerdict Explain(int64_t arrow_bytes, const MemoryReadings& read) const;
  explicit MemoryMonitor(const MemoryMonitorOptions& options);

  arrow::MemoryPool* (*const pool_)();
  const std::shared_ptr<MemoryProbe> probe_;
  std::atomic<double> max_arrow_;
  std::atomic<double> max_process_;
  std::atomic<double> min_available_;
  const std::unique_ptr<SystemCache> cache_;
};

}  // namespace floodwall
