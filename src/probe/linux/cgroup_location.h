#pragma once

/// Where a controller (memory, cpu) of this process is: from /proc/self/cgroup and
/// /proc/self/mountinfo to directories.
///
/// Sources: cgroups(7), cgroup_namespaces(7), proc_pid_mountinfo(5). It may be on a v1
/// hierarchy, on v2, or on v1 beside a v2 hierarchy that only has pressure files (hybrid). A path
/// that does not lie below what is mounted (a namespace's "/../..", a bind mount of another
/// cgroup, " (deleted)") gives the mount point, which is all this process can see.
///
/// Threading: pure functions of their texts. Errors: an empty location. Lifetime: values.

#include <string>
#include <string_view>
#include <vector>

namespace floodwall {

enum class CgroupVersion { kNone, kV1, kV2 };

struct CgroupLocation {
  CgroupVersion version = CgroupVersion::kNone;
  /// From the cgroup of the process up to the mount point, which is last.
  std::vector<std::string> directories;
  /// False when the mount point had to stand in for the process's own cgroup.
  bool confident = true;
  /// v1: the mount shows only a part of the hierarchy, ancestors above it are out of sight.
  bool has_hidden_ancestors = false;
  /// The directory with memory.pressure, on v2 or hybrid; empty when there is none.
  std::string pressure_directory;
};

/// `cgroup` and `mountinfo` are the whole texts of the two files.
CgroupLocation LocateCgroup(std::string_view cgroup, std::string_view mountinfo,
                            std::string_view controller = "memory");

/// Undoes the octal escapes of mountinfo ("\\040" is a blank).
std::string UnescapeMountPath(std::string_view text);

}  // namespace floodwall
