#include "probe/windows/windows_probe.h"

#define PSAPI_VERSION 2  // GetProcessMemoryInfo of kernel32
#include <windows.h>
// After windows.h, whose types it needs.
#include <psapi.h>

#include <algorithm>

#include "probe/windows/windows_figures.h"

namespace floodwall {
namespace {

template <typename T>
int64_t Bytes(T value) {
  return static_cast<int64_t>(std::min<uint64_t>(value, INT64_MAX));
}

void ReadProcess(WindowsFigures* out) {
  PROCESS_MEMORY_COUNTERS_EX counters{};
  counters.cb = sizeof counters;
  if (!::GetProcessMemoryInfo(::GetCurrentProcess(),
                              reinterpret_cast<PROCESS_MEMORY_COUNTERS*>(&counters),
                              sizeof counters)) {
    out->process_error = static_cast<int>(::GetLastError());
    return;
  }
  out->working_set = Bytes(counters.WorkingSetSize);
  out->peak_working_set = Bytes(counters.PeakWorkingSetSize);
  // Every process commits something: 0 is an emulation that does not know.
  if (counters.PrivateUsage > 0) out->private_bytes = Bytes(counters.PrivateUsage);
}

void ReadMachine(WindowsFigures* out) {
  MEMORYSTATUSEX status{};
  status.dwLength = sizeof status;
  if (!::GlobalMemoryStatusEx(&status)) {
    out->machine_error = static_cast<int>(::GetLastError());
    return;
  }
  out->total_physical = Bytes(status.ullTotalPhys);
  out->available_physical = Bytes(status.ullAvailPhys);
  out->available_commit = Bytes(status.ullAvailPageFile);
}

/// Not being in a job, or not being allowed to ask, is no error: then nothing is limited.
void ReadJob(WindowsFigures* out) {
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits{};
  if (!::QueryInformationJobObject(nullptr, JobObjectExtendedLimitInformation, &limits,
                                   sizeof limits, nullptr)) {
    return;
  }
  const DWORD flags = limits.BasicLimitInformation.LimitFlags;
  if ((flags & JOB_OBJECT_LIMIT_JOB_MEMORY) != 0) out->job_limit = Bytes(limits.JobMemoryLimit);
  if ((flags & JOB_OBJECT_LIMIT_PROCESS_MEMORY) != 0) {
    out->process_limit = Bytes(limits.ProcessMemoryLimit);
  }
  if ((flags & JOB_OBJECT_LIMIT_WORKINGSET) != 0) {
    out->working_set_limit = Bytes(limits.BasicLimitInformation.MaximumWorkingSetSize);
  }
  out->peak_job_memory = Bytes(limits.PeakJobMemoryUsed);
  if (out->job_limit < 0) return;
  JOBOBJECT_BASIC_ACCOUNTING_INFORMATION accounting{};
  if (::QueryInformationJobObject(nullptr, JobObjectBasicAccountingInformation, &accounting,
                                  sizeof accounting, nullptr)) {
    out->processes_in_job = static_cast<int64_t>(accounting.ActiveProcesses);
  }
}

class WindowsProbe final : public MemoryProbe {
 public:
  bool has_sources() const override {
    WindowsFigures figures;
    ReadProcess(&figures);
    ReadMachine(&figures);
    return figures.working_set >= 0 || figures.available_physical >= 0;
  }
  Reading ReadResident() override {
    WindowsFigures figures;
    ReadProcess(&figures);
    return ReadingsOf(figures).rss;
  }
  Reading ReadAvailable(int64_t, bool* exact) override {
    *exact = true;
    return ReadAll().available;
  }
  MemoryReadings ReadAll() override {
    WindowsFigures figures;
    ReadProcess(&figures);
    ReadMachine(&figures);
    ReadJob(&figures);
    return ReadingsOf(figures);
  }
};

}  // namespace

std::shared_ptr<MemoryProbe> MakeWindowsProbe() { return std::make_shared<WindowsProbe>(); }

}  // namespace floodwall
