#pragma once

/// The probe of Linux: the process, the host and the container put together.
///
/// Threading: locks; fork waits for the lock. Errors: in the Readings. Units: bytes.
/// Lifetime: holds about ten descriptors.

#include <memory>
#include <string>

#include "floodwall/probe.h"
#include "probe/kernel_calls.h"

namespace floodwall {

/// A probe whose files all lie below `root` (empty: the real system) and whose system calls go
/// through `calls`, which must outlive it.
/// `process` is a directory of /proc: this process, or the number of another one, whose cgroup is
/// then followed as far as this process can see it.
std::shared_ptr<MemoryProbe> MakeLinuxProbe(const std::string& root = "",
                                            KernelCalls* calls = KernelCalls::Native(),
                                            const std::string& process = "self");

}  // namespace floodwall
