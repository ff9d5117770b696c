#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace floodwall::testing {

/// Kernel files, by path without the leading slash, as they read on a real system.
using Files = std::map<std::string, std::string>;

inline constexpr char kSentinel[] = "9223372036854771712";  // v1 without a limit, pages of 4 KiB

inline std::string Bytes(int64_t mib) { return std::to_string(mib << 20); }

inline Files operator+(Files left, const Files& right) {
  left.insert(right.begin(), right.end());
  return left;
}

/// The process: 4 MiB resident.
inline const Files kProcess = {
    {"proc/self/statm", "5000 1024 256 1 0 300 0\n"},
    {"proc/self/status",
     "Name:\tpython3\nVmPeak:\t   20000 kB\nVmHWM:\t    8192 kB\nVmRSS:\t    4096 kB\n"
     "RssAnon:\t    3072 kB\nRssFile:\t     900 kB\nRssShmem:\t     124 kB\nThreads:\t8\n"},
};

inline Files Meminfo(int64_t total_mib, int64_t available_mib) {
  const auto line = [](const char* key, int64_t mib) {
    return std::string(key) + ":       " + std::to_string(mib * 1024) + " kB\n";
  };
  return {{"proc/meminfo", line("MemTotal", total_mib) + line("MemFree", available_mib / 2) +
                               line("MemAvailable", available_mib) + line("Buffers", 40) +
                               line("Cached", available_mib / 3) + line("SwapFree", 0) +
                               "HugePages_Total:       0\n"}};
}

/// 64 GiB, of which 48 are available, and pressure files.
inline const Files kHost =
    Meminfo(65536, 49152) + Files{{"proc/pressure/memory",
                                   "some avg10=1.50 avg60=0.40 avg300=0.10 total=9\n"
                                   "full avg10=0.25 avg60=0.00 avg300=0.00 total=3\n"}};

/// What a cgroup holds, in MiB.
struct Content {
  int64_t charged = 0;
  int64_t anon = 0;  ///< shared memory and tmpfs included
  int64_t active_file = 0;
  int64_t inactive_file = 0;
  int64_t kernel = 0;
  int64_t slab_reclaimable = 0;
  int64_t unevictable = 0;
};

/// `max` in bytes, or "max".
inline Files V2(const std::string& directory, const std::string& max, const Content& holds) {
  return {
      {directory + "/memory.max", max + "\n"},
      {directory + "/memory.high", "max\n"},
      {directory + "/memory.current", Bytes(holds.charged) + "\n"},
      {directory + "/memory.events",
       "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"},
      {directory + "/memory.pressure",
       "some avg10=2.00 avg60=0.00 avg300=0.00 total=1\n"
       "full avg10=1.00 avg60=0.00 avg300=0.00 total=1\n"},
      {directory + "/memory.stat",
       "anon " + Bytes(holds.anon) + "\nfile " + Bytes(holds.active_file + holds.inactive_file) +
           "\nkernel " + Bytes(holds.kernel) + "\nkernel_stack 1\nshmem 0\nfile_dirty 4096\n" +
           "inactive_anon " + Bytes(holds.anon) + "\nactive_anon 0\ninactive_file " +
           Bytes(holds.inactive_file) + "\nactive_file " + Bytes(holds.active_file) +
           "\nunevictable " + Bytes(holds.unevictable) + "\nslab_reclaimable " +
           Bytes(holds.slab_reclaimable) + "\nslab_unreclaimable 0\nslab 0\npgfault 123\n"},
  };
}

inline Files V1(const std::string& directory, const std::string& limit,
                const std::string& hierarchical, const Content& holds) {
  return {
      {directory + "/memory.limit_in_bytes", limit + "\n"},
      {directory + "/memory.soft_limit_in_bytes", std::string(kSentinel) + "\n"},
      {directory + "/memory.usage_in_bytes", Bytes(holds.charged) + "\n"},
      {directory + "/memory.kmem.usage_in_bytes", Bytes(holds.kernel) + "\n"},
      {directory + "/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"},
      {directory + "/memory.stat",
       "cache 0\nrss 1\nactive_anon 1\ninactive_anon 1\nhierarchical_memory_limit " + hierarchical +
           "\nhierarchical_memsw_limit " + kSentinel + "\ntotal_cache 0\ntotal_inactive_anon 0" +
           "\ntotal_active_anon " + Bytes(holds.anon) + "\ntotal_inactive_file " +
           Bytes(holds.inactive_file) + "\ntotal_active_file " + Bytes(holds.active_file) +
           "\ntotal_unevictable " + Bytes(holds.unevictable) + "\n"},
  };
}

inline Files Self(const std::string& cgroup, const std::string& mountinfo) {
  return {{"proc/self/cgroup", cgroup}, {"proc/self/mountinfo", mountinfo}};
}

}  // namespace floodwall::testing
