// Checks the probe of the system it runs on, without Arrow and without a test framework, so that
// it can be built for other systems. Prints what it reads and exits with 1 on the first untruth.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "floodwall/probe.h"
#include "probe/memory_events.h"

#ifdef _WIN32
#include <windows.h>
#endif

namespace {

using floodwall::MemoryProbe;
using floodwall::MemoryReadings;
using floodwall::Reading;

constexpr int64_t kMiB = int64_t{1} << 20;

void Check(bool truth, const char* what) {
  std::printf("%s %s\n", truth ? "ok  " : "FAIL", what);
  if (!truth) std::exit(1);
}

void Print(const char* name, const Reading& reading) {
  std::printf("     %-15s %14lld  error %d  %.*s\n", name, static_cast<long long>(reading.value),
              reading.error, static_cast<int>(reading.source.size()), reading.source.data());
}

void CheckFigures(MemoryProbe* probe) {
  Check(probe->has_sources(), "the probe has sources");
  const MemoryReadings all = probe->ReadAll();
  Print("rss", all.rss);
  Print("rss_anon", all.rss_anon);
  Print("rss_peak", all.rss_peak);
  Print("host_total", all.host_total);
  Print("host_available", all.host_available);
  Print("limit", all.limit);
  Print("available", all.available);
  Check(all.rss.value > 256 * 1024, "the resident set is more than 256 KiB");
  Check(all.rss_anon.value != 0, "the anonymous part is known or absent, not 0");
  Check(all.rss_peak.value >= all.rss.value, "the peak is not less than the resident set");
  Check(all.host_total.value > 64 * kMiB, "the machine has memory");
  Check(all.available.value > 0 && all.available.value <= all.host_total.value,
        "between nothing and all is available");
  bool exact = false;
  Check(probe->ReadAvailable(std::numeric_limits<int64_t>::max(), &exact).known() && exact,
        "available alone is known, and exact");
}

void CheckGrowth(MemoryProbe* probe) {
  const int64_t before = probe->ReadResident().value;
  std::vector<char> touched(static_cast<size_t>(64 * kMiB), 'x');
  const int64_t grown = probe->ReadResident().value - before;
  std::printf("     grew by %lld KiB\n", static_cast<long long>(grown / 1024));
  Check(touched[4711] == 'x' && grown > 60 * kMiB && grown < 80 * kMiB,
        "the resident set grows by the 64 MiB that were touched");
}

void CheckSleep() {
  using Wake = floodwall::MemoryEvents::Wake;
  const auto events = floodwall::MemoryEvents::Native();
  const int64_t before = events->Now();
  Check(events->Wait(2'000'000) == Wake::kTime && events->Now() - before >= 1'000'000,
        "a sleep lasts its time");
  events->Interrupt();
  Check(events->Wait(60'000'000'000) == Wake::kInterrupt, "an interrupt ends a sleep");
}

#ifdef _WIN32
void CheckJob(MemoryProbe* probe) {
  const HANDLE job = ::CreateJobObjectW(nullptr, nullptr);
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits{};
  limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_JOB_MEMORY;
  limits.JobMemoryLimit = 512u << 20;
  if (job == nullptr ||
      !::SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits) ||
      !::AssignProcessToJobObject(job, ::GetCurrentProcess())) {
    std::printf("skip no job can be made: error %lu\n", ::GetLastError());
    return;
  }
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION seen{};
  if (!::QueryInformationJobObject(nullptr, JobObjectExtendedLimitInformation, &seen, sizeof seen,
                                   nullptr) ||
      seen.JobMemoryLimit != limits.JobMemoryLimit) {
    std::printf("skip this system does not tell a job's limit\n");
    return;
  }
  const MemoryReadings all = probe->ReadAll();
  Print("limit", all.limit);
  Print("available", all.available);
  Check(all.limit.value == 512 * kMiB, "the job's limit binds");
  Check(all.available.value == 512 * kMiB - all.used.value, "available is the job's headroom");
}
#endif

}  // namespace

int main() {
  const auto probe = MemoryProbe::Native();
  CheckFigures(probe.get());
  CheckGrowth(probe.get());
  CheckSleep();
#ifdef _WIN32
  CheckJob(probe.get());
#endif
  std::printf("all true\n");
  return 0;
}
