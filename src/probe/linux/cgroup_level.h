#pragma once

/// One directory of the memory controller: its limits and what counts against them.
///
/// What counts is what the kernel cannot take back by dropping file pages: anonymous and shared
/// memory, unevictable pages, and kernel memory except reclaimable slab. Page cache, also dirty,
/// active or mapped, does not count; tmpfs does, since it lies on the anonymous lists.
/// Sources: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst.
///
/// Threading: not safe, the owner locks. Errors: in the Reading. Units: bytes. Lifetime: owns its
/// descriptors; files without a limit to judge are not opened.

#include <optional>
#include <string>
#include <string_view>

#include "floodwall/probe.h"
#include "probe/kept_file.h"

namespace floodwall {

class CgroupLevel {
 public:
  virtual ~CgroupLevel() = default;

  /// The hard limit; absent without error when there is none. Values above `host_total` are none
  /// (the v1 sentinel is one of them); just as much is one: LXCFS shows the limit as the total.
  /// `*gone` is set when the file could be read before and does not exist any more: the cgroup was
  /// removed, or its parent does not control memory any more.
  virtual Reading ReadLimit(int64_t host_total, bool* gone) = 0;
  /// memory.high, where passing it throttles.
  virtual Reading ReadSoftLimit(int64_t host_total) = 0;
  /// All that is charged, reclaimable or not: cheap.
  virtual Reading ReadCharged() = 0;
  /// What counts: costly. `charged` is what ReadCharged gave.
  virtual Reading ReadUsed(const Reading& charged) = 0;
  virtual Reading ReadOomKills() = 0;
};

/// `root` stands before `directory`. With `hidden_ancestors` a v1 level also honours
/// hierarchical_memory_limit, which includes limits above the mount.
std::unique_ptr<CgroupLevel> MakeCgroupLevelV1(KernelCalls* calls, const std::string& root,
                                               const std::string& directory, bool hidden_ancestors);
std::unique_ptr<CgroupLevel> MakeCgroupLevelV2(KernelCalls* calls, const std::string& root,
                                               const std::string& directory);

/// A kept file of a cgroup, with the name that readings give as their source.
struct CgroupFile {
  CgroupFile(KernelCalls* calls, const std::string& root, const std::string& path);
  /// A file that holds one number.
  Reading ReadNumber();
  /// A limit: "max", an empty file, and values above `most` are none.
  Reading ReadLimit(int64_t most);

  KeptFile file;
  std::string_view source;
  bool was_read = false;  ///< ReadLimit succeeded at least once
};

}  // namespace floodwall
