#pragma once

/// What macOS says about memory, and what follows from it; the calls are in darwin_probe.cc.
///
/// Available is the machine's memory less what nobody can take back: anonymous pages that are not
/// purgeable, wired pages, and what the compressor occupies. "Inactive" pages are not counted as
/// free, because anonymous ones are among them.
///
/// Threading: pure. Errors: a figure that could not be read is -1 with its errno.
/// Units: bytes, pages where a name says so. Lifetime: values.

#include <cstdint>
#include <string_view>

#include "floodwall/probe.h"

namespace floodwall {

/// -1 for what is unknown.
struct DarwinFigures {
  // task_info(TASK_VM_INFO)
  int64_t resident = -1;
  int64_t resident_peak = -1;
  int64_t footprint = -1;  ///< what the system's own limits count, compressed pages included
  int64_t file_backed = -1;
  int task_error = 0;
  // host_statistics64(HOST_VM_INFO64) and sysctl
  int64_t page_bytes = -1;
  int64_t anonymous_pages = -1;
  int64_t purgeable_pages = -1;
  int64_t wired_pages = -1;
  int64_t compressor_pages = -1;
  int host_error = 0;
  int64_t total = -1;
  int total_error = 0;
  int64_t swap_free = -1;
  int64_t pressure_level = -1;
};

MemoryReadings ReadingsOf(const DarwinFigures& figures);

}  // namespace floodwall
