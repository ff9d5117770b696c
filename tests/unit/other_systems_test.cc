// What follows from the figures of macOS and Windows; the calls themselves are checked by
// tools/cross_check.py.

#include <gtest/gtest.h>

#include <cerrno>

#include "probe/darwin/darwin_figures.h"
#include "probe/windows/windows_figures.h"

namespace floodwall {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

WindowsFigures Windows() {
  WindowsFigures out;
  out.working_set = 100 * kMiB;
  out.peak_working_set = 150 * kMiB;
  out.private_bytes = 120 * kMiB;
  out.total_physical = 16384 * kMiB;
  out.available_physical = 4096 * kMiB;
  out.available_commit = 6000 * kMiB;
  return out;
}

TEST(WindowsFigures, WithoutAJobTheMachineLimits) {
  const MemoryReadings all = ReadingsOf(Windows());
  EXPECT_EQ(all.rss.value, 100 * kMiB);
  EXPECT_EQ(all.rss_anon.value, 120 * kMiB);
  EXPECT_EQ(all.rss_peak.value, 150 * kMiB);
  EXPECT_EQ(all.limit.value, 16384 * kMiB);
  EXPECT_EQ(all.available.value, 4096 * kMiB);
  EXPECT_EQ(all.available.source, "GlobalMemoryStatusEx");
  EXPECT_EQ(all.used.value, (16384 - 4096) * kMiB);
  EXPECT_FALSE(all.psi_some_avg10.known());
}

TEST(WindowsFigures, AllocationsFailAtTheCommitLimitAlthoughMemoryIsFree) {
  auto figures = Windows();
  figures.available_commit = 300 * kMiB;
  EXPECT_EQ(ReadingsOf(figures).available.value, 300 * kMiB);
}

TEST(WindowsFigures, AJobLimitsWhatItCommits) {
  auto figures = Windows();
  figures.job_limit = 512 * kMiB;
  figures.processes_in_job = 1;
  figures.peak_job_memory = 400 * kMiB;
  const MemoryReadings alone = ReadingsOf(figures);
  EXPECT_EQ(alone.limit.value, 512 * kMiB);
  EXPECT_EQ(alone.limit.source, "QueryInformationJobObject");
  EXPECT_EQ(alone.used.value, 120 * kMiB);
  EXPECT_EQ(alone.available.value, 392 * kMiB);
  figures.processes_in_job = 3;
  EXPECT_EQ(ReadingsOf(figures).available.value, 112 * kMiB) << "others may hold up to the peak";
}

TEST(WindowsFigures, TheTightestOfAllBindsAndIsNeverNegative) {
  auto figures = Windows();
  figures.job_limit = 8192 * kMiB;
  figures.process_limit = 1024 * kMiB;
  figures.working_set_limit = 90 * kMiB;
  const MemoryReadings all = ReadingsOf(figures);
  EXPECT_EQ(all.limit.value, 90 * kMiB);
  EXPECT_EQ(all.available.value, 0);
}

TEST(WindowsFigures, NothingIsZeroForUnknown) {
  WindowsFigures figures;
  figures.process_error = 5;
  figures.machine_error = 6;
  const MemoryReadings all = ReadingsOf(figures);
  for (const Reading& reading : {all.rss, all.available, all.limit, all.used, all.rss_anon}) {
    EXPECT_EQ(reading.value, -1);
  }
  EXPECT_EQ(all.rss.error, 5);
  EXPECT_EQ(all.available.error, 6);
  figures.job_limit = 512 * kMiB;  // a limit of whose use nothing is known
  EXPECT_EQ(ReadingsOf(figures).limit.value, 512 * kMiB);
  EXPECT_FALSE(ReadingsOf(figures).available.known());
}

DarwinFigures Darwin() {
  DarwinFigures out;
  out.resident = 100 * kMiB;
  out.resident_peak = 200 * kMiB;
  out.footprint = 130 * kMiB;
  out.file_backed = 20 * kMiB;
  out.page_bytes = 16384;
  out.anonymous_pages = 200'000;
  out.purgeable_pages = 10'000;
  out.wired_pages = 100'000;
  out.compressor_pages = 50'000;
  out.total = 16384 * kMiB;
  out.swap_free = 512 * kMiB;
  out.pressure_level = 2;
  return out;
}

TEST(DarwinFigures, AvailableIsWhatNobodyHolds) {
  const MemoryReadings all = ReadingsOf(Darwin());
  const int64_t held = (200'000 - 10'000 + 100'000 + 50'000) * int64_t{16384};
  EXPECT_EQ(all.available.value, 16384 * kMiB - held);
  EXPECT_EQ(all.used.value, held);
  EXPECT_EQ(all.limit.source, "sysctl hw.memsize");
  EXPECT_EQ(all.rss.value, 100 * kMiB);
  EXPECT_EQ(all.rss_anon.value, 130 * kMiB);
  EXPECT_EQ(all.rss_peak.value, 200 * kMiB);
  EXPECT_EQ(all.swap_free.value, 512 * kMiB);
  EXPECT_EQ(all.kernel_pressure.value, 2);
}

TEST(DarwinFigures, StaysBetweenNothingAndAll) {
  auto figures = Darwin();
  figures.wired_pages = 10'000'000;
  EXPECT_EQ(ReadingsOf(figures).available.value, 0);
  figures = Darwin();
  figures.purgeable_pages = 10'000'000;
  figures.wired_pages = figures.compressor_pages = 0;
  EXPECT_EQ(ReadingsOf(figures).available.value, figures.total);
}

TEST(DarwinFigures, NothingIsZeroForUnknown) {
  DarwinFigures figures;
  figures.task_error = EIO;
  figures.host_error = EIO;
  figures.total_error = EPERM;
  const MemoryReadings all = ReadingsOf(figures);
  for (const Reading& reading : {all.rss, all.available, all.limit, all.used, all.swap_free}) {
    EXPECT_EQ(reading.value, -1);
  }
  EXPECT_EQ(all.rss.error, EIO);
  EXPECT_EQ(all.limit.error, EPERM);
  EXPECT_EQ(all.available.error, EIO);
}

}  // namespace
}  // namespace floodwall
