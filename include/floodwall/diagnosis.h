#pragma once

/// What the probe finds when it looks: every file with its errno, the container's levels, hints.
///
/// For people who ask why a figure is what it is: `floodwall doctor` prints it.
///
/// Threading: from any thread; reads with descriptors of its own. Errors: in the values, as errno.
/// Units: bytes; CPUs. Lifetime: owns everything.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "floodwall/export.h"
#include "floodwall/probe.h"

namespace floodwall {

/// One file or call that was asked.
struct SourceCheck {
  std::string name;
  int error = 0;  ///< of the last try; 0: it was read
};

/// One directory of the memory controller.
struct CgroupCheck {
  std::string directory;
  Reading limit;       ///< absent without error: none is set
  Reading soft_limit;  ///< memory.high
  Reading charged;     ///< all that is charged, reclaimable or not
  Reading used;        ///< what cannot be reclaimed
};

struct Diagnosis {
  std::vector<SourceCheck> sources;     ///< in the order of their first use
  std::string cgroup_version = "none";  ///< "v1", "v2" or "none"
  bool confident = true;                ///< false: a mount point stands for the own cgroup
  bool has_hidden_ancestors = false;    ///< v1: limits above the mount are out of sight
  std::vector<CgroupCheck> levels;      ///< the process's own first
  std::vector<std::string> hints;       ///< what can wake a sampler early
  std::optional<double> cpu_quota;      ///< none: nullopt
};

/// Looks at this process's system now.
FLOODWALL_EXPORT Diagnosis Diagnose();

}  // namespace floodwall
