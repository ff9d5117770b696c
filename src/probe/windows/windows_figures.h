#pragma once

/// What Windows says about memory, and what follows from it; the calls are in windows_probe.cc.
///
/// There is no killer: an allocation fails when the commit limit, the job's or the machine's, is
/// reached. What can still be allocated is therefore the least of free physical memory, commit
/// headroom and the job's headroom. The resident set is the working set, which Windows trims at
/// will; the private bytes beside it are what is committed.
///
/// Threading: pure. Errors: a figure that could not be read is -1 with its error code.
/// Units: bytes. Lifetime: values.

#include <cstdint>
#include <string_view>

#include "floodwall/probe.h"

namespace floodwall {

/// -1 for what is unknown or not limited.
struct WindowsFigures {
  // GetProcessMemoryInfo
  int64_t working_set = -1;
  int64_t peak_working_set = -1;
  int64_t private_bytes = -1;
  int process_error = 0;
  // GlobalMemoryStatusEx
  int64_t total_physical = -1;
  int64_t available_physical = -1;
  int64_t available_commit = -1;
  int machine_error = 0;
  // QueryInformationJobObject of the innermost job
  int64_t job_limit = -1;          ///< of all its processes together, committed
  int64_t process_limit = -1;      ///< of each of them
  int64_t working_set_limit = -1;  ///< of each working set
  int64_t peak_job_memory = -1;
  int64_t processes_in_job = 0;
};

constexpr std::string_view kWindowsProcess = "GetProcessMemoryInfo";
constexpr std::string_view kWindowsMachine = "GlobalMemoryStatusEx";
constexpr std::string_view kWindowsJob = "QueryInformationJobObject";

MemoryReadings ReadingsOf(const WindowsFigures& figures);

}  // namespace floodwall
