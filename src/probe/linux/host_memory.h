#pragma once

/// What the machine (or the LXCFS of the container) has: /proc/meminfo, else sysinfo(2).
///
/// MemAvailable is the kernel's estimate of what can be allocated without swapping. Where it is
/// missing (before 3.14) or 0, the same estimate is rebuilt from free pages, page cache,
/// reclaimable slab and the low watermarks, as si_mem_available() in mm/show_mem.c does.
///
/// Threading: not safe, the owner locks. Errors: in the Reading. Units: bytes. Lifetime: owns
/// two descriptors.

#include <string>

#include "floodwall/probe.h"
#include "probe/kept_file.h"

namespace floodwall {

class HostMemory {
 public:
  /// `root` stands before every path: empty for the real system.
  HostMemory(KernelCalls* calls, const std::string& root);

  struct Readings {
    Reading total;
    Reading available;
    Reading swap_free;
  };
  /// Without `all`, swap_free may be left out.
  Readings Read(bool all);

 private:
  int64_t Estimate(std::string_view meminfo);
  Readings FromSystemInfo(int meminfo_error);

  KernelCalls* calls_;
  KeptFile meminfo_;
  KeptFile zoneinfo_;
};

}  // namespace floodwall
