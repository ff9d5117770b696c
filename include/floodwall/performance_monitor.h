#pragma once

/// Times named operations and keeps peaks and pressure counts of a job.
///
/// Operations do not nest: starting one ends the running one. Names that repeat add up.
///
/// Threading: not safe; one job, one monitor. Errors: none.
/// Units: seconds, bytes, MB of 1048576 bytes where a name says so. Lifetime: values only.

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "floodwall/export.h"
#include "floodwall/memory_monitor.h"

namespace floodwall {

/// What PerformanceMonitor::Metrics gives.
struct PerformanceMetrics {
  double total_process_time_sec = 0;
  double throughput_mb_sec = 0;
  double rows_per_sec = 0;      ///< rows before, a second
  double dedup_efficiency = 0;  ///< (before - after) / before; negative on growth, 0 without rows
  std::map<std::string, double> operation_breakdown;  ///< seconds by name, ended operations only
  std::array<int64_t, 4> pressure_counts{};           ///< samples by level
};

class FLOODWALL_EXPORT PerformanceMonitor {
 public:
  /// `arrow_peak_before` is the pool's high-water mark at the start: only what passes it later is
  /// this job's. It is exact, so a peak between two samples is seen.
  explicit PerformanceMonitor(
      int64_t arrow_peak_before = arrow::default_memory_pool()->max_memory());

  void StartOp(const std::string& name);
  void EndOp();  ///< nothing without a running operation

  /// True when the last sample is at least 0.1 s old, or there is none.
  bool SampleDue() const;
  /// Takes one sample: peaks only rise, the level is counted.
  void Observe(const MemoryStatus& status, MemoryPressureLevel level);
  /// Samples `monitor` when a sample is due.
  void Track(MemoryMonitor* monitor);

  PerformanceMetrics Metrics(int64_t rows_before, int64_t rows_after, int64_t total_bytes) const;

  const std::string& current_op() const { return current_op_; }  ///< empty: none runs
  int64_t arrow_peak_bytes() const { return arrow_peak_; }
  int64_t rss_peak_bytes() const { return rss_peak_; }
  const std::map<std::string, double>& operation_breakdown() const { return breakdown_; }
  const std::array<int64_t, 4>& pressure_counts() const { return counts_; }
  void ForceNextSample() { sampled_ = false; }

 private:
  using Clock = std::chrono::steady_clock;

  Clock::time_point start_;
  Clock::time_point op_start_;
  Clock::time_point last_sample_;
  bool sampled_ = false;
  std::string current_op_;
  std::map<std::string, double> breakdown_;
  std::array<int64_t, 4> counts_{};
  int64_t arrow_peak_before_;
  int64_t arrow_peak_ = 0;
  int64_t rss_peak_ = 0;
};

}  // namespace floodwall
