#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace floodwall::testing {

/// What a container runtime or scheduler lets a process see, file by file, and what is true there.
struct MemoryTree {
  std::string name;
  std::map<std::string, std::string> files;  ///< path without the leading slash -> text
  std::map<std::string, std::string> environment = {};
  /// What sysinfo(2) says: total, free, free swap, in bytes; without it the call fails.
  std::optional<std::array<int64_t, 3>> system_info = std::nullopt;

  /// In MiB; -1 where the figure must be absent.
  struct Expected {
    int64_t limit = -1;
    std::string limit_source = {};
    int64_t used = -1;
    int64_t available = -1;
    std::string available_source = {};
    int64_t soft_limit = -1;
    int64_t oom_kills = -1;  ///< not MiB
    std::string pressure_source = {};
    std::string rss_source = "/proc/self/status";
  } expected;
};

/// Every layout that has a tree.
std::vector<MemoryTree> MemoryTrees();

/// The one of that name.
MemoryTree MemoryTreeNamed(const std::string& name);

}  // namespace floodwall::testing
