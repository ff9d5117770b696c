#include "floodwall/performance_monitor.h"

#include <gtest/gtest.h>

#include <thread>

namespace floodwall {
namespace {

using std::chrono::milliseconds;

TEST(PerformanceMonitor, AddsUpOperationsByName) {
  PerformanceMonitor monitor;
  monitor.EndOp();  // nothing runs
  monitor.StartOp("read");
  std::this_thread::sleep_for(milliseconds(20));
  monitor.StartOp("write");  // ends the read
  EXPECT_EQ(monitor.current_op(), "write");
  monitor.EndOp();
  monitor.StartOp("read");
  std::this_thread::sleep_for(milliseconds(20));
  monitor.EndOp();
  EXPECT_GE(monitor.operation_breakdown().at("read"), 0.04);
  EXPECT_GE(monitor.operation_breakdown().at("write"), 0.0);
  monitor.StartOp("unfinished");
  EXPECT_EQ(monitor.Metrics(0, 0, 0).operation_breakdown.size(), 2u);
}

TEST(PerformanceMonitor, KeepsPeaksAndCountsLevels) {
  PerformanceMonitor monitor(1000);
  EXPECT_TRUE(monitor.SampleDue());
  monitor.Observe({.arrow_bytes = 50, .arrow_peak_bytes = 1000, .rss_bytes = 9},
                  MemoryPressureLevel::kNormal);
  EXPECT_FALSE(monitor.SampleDue());
  EXPECT_EQ(monitor.arrow_peak_bytes(), 50) << "the mark was reached before this job";
  monitor.Observe({.arrow_bytes = 10, .arrow_peak_bytes = 1200, .rss_bytes = -1},
                  MemoryPressureLevel::kCritical);
  EXPECT_EQ(monitor.arrow_peak_bytes(), 1200) << "a peak between samples counts";
  EXPECT_EQ(monitor.rss_peak_bytes(), 9);
  EXPECT_EQ(monitor.pressure_counts(), (std::array<int64_t, 4>{1, 0, 1, 0}));
  monitor.ForceNextSample();
  EXPECT_TRUE(monitor.SampleDue());
}

TEST(PerformanceMonitor, SeesAPeakOfTheRealPoolBetweenSamples) {
  PerformanceMonitor performance;
  auto monitor = MemoryMonitor::Make().ValueOrDie();
  arrow::MemoryPool* pool = arrow::default_memory_pool();
  const int64_t spike = pool->max_memory() + (int64_t{64} << 20);
  uint8_t* data = nullptr;
  ASSERT_TRUE(pool->Allocate(spike, &data).ok());
  pool->Free(data, spike);
  performance.Track(monitor.get());
  EXPECT_GE(performance.arrow_peak_bytes(), spike);
}

TEST(PerformanceMonitor, GivesRates) {
  PerformanceMonitor monitor;
  const auto metrics = monitor.Metrics(1000, 900, 1 << 20);
  EXPECT_DOUBLE_EQ(metrics.dedup_efficiency, 0.1);
  EXPECT_GT(metrics.throughput_mb_sec, 0);
  EXPECT_DOUBLE_EQ(metrics.rows_per_sec, 1000 / metrics.total_process_time_sec);
  EXPECT_EQ(monitor.Metrics(0, 5, 0).dedup_efficiency, 0);
  EXPECT_LT(monitor.Metrics(10, 15, 0).dedup_efficiency, 0);
}

}  // namespace
}  // namespace floodwall
