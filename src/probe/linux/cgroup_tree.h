#pragma once

/// The memory controller of this process with all its ancestors, followed while limits change and
/// while the process is moved to another cgroup.
///
/// Every refresh reads every ancestor's limit. The process's own cgroup is looked up again once a
/// second, and at once when its directory has gone.
///
/// A level whose limit or use cannot be read counts with the last values that could: a failed
/// read must not make memory look free. Its reading then carries the errno beside the value.
///
/// Threading: not safe, the owner locks. Errors: in the Readings. Units: bytes.
/// Lifetime: owns descriptors of the limits, and of the other files where a limit is set.

#include <memory>
#include <string>
#include <vector>

#include "floodwall/probe.h"
#include "probe/kept_file.h"
#include "probe/linux/cgroup_level.h"
#include "probe/linux/cgroup_location.h"

namespace floodwall {

class CgroupTree {
 public:
  /// `root` stands before every path: empty for the real system. `process` is a directory of
  /// /proc; the mounts are always this process's, through which it looks.
  CgroupTree(KernelCalls* calls, std::string root, const std::string& process = "self");

  struct Headroom {
    Reading limit;      ///< the least hard limit of all levels
    Reading used;       ///< at that level
    Reading available;  ///< the least (limit - used) of all levels
    bool exact = true;  ///< false when `available` is a lower bound, see Read()
  };
  /// Charged memory that clears `enough` at a level makes its memory.stat unnecessary: the real
  /// headroom is greater still. Pass INT64_MAX for exact figures.
  Headroom Read(int64_t host_total, int64_t enough);

  /// Fills soft_limit, soft_available, oom_kill_count and the pressure readings.
  void ReadRest(int64_t host_total, MemoryReadings* out);

  const CgroupLocation& location() const { return location_; }

 private:
  void Follow();
  void Discover(std::string_view cgroup);

  struct Level {
    std::string directory;
    std::unique_ptr<CgroupLevel> files;
    bool can_have_limit = true;
    Reading last_limit;  ///< known when the last successful read found a limit
    Reading last_used;
  };
  /// The least headroom, of levels read exactly and of those whose charge alone left enough.
  struct Least {
    Reading exact;
    Reading bound;
  };
  Reading LimitOf(Level* level, int64_t host_total, bool* gone);
  void ReadLevel(Level* level, int64_t host_total, int64_t enough, Headroom* out, Least* least,
                 bool* gone);
  bool Exists(const std::string& directory);
  bool IsRootOfV1(const CgroupLocation& location, const Level& level);

  KernelCalls* calls_;
  std::string root_;
  KeptFile cgroup_;
  KeptFile host_pressure_;
  std::string cgroup_text_;
  int64_t followed_ns_ = 0;
  int64_t searched_ns_ = 0;
  bool discovered_ = false;
  int error_ = 0;
  CgroupLocation location_;
  std::vector<Level> levels_;  ///< leaf first
  std::unique_ptr<CgroupFile> pressure_;
};

}  // namespace floodwall
