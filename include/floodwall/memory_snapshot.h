#pragma once

/// Every memory figure of one moment, each with its source.
///
/// Threading: plain values. Errors: an unknown figure is empty, and `errors` says why.
/// Units: bytes, unless a name says otherwise. Lifetime: owns everything.

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace floodwall {

struct MemorySnapshot {
  std::optional<int64_t> arrow_bytes;            ///< the pool that is the default now
  std::optional<int64_t> arrow_all_pools_bytes;  ///< every allocator of libarrow
  std::optional<int64_t> arrow_peak_bytes;       ///< that pool's own high-water mark, exact
  std::optional<int64_t> rss_bytes;
  std::optional<int64_t> rss_anon_bytes;
  std::optional<int64_t> rss_file_bytes;
  std::optional<int64_t> rss_peak_bytes;
  std::optional<int64_t> limit_bytes;  ///< the least of the machine's memory and all cgroup limits
  std::optional<std::string> limit_source;
  std::optional<int64_t> used_bytes;       ///< what counts against that limit
  std::optional<int64_t> available_bytes;  ///< what can still be allocated before a kill
  std::optional<int64_t> host_available_bytes;
  std::optional<int64_t> host_total_bytes;
  std::optional<int64_t> swap_free_bytes;
  std::optional<int64_t> soft_limit_bytes;      ///< memory.high: throttles, does not kill
  std::optional<int64_t> soft_available_bytes;  ///< headroom under memory.high
  std::optional<double> psi_some_avg10;         ///< percent
  std::optional<double> psi_full_avg10;         ///< percent
  std::optional<int64_t> oom_kill_count;
  /// Anonymous memory that no Arrow allocator holds: Python objects, other libraries.
  std::optional<int64_t> unmanaged_bytes;
  int64_t taken_at_ns = 0;  ///< CLOCK_REALTIME

  std::map<std::string, std::string> sources;  ///< field -> file or call
  std::map<std::string, std::string> errors;   ///< field -> source and why it is unknown
};

}  // namespace floodwall
