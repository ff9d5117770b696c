#pragma once

/// The CPU controller's quota: cpu.max on v2, cpu.cfs_quota_us and cpu.cfs_period_us on v1.
///
/// Sources: Documentation/admin-guide/cgroup-v2.rst, Documentation/scheduler/sched-bwc.rst.
///
/// Threading, Errors, Units, Lifetime: as ReadCpuQuota.

#include <optional>
#include <string>

#include "probe/kernel_calls.h"

namespace floodwall {

std::optional<double> ReadLinuxCpuQuota(const std::string& root, KernelCalls* calls);

}  // namespace floodwall
