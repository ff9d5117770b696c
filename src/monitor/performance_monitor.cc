#include "floodwall/performance_monitor.h"

#include <algorithm>

namespace floodwall {
namespace {

constexpr std::chrono::milliseconds kSampleEvery{100};

double Seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

PerformanceMonitor::PerformanceMonitor(int64_t arrow_peak_before)
    : start_(Clock::now()), arrow_peak_before_(arrow_peak_before) {}

void PerformanceMonitor::StartOp(const std::string& name) {
  EndOp();
  current_op_ = name;
  op_start_ = Clock::now();
}

void PerformanceMonitor::EndOp() {
  if (current_op_.empty()) return;
  breakdown_[current_op_] += Seconds(Clock::now() - op_start_);
  current_op_.clear();
}

bool PerformanceMonitor::SampleDue() const {
  return !sampled_ || Clock::now() - last_sample_ >= kSampleEvery;
}

void PerformanceMonitor::Observe(const MemoryStatus& status, MemoryPressureLevel level) {
  sampled_ = true;
  last_sample_ = Clock::now();
  arrow_peak_ = std::max(arrow_peak_, status.arrow_bytes);
  if (status.arrow_peak_bytes > arrow_peak_before_) {
    arrow_peak_ = std::max(arrow_peak_, status.arrow_peak_bytes);
  }
  rss_peak_ = std::max(rss_peak_, status.rss_bytes);
  ++counts_[static_cast<size_t>(level)];
}

void PerformanceMonitor::Track(MemoryMonitor* monitor) {
  if (SampleDue()) Observe(monitor->Status(), monitor->CheckPressure());
}

PerformanceMetrics PerformanceMonitor::Metrics(int64_t rows_before, int64_t rows_after,
                                               int64_t total_bytes) const {
  PerformanceMetrics out;
  // Two readings of the clock can be equal: a rate over no time would be infinite.
  out.total_process_time_sec = std::max(1e-9, Seconds(Clock::now() - start_));
  out.throughput_mb_sec = static_cast<double>(total_bytes) / 1048576 / out.total_process_time_sec;
  out.rows_per_sec = static_cast<double>(rows_before) / out.total_process_time_sec;
  if (rows_before > 0) {
    out.dedup_efficiency =
        static_cast<double>(rows_before - rows_after) / static_cast<double>(rows_before);
  }
  out.operation_breakdown = breakdown_;
  out.pressure_counts = counts_;
  return out;
}

}  // namespace floodwall
