#pragma once

/// How many CPUs the container's quota gives this process: what its affinity mask does not tell.
///
/// Threading: pure apart from reading. Errors: whatever cannot be read is no quota. Units: CPUs,
/// such as 1.5. Lifetime: keeps nothing open.

#include <optional>
#include <string>

#include "probe/kernel_calls.h"

namespace floodwall {

/// The least quota of the process's cgroup and all its ancestors; none: nullopt. `root` stands
/// before every path (empty: the real system).
std::optional<double> ReadCpuQuota(const std::string& root = "",
                                   KernelCalls* calls = KernelCalls::Native());

}  // namespace floodwall
